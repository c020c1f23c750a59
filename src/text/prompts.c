/* Prompts from JSON, one a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/json_pull.h"
#include "base/status.h"

struct gptoss_prompt_list {
    arena memory; /* of everything below */
    gptoss_prompt *prompts;
    size_t count;
};

/* One line, and where to put what it says. */
typedef struct reading {
    json_pull json;
    arena *memory;
} reading;

/* Stops when there was no memory for what has been read. */
static bool stored(reading *in, const void *object)
{
    return object != NULL ||
           pull_fail(&in->json, GPTOSS_MEMORY, "there is no memory for the prompt");
}

/* ---- members --------------------------------------------------------------------------------- */

static bool read_text(reading *in, gptoss_text *out)
{
    byte_span span;
    if (!pull_string(&in->json, &span))
        return false;
    *out = (gptoss_text){arena_copy(in->memory, span.data, span.length), span.length};
    return stored(in, out->data);
}

static bool read_ids(reading *in, gptoss_prompt *out)
{
    json_pull *json = &in->json;
    const char *mark = pull_mark(json);
    size_t count = 0;
    for (pull_array(json); pull_element(json) && pull_skip(json);)
        count++;
    if (json->status != GPTOSS_OK)
        return false;
    pull_seek(json, mark);
    uint32_t *ids = arena_take(in->memory, count, sizeof *ids);
    if (!stored(in, ids))
        return false;
    out->ids = ids;
    uint64_t id;
    size_t read = 0;
    for (pull_array(json); pull_element(json) && pull_u64(json, UINT32_MAX, &id);)
        ids[read++] = (uint32_t)id;
    out->id_count = read;
    return json->status == GPTOSS_OK;
}

/* A string or a number, as it is written. */
static bool read_name(reading *in, gptoss_text *out)
{
    json_kind kind = pull_peek(&in->json);
    const char *begin = pull_mark(&in->json);
    if (kind != JSON_STRING && kind != JSON_NUMBER && kind != JSON_FAULT)
        return pull_fail(&in->json, GPTOSS_FORMAT, "\"id\": expected a string or a number");
    if (!pull_skip(&in->json))
        return false;
    size_t length = (size_t)(pull_mark(&in->json) - begin);
    *out = (gptoss_text){arena_copy(in->memory, begin, length), length};
    return stored(in, out->data);
}

static bool read_most(reading *in, gptoss_prompt *out)
{
    uint64_t most;
    out->has_max_tokens = pull_u64(&in->json, INT32_MAX, &most);
    if (out->has_max_tokens)
        out->max_tokens = (uint32_t)most;
    return out->has_max_tokens;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static bool read_member(reading *in, byte_span name, gptoss_prompt *out)
{
    if (byte_span_is(name, "prompt"))
        return read_text(in, &out->text);
    if (byte_span_is(name, "ids"))
        return read_ids(in, out);
    if (byte_span_is(name, "id"))
        return read_name(in, &out->id);
    if (byte_span_is(name, "n"))
        return read_most(in, out);
    if (byte_span_is(name, "seed"))
        return out->has_seed = pull_u64(&in->json, UINT64_MAX, &out->seed);
    return pull_fail(&in->json, GPTOSS_FORMAT,
                     "\"%.*s\": expected \"prompt\", \"ids\", \"n\", \"seed\" or \"id\"",
                     name.length > 40 ? 40 : (int)name.length, name.data);
}

static bool read_prompt(reading *in, gptoss_prompt *out)
{
    byte_span name;
    int sources = 0;
    pull_object(&in->json);
    while (pull_member(&in->json, &name)) {
        sources += byte_span_is(name, "prompt") || byte_span_is(name, "ids");
        if (sources > 1)
            return pull_fail(&in->json, GPTOSS_FORMAT,
                             "expected one \"prompt\" or \"ids\", found more");
        if (!read_member(in, name, out))
            return false;
    }
    if (in->json.status == GPTOSS_OK && sources == 0)
        pull_fail(&in->json, GPTOSS_FORMAT, "expected one \"prompt\" or \"ids\", found none");
    return pull_end(&in->json);
}

static gptoss_status read_line(gptoss_prompt_list *list, const char *line, size_t length,
                               size_t number, const char *what, gptoss_error *error)
{
    char where[512];
    reading in = {.memory = &list->memory};
    gptoss_prompt *prompt = &list->prompts[list->count++];
    snprintf(where, sizeof where, "%s:%zu", what, number);
    prompt->line = number;
    pull_open(&in.json, line, length, where, error);
    read_prompt(&in, prompt);
    pull_close(&in.json);
    return in.json.status;
}

static bool is_blank(const char *line, size_t length)
{
    while (length > 0 &&
           (line[length - 1] == ' ' || line[length - 1] == '\t' || line[length - 1] == '\r'))
        length--;
    return length == 0;
}

static gptoss_status read_lines(gptoss_prompt_list *list, const char *lines, size_t length,
                                const char *what, gptoss_error *error)
{
    const char *end = lines + length;
    size_t number = 1;
    gptoss_status status = GPTOSS_OK;
    for (const char *at = lines; at < end && status == GPTOSS_OK; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t line = (size_t)((newline == NULL ? end : newline) - at);
        if (!is_blank(at, line))
            status = read_line(list, at, line, number, what, error);
        at += line + 1;
    }
    return status;
}

static size_t count_lines(const char *lines, size_t length)
{
    size_t count = 1;
    for (size_t i = 0; i < length; i++)
        count += lines[i] == '\n';
    return count;
}

gptoss_status gptoss_prompts_read(const char *lines, size_t length, const char *what,
                                  gptoss_prompt_list **out, gptoss_error *error)
{
    *out = NULL;
    gptoss_prompt_list *list = calloc(1, sizeof *list);
    if (list == NULL)
        return fail_memory(error, "a list of prompts", sizeof *list);
    size_t most = count_lines(lines, length);
    list->prompts = arena_take(&list->memory, most, sizeof *list->prompts);
    gptoss_status status = list->prompts == NULL ? fail_memory(error, "a list of prompts",
                                                               most * sizeof *list->prompts)
                                                 : read_lines(list, lines, length, what, error);
    if (status == GPTOSS_OK && list->count == 0)
        status = fail(error, GPTOSS_FORMAT, "%s: expected a prompt on each line, found none", what);
    if (status != GPTOSS_OK) {
        gptoss_prompts_close(list);
        return status;
    }
    *out = list;
    return GPTOSS_OK;
}

void gptoss_prompts_close(gptoss_prompt_list *list)
{
    if (list == NULL)
        return;
    arena_free(&list->memory);
    free(list);
}

const gptoss_prompt *gptoss_prompts(const gptoss_prompt_list *list, size_t *count)
{
    *count = list->count;
    return list->prompts;
}
