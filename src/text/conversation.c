/* Conversations from JSON. */
#include <stdlib.h>
#include <string.h>

#include "text/harmony_json.h"

struct gptoss_conversation {
    arena memory; /* of everything below */
    const gptoss_message *messages;
    size_t count;
};

/* ---- tools ----------------------------------------------------------------------------------- */

static bool read_tools(reading *in, gptoss_tool_namespace *out)
{
    gptoss_tool *tools = reading_room_for(in, sizeof *tools, &out->tool_count);
    out->tools = tools;
    pull_array(&in->json);
    for (size_t i = 0; pull_element(&in->json) && i < out->tool_count; i++)
        if (!reading_tool(in, true, &tools[i]))
            return false;
    return in->json.status == GPTOSS_OK;
}

/* `key` is its name among the namespaces. */
static bool read_namespace(reading *in, byte_span key, gptoss_tool_namespace *out)
{
    gptoss_text expected = {arena_copy(in->memory, key.data, key.length), key.length};
    bool listed = false;
    byte_span name;
    if (!reading_stored(in, expected.data) || !pull_object(&in->json))
        return false;
    while (pull_member(&in->json, &name)) {
        if (byte_span_is(name, "name"))
            reading_text(in, &out->name);
        else if (byte_span_is(name, "description"))
            reading_optional_text(in, &out->description);
        else if (byte_span_is(name, "tools"))
            listed = read_tools(in, out);
        else
            pull_skip(&in->json);
    }
    if (!reading_need(in, out->name, "the namespace's \"name\""))
        return false;
    if (out->name.length != expected.length ||
        memcmp(out->name.data, expected.data, expected.length) != 0)
        return pull_fail(&in->json, GPTOSS_FORMAT,
                         "expected the namespace \"%.*s\" to have that name, found \"%.*s\"",
                         (int)expected.length, expected.data, (int)out->name.length,
                         out->name.data);
    return listed ||
           pull_fail(&in->json, GPTOSS_FORMAT, "expected the namespace's \"tools\" before");
}

static bool read_namespaces(reading *in, const gptoss_tool_namespace **out, size_t *count)
{
    byte_span key;
    *out = NULL;
    *count = 0;
    if (reading_null(in))
        return true;
    if (pull_peek(&in->json) != JSON_OBJECT)
        return pull_object(&in->json); /* says what it found instead */
    gptoss_tool_namespace *spaces = reading_room_for(in, sizeof *spaces, count);
    *out = spaces;
    pull_object(&in->json);
    for (size_t i = 0; pull_member(&in->json, &key) && i < *count; i++)
        if (!read_namespace(in, key, &spaces[i]))
            return false;
    return in->json.status == GPTOSS_OK;
}

/* ---- contents -------------------------------------------------------------------------------- */

static bool read_effort(reading *in, gptoss_effort *out)
{
    static const struct {
        const char *name;
        gptoss_effort effort;
    } efforts[] = {
        {"Low", GPTOSS_EFFORT_LOW}, {"Medium", GPTOSS_EFFORT_MEDIUM}, {"High", GPTOSS_EFFORT_HIGH}};
    byte_span name;
    *out = GPTOSS_EFFORT_NONE;
    if (reading_null(in))
        return true;
    if (!pull_string(&in->json, &name))
        return false;
    for (size_t i = 0; i < sizeof efforts / sizeof *efforts; i++)
        if (byte_span_is(name, efforts[i].name)) {
            *out = efforts[i].effort;
            return true;
        }
    return pull_fail(&in->json, GPTOSS_FORMAT, "expected \"Low\", \"Medium\" or \"High\" before");
}

static bool read_channels(reading *in, gptoss_system_content *out)
{
    gptoss_text *channels = reading_room_for(in, sizeof *channels, &out->channel_count);
    out->channels = channels;
    pull_array(&in->json);
    for (size_t i = 0; pull_element(&in->json) && i < out->channel_count; i++)
        if (!reading_text(in, &channels[i]))
            return false;
    return in->json.status == GPTOSS_OK;
}

