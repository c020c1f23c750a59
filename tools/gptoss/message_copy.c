#include "message_copy.h"

#include <stdalign.h>
#include <string.h>

#include "console.h"

/*
 * Every copy_ function runs twice: first without memory, to learn how much there must be, then into
 * it. So that the two agree, they ask for the same things in the same order.
 */
typedef struct packing {
    char *memory; /* NULL: only counting */
    size_t used;
} packing;

/* Room for `count` elements with the bytes of `from` in it; NULL while only counting. */
static void *pack(packing *to, const void *from, size_t count, size_t size)
{
    size_t alignment = alignof(max_align_t);
    size_t begin = (to->used + alignment - 1) / alignment * alignment;
    to->used = begin + (count > 0 ? count : 1) * size;
    if (to->memory == NULL)
        return NULL;
    if (count > 0)
        memcpy(to->memory + begin, from, count * size);
    return to->memory + begin;
}

static gptoss_text pack_text(packing *to, gptoss_text text)
{
    if (text.data == NULL)
        return text;
    return (gptoss_text){pack(to, text.data, text.length, 1), text.length};
}

static const gptoss_text *pack_texts(packing *to, const gptoss_text *from, size_t count)
{
    gptoss_text *copies = pack(to, from, count, sizeof *from);
    for (size_t i = 0; i < count; i++) {
        gptoss_text copy = pack_text(to, from[i]);
        if (copies != NULL)
            copies[i] = copy;
    }
    return copies;
}

static const gptoss_tool *pack_tools(packing *to, const gptoss_tool *from, size_t count)
{
    gptoss_tool *copies = pack(to, from, count, sizeof *from);
    for (size_t i = 0; i < count; i++) {
        gptoss_tool copy = {.name = pack_text(to, from[i].name)};
        copy.description = pack_text(to, from[i].description);
        copy.parameters = pack_text(to, from[i].parameters);
        if (copies != NULL)
            copies[i] = copy;
    }
    return copies;
}

static const gptoss_tool_namespace *pack_namespaces(packing *to, const gptoss_tool_namespace *from,
                                                    size_t count)
{
    gptoss_tool_namespace *copies = pack(to, from, count, sizeof *from);
    for (size_t i = 0; i < count; i++) {
        gptoss_tool_namespace copy = from[i];
        copy.name = pack_text(to, from[i].name);
        copy.description = pack_text(to, from[i].description);
        copy.tools = pack_tools(to, from[i].tools, from[i].tool_count);
        if (copies != NULL)
            copies[i] = copy;
    }
    return copies;
}

static gptoss_content pack_content(packing *to, const gptoss_content *from)
{
    gptoss_content copy = *from;
    if (from->kind == GPTOSS_CONTENT_TEXT) {
        copy.text = pack_text(to, from->text);
    } else if (from->kind == GPTOSS_CONTENT_SYSTEM) {
        const gptoss_system_content *system = &from->system;
        copy.system.identity = pack_text(to, system->identity);
        copy.system.knowledge_cutoff = pack_text(to, system->knowledge_cutoff);
        copy.system.date = pack_text(to, system->date);
        copy.system.channels = pack_texts(to, system->channels, system->channel_count);
        copy.system.namespaces = pack_namespaces(to, system->namespaces, system->namespace_count);
    } else {
        const gptoss_developer_content *developer = &from->developer;
        copy.developer.instructions = pack_text(to, developer->instructions);
        copy.developer.namespaces =
            pack_namespaces(to, developer->namespaces, developer->namespace_count);
    }
    return copy;
}

static gptoss_message *pack_message(packing *to, const gptoss_message *from)
{
    gptoss_message *message = pack(to, from, 1, sizeof *from);
    gptoss_message copy = *from;
    copy.name = pack_text(to, from->name);
    copy.recipient = pack_text(to, from->recipient);
    copy.channel = pack_text(to, from->channel);
    copy.content_type = pack_text(to, from->content_type);
    gptoss_content *contents = pack(to, from->content, from->content_count, sizeof *from->content);
    for (size_t i = 0; i < from->content_count; i++) {
        gptoss_content content = pack_content(to, &from->content[i]);
        if (contents != NULL)
            contents[i] = content;
    }
    copy.content = contents;
    if (message != NULL)
        *message = copy;
    return message;
}

gptoss_message *message_copy(const gptoss_message *message)
{
    packing counted = {NULL, 0};
    pack_message(&counted, message);
    packing packed = {console_resize(NULL, counted.used, 1), 0};
    return pack_message(&packed, message);
}
