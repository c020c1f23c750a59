#include "text/harmony_json.h"

bool reading_stored(reading *in, const void *object)
{
    if (object != NULL)
        return true;
    return pull_fail(&in->json, GPTOSS_MEMORY, "there is no memory for the conversation");
}

void *reading_room_for(reading *in, size_t size, size_t *count)
{
    json_pull *json = &in->json;
    byte_span name;
    const char *mark = pull_mark(json);
    *count = 0;
    if (pull_peek(json) == JSON_OBJECT)
        for (pull_object(json); pull_member(json, &name) && pull_skip(json);)
            ++*count;
    else
        for (pull_array(json); pull_element(json) && pull_skip(json);)
            ++*count;
    pull_seek(json, mark);
    void *objects = arena_take(in->memory, *count, size);
    return reading_stored(in, objects) ? objects : NULL;
}

bool reading_text(reading *in, gptoss_text *out)
{
    byte_span span;
    if (!pull_string(&in->json, &span))
        return false;
    *out = (gptoss_text){arena_copy(in->memory, span.data, span.length), span.length};
    return reading_stored(in, out->data);
}

bool reading_null(reading *in)
{
    return pull_peek(&in->json) == JSON_NULL && pull_skip(&in->json);
}

bool reading_optional_text(reading *in, gptoss_text *out)
{
    *out = (gptoss_text){NULL, 0};
    return reading_null(in) || reading_text(in, out);
}

bool reading_source(reading *in, gptoss_text *out)
{
    *out = (gptoss_text){NULL, 0};
    if (reading_null(in))
        return true;
    const char *begin = pull_mark(&in->json);
    if (!pull_skip(&in->json))
        return false;
    size_t length = (size_t)(pull_mark(&in->json) - begin);
    *out = (gptoss_text){arena_copy(in->memory, begin, length), length};
    return reading_stored(in, out->data);
}

bool reading_need(reading *in, gptoss_text text, const char *what)
{
    return text.data != NULL || pull_fail(&in->json, GPTOSS_FORMAT, "expected %s before", what);
}

bool reading_tool(reading *in, bool described, gptoss_tool *out)
{
    byte_span name;
    if (!pull_object(&in->json))
        return false;
    while (pull_member(&in->json, &name)) {
        if (byte_span_is(name, "name"))
            reading_text(in, &out->name);
        else if (byte_span_is(name, "description"))
            reading_optional_text(in, &out->description);
        else if (byte_span_is(name, "parameters"))
            reading_source(in, &out->parameters);
        else
            pull_skip(&in->json);
    }
    return reading_need(in, out->name, "the tool's \"name\"") &&
           (!described || reading_need(in, out->description, "the tool's \"description\""));
}