static bool read_channel_config(reading *in, gptoss_system_content *out)
{
    byte_span name;
    bool listed = false;
    bool told = false;
    if (reading_null(in))
        return true;
    pull_object(&in->json);
    while (pull_member(&in->json, &name)) {
        if (byte_span_is(name, "valid_channels"))
            listed = read_channels(in, out);
        else if (byte_span_is(name, "channel_required"))
            told = pull_bool(&in->json, &out->channel_required);
        else
            pull_skip(&in->json);
    }
    return (listed && told) ||
           pull_fail(&in->json, GPTOSS_FORMAT,
                     "expected \"valid_channels\" and \"channel_required\" before");
}

static bool read_system_content(reading *in, gptoss_system_content *out)
{
    byte_span name;
    pull_object(&in->json);
    while (pull_member(&in->json, &name)) {
        if (byte_span_is(name, "model_identity"))
            reading_optional_text(in, &out->identity);
        else if (byte_span_is(name, "reasoning_effort"))
            read_effort(in, &out->effort);
        else if (byte_span_is(name, "tools"))
            read_namespaces(in, &out->namespaces, &out->namespace_count);
        else if (byte_span_is(name, "conversation_start_date"))
            reading_optional_text(in, &out->date);
        else if (byte_span_is(name, "knowledge_cutoff"))
            reading_optional_text(in, &out->knowledge_cutoff);
        else if (byte_span_is(name, "channel_config"))
            read_channel_config(in, out);
        else
            pull_skip(&in->json);
    }
    return in->json.status == GPTOSS_OK;
}

static bool read_developer_content(reading *in, gptoss_developer_content *out)
{
    byte_span name;
    pull_object(&in->json);
    while (pull_member(&in->json, &name)) {
        if (byte_span_is(name, "instructions"))
            reading_optional_text(in, &out->instructions);
        else if (byte_span_is(name, "tools"))
            read_namespaces(in, &out->namespaces, &out->namespace_count);
        else
            pull_skip(&in->json);
    }
    return in->json.status == GPTOSS_OK;
}

static bool read_text_content(reading *in, gptoss_text *out)
{
    byte_span name;
    pull_object(&in->json);
    while (pull_member(&in->json, &name)) {
        if (byte_span_is(name, "text"))
            reading_text(in, out);
        else
            pull_skip(&in->json);
    }
    return reading_need(in, *out, "the content's \"text\"");
}

/* The kind that an object's "type" names; the reader stays before the object. */
static bool find_kind(reading *in, gptoss_content_kind *out)
{
    static const char *const names[] = {[GPTOSS_CONTENT_TEXT] = "text",
                                        [GPTOSS_CONTENT_SYSTEM] = "system_content",
                                        [GPTOSS_CONTENT_DEVELOPER] = "developer_content"};
    const char *mark = pull_mark(&in->json);
    byte_span name;
    size_t kind = sizeof names / sizeof *names;
    pull_object(&in->json);
    while (pull_member(&in->json, &name)) {
        byte_span type;
        if (!byte_span_is(name, "type"))
            pull_skip(&in->json);
        else if (pull_string(&in->json, &type))
            for (kind = 0; kind < sizeof names / sizeof *names; kind++)
                if (byte_span_is(type, names[kind]))
                    break;
    }
    if (kind == sizeof names / sizeof *names)
        return pull_fail(&in->json, GPTOSS_FORMAT,
                         "expected a content of the type \"text\", \"system_content\" or "
                         "\"developer_content\" before");
    pull_seek(&in->json, mark);
    *out = (gptoss_content_kind)kind;
    return in->json.status == GPTOSS_OK;
}

static bool read_content(reading *in, gptoss_content *out)
{
    if (!find_kind(in, &out->kind))
        return false;
    if (out->kind == GPTOSS_CONTENT_SYSTEM)
        return read_system_content(in, &out->system);
    if (out->kind == GPTOSS_CONTENT_DEVELOPER)
        return read_developer_content(in, &out->developer);
    return read_text_content(in, &out->text);
}

