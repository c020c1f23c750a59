/* Lists of functions from JSON, as OpenAI's API has them. */
#include <stdlib.h>
#include <string.h>

#include "text/harmony_json.h"

#define LONGEST_NAME   64
#define MOST_FUNCTIONS 1024

struct gptoss_tool_list {
    arena memory; /* of everything below */
    gptoss_tool *tools;
    size_t count;
};

/* ---- one function ---------------------------------------------------------------------------- */

/* A name stands in the headers of messages and in the text of the type. */
static bool check_name(reading *in, gptoss_text name)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    bool good = name.length > 0 && name.length <= LONGEST_NAME;
    for (size_t i = 0; i < name.length && good; i++)
        good = memchr(letters, name.data[i], sizeof letters - 1) != NULL;
    size_t shown = name.length < LONGEST_NAME ? name.length : LONGEST_NAME;
    return good || pull_fail(&in->json, GPTOSS_FORMAT,
                             "expected a function's name of 1 to %d letters, digits, _ and -, "
                             "found \"%.*s\"",
                             LONGEST_NAME, (int)shown, name.data);
}

static bool check_function(reading *in, const gptoss_tool *found)
{
    if (!reading_need(in, found->name, "a function's \"name\"") || !check_name(in, found->name))
        return false;
    return found->parameters.data == NULL || found->parameters.data[0] == '{' ||
           pull_fail(&in->json, GPTOSS_FORMAT,
                     "expected the \"parameters\" of %s to be an object, a JSON schema",
                     found->name.data);
}

static bool read_type(reading *in)
{
    byte_span type;
    if (!pull_string(&in->json, &type))
        return false;
    return byte_span_is(type, "function") ||
           pull_fail(&in->json, GPTOSS_FORMAT, "expected a tool of the type \"function\" before");
}

/* {"type": "function", "function": {...}}, or what is in the inner braces alone. */
static bool read_function(reading *in, gptoss_tool *out)
{
    byte_span name;
    out->description = TEXT("");
    pull_object(&in->json);
    while (pull_member(&in->json, &name)) {
        if (byte_span_is(name, "type"))
            read_type(in);
        else if (byte_span_is(name, "function"))
            reading_tool(in, false, out);
        else if (byte_span_is(name, "name"))
            reading_text(in, &out->name);
        else if (byte_span_is(name, "description"))
            reading_optional_text(in, &out->description);
        else if (byte_span_is(name, "parameters"))
            reading_source(in, &out->parameters);
        else
            pull_skip(&in->json);
    }
    if (out->description.data == NULL)
        out->description = TEXT("");
    return in->json.status == GPTOSS_OK && check_function(in, out);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool check_twice(reading *in, const gptoss_tool_list *list, size_t last)
{
    gptoss_text name = list->tools[last].name;
    for (size_t i = 0; i < last; i++)
        if (text_is(list->tools[i].name, name.data))
            return pull_fail(&in->json, GPTOSS_FORMAT, "expected each function once, found two %s",
                             name.data);
    return true;
}

static bool read_functions(reading *in, gptoss_tool_list *out)
{
    out->tools = reading_room_for(in, sizeof *out->tools, &out->count);
    if (out->count > MOST_FUNCTIONS)
        return pull_fail(&in->json, GPTOSS_LIMIT, "expected at most %d functions, found %zu",
                         MOST_FUNCTIONS, out->count);
    pull_array(&in->json);
    for (size_t i = 0; pull_element(&in->json) && i < out->count; i++)
        if (!read_function(in, &out->tools[i]) || !check_twice(in, out, i))
            return false;
    return in->json.status == GPTOSS_OK;
}

static bool read_list(reading *in, gptoss_tool_list *out)
{
    byte_span name;
    if (pull_peek(&in->json) == JSON_ARRAY)
        return read_functions(in, out);
    pull_object(&in->json);
    while (pull_member(&in->json, &name)) {
        if (byte_span_is(name, "tools") && out->tools == NULL)
            read_functions(in, out);
        else
            pull_skip(&in->json);
    }
    return out->tools != NULL ||
           pull_fail(&in->json, GPTOSS_FORMAT, "expected \"tools\", a list of functions, before");
}

gptoss_status gptoss_tool_list_read(const char *json, size_t length, const char *what,
                                    gptoss_tool_list **out, gptoss_error *error)
{
    *out = NULL;
    gptoss_tool_list *list = calloc(1, sizeof *list);
    if (list == NULL)
        return fail_memory(error, "a list of tools", sizeof *list);
    reading in = {.memory = &list->memory};
    pull_open(&in.json, json, length, what, error);
    if (read_list(&in, list) && pull_end(&in.json))
        *out = list;
    else
        gptoss_tool_list_close(list);
    pull_close(&in.json);
    return in.json.status;
}

void gptoss_tool_list_close(gptoss_tool_list *list)
{
    if (list == NULL)
        return;
    arena_free(&list->memory);
    free(list);
}

const gptoss_tool *gptoss_tool_list_tools(const gptoss_tool_list *list, size_t *count)
{
    *count = list->count;
    return list->tools;
}