/* A string, or an array of contents. */
static bool read_contents(reading *in, gptoss_message *out)
{
    gptoss_content *contents;
    if (pull_peek(&in->json) == JSON_STRING) {
        contents = arena_take(in->memory, 1, sizeof *contents);
        out->content = contents;
        out->content_count = 1;
        return reading_stored(in, contents) && reading_text(in, &contents->text);
    }
    contents = reading_room_for(in, sizeof *contents, &out->content_count);
    out->content = contents;
    pull_array(&in->json);
    for (size_t i = 0; pull_element(&in->json) && i < out->content_count; i++)
        if (!read_content(in, &contents[i]))
            return false;
    return in->json.status == GPTOSS_OK;
}

/* ---- messages -------------------------------------------------------------------------------- */

static bool read_role(reading *in, gptoss_role *out)
{
    byte_span name;
    if (!pull_string(&in->json, &name))
        return false;
    return gptoss_role_find(name.data, name.length, out) ||
           pull_fail(&in->json, GPTOSS_FORMAT,
                     "expected a role (assistant, user, system, developer or tool) before");
}

static bool read_message(reading *in, gptoss_message *out)
{
    byte_span name;
    bool has_role = false;
    pull_object(&in->json);
    while (pull_member(&in->json, &name)) {
        if (byte_span_is(name, "role"))
            has_role = read_role(in, &out->role);
        else if (byte_span_is(name, "name"))
            reading_optional_text(in, &out->name);
        else if (byte_span_is(name, "recipient"))
            reading_optional_text(in, &out->recipient);
        else if (byte_span_is(name, "content"))
            read_contents(in, out);
        else if (byte_span_is(name, "channel"))
            reading_optional_text(in, &out->channel);
        else if (byte_span_is(name, "content_type"))
            reading_optional_text(in, &out->content_type);
        else
            pull_skip(&in->json);
    }
    return (has_role && out->content != NULL) ||
           pull_fail(&in->json, GPTOSS_FORMAT,
                     "expected the message's \"role\" and \"content\" "
                     "before");
}

static bool read_messages(reading *in, gptoss_conversation *out)
{
    gptoss_message *messages = reading_room_for(in, sizeof *messages, &out->count);
    out->messages = messages;
    pull_array(&in->json);
    for (size_t i = 0; pull_element(&in->json) && i < out->count; i++)
        if (!read_message(in, &messages[i]))
            return false;
    return in->json.status == GPTOSS_OK;
}

static bool read_conversation(reading *in, gptoss_conversation *out)
{
    byte_span name;
    if (pull_peek(&in->json) == JSON_ARRAY)
        return read_messages(in, out);
    pull_object(&in->json);
    while (pull_member(&in->json, &name)) {
        if (byte_span_is(name, "messages"))
            read_messages(in, out);
        else
            pull_skip(&in->json);
    }
    return out->messages != NULL ||
           pull_fail(&in->json, GPTOSS_FORMAT, "expected \"messages\" before");
}

gptoss_status gptoss_conversation_read(const char *json, size_t length, const char *what,
                                       gptoss_conversation **out, gptoss_error *error)
{
    *out = NULL;
    gptoss_conversation *conversation = calloc(1, sizeof *conversation);
    if (conversation == NULL)
        return fail_memory(error, "a conversation", sizeof *conversation);
    reading in = {.memory = &conversation->memory};
    pull_open(&in.json, json, length, what, error);
    if (read_conversation(&in, conversation) && pull_end(&in.json))
        *out = conversation;
    else
        gptoss_conversation_close(conversation);
    pull_close(&in.json);
    return in.json.status;
}

void gptoss_conversation_close(gptoss_conversation *conversation)
{
    if (conversation == NULL)
        return;
    arena_free(&conversation->memory);
    free(conversation);
}

const gptoss_message *gptoss_conversation_messages(const gptoss_conversation *conversation,
                                                   size_t *count)
{
    *count = conversation->count;
    return conversation->messages;
}
