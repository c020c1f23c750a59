/* Renders and parses the vectors of tests/golden/harmony, which openai-harmony has made. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "check.h"
#include "gptoss.h"
#include "o200k.h"

/* ---- the tokenizer --------------------------------------------------------------------------- */

static gptoss_tokenizer *open_tokenizer(void)
{
    size_t length;
    tokenizer_file file;
    gptoss_tokenizer *tokenizer = NULL;
    char *ranks = o200k_inflate("o200k_base.tiktoken.gz", &length);
    gptoss_status status = tiktoken_parse(ranks, length, "ranks", &file, NULL);
    if (status == GPTOSS_OK)
        status = tiktoken_add_harmony(&file, "ranks", NULL);
    if (status == GPTOSS_OK)
        status = tokenizer_build(&file, "ranks", &tokenizer, NULL);
    o200k_require(status == GPTOSS_OK, "the ranks do not parse");
    tokenizer_file_free(&file);
    free(ranks);
    return tokenizer;
}

/* ---- reading a record ------------------------------------------------------------------------ */

static const char *string_of(const json_value *record, const char *name)
{
    const json_value *member = json_member(record, name);
    return member != NULL && json_is_string(member) ? json_string(member) : NULL;
}

/* An array of ids, for free(). */
static uint32_t *ids_of(const json_value *list, size_t *count)
{
    uint32_t *ids = malloc((json_count(list) + 1) * sizeof *ids);
    *count = 0;
    for (const json_value *each = json_first(list); each != NULL; each = json_next(each))
        ids[(*count)++] = (uint32_t)json_number(each);
    return ids;
}

/* ---- rendering ------------------------------------------------------------------------------- */

static gptoss_render_options options_of(const json_value *record)
{
    gptoss_render_options options = {.history = GPTOSS_HISTORY_HARMONY};
    if (strcmp(string_of(record, "history"), "all") == 0)
        options.history = GPTOSS_HISTORY_ALL;
    if (strcmp(string_of(record, "ending"), "none") == 0)
        options.ending = GPTOSS_ENDING_NONE;
    if (strcmp(string_of(record, "ending"), "training") == 0)
        options.ending = GPTOSS_ENDING_TRAINING;
    return options;
}

static void check_rendering(const gptoss_tokenizer *tokenizer, const json_value *record, int line)
{
    const char *text = string_of(record, "conversation");
    const json_value *expected = json_member(record, "ids");
    gptoss_render_options options = options_of(record);
    gptoss_conversation *conversation;
    uint32_t *ids = NULL;
    size_t count = 0;
    gptoss_status status =
        gptoss_conversation_read(text, strlen(text), "a vector", &conversation, NULL);
    if (status == GPTOSS_OK) {
        size_t messages;
        const gptoss_message *first = gptoss_conversation_messages(conversation, &messages);
        status = gptoss_render(tokenizer, first, messages, &options, &ids, &count, NULL);
    }
    CHECK((status == GPTOSS_OK) == !json_is_null(expected), "line %d: status %d", line, status);
    if (status == GPTOSS_OK && json_is_array(expected)) {
        size_t wanted;
        uint32_t *truth = ids_of(expected, &wanted);
        CHECK(count == wanted && (count == 0 || memcmp(ids, truth, count * sizeof *ids) == 0),
              "line %d: %zu ids, expected %zu", line, count, wanted);
        free(truth);
    }
    free(ids);
    gptoss_conversation_close(conversation);
}

/* ---- parsing --------------------------------------------------------------------------------- */

static bool same_text(gptoss_text a, gptoss_text b)
{
    return (a.data == NULL) == (b.data == NULL) && a.length == b.length &&
           (a.data == NULL || memcmp(a.data, b.data, a.length) == 0);
}

static bool same_message(const gptoss_message *a, const gptoss_message *b)
{
    return a->role == b->role && same_text(a->name, b->name) &&
           same_text(a->recipient, b->recipient) && same_text(a->channel, b->channel) &&
           same_text(a->content_type, b->content_type) && a->content_count == 1 &&
           b->content_count == 1 && same_text(a->content->text, b->content->text);
}

static void check_messages(const gptoss_parser *parser, const char *expected, int line)
{
    gptoss_conversation *truth;
    size_t wanted;
    size_t count;
    gptoss_conversation_read(expected, strlen(expected), "a vector", &truth, NULL);
    CHECK(truth != NULL, "line %d: the messages cannot be read", line);
    if (truth == NULL)
        return;
    const gptoss_message *right = gptoss_conversation_messages(truth, &wanted);
    const gptoss_message *messages = gptoss_parser_messages(parser, &count);
    CHECK(count == wanted, "line %d: %zu messages, expected %zu", line, count, wanted);
    for (size_t i = 0; i < count && count == wanted; i++)
        CHECK(same_message(&messages[i], &right[i]), "line %d: message %zu", line, i);
    gptoss_conversation_close(truth);
}

static void check_parsing(const gptoss_tokenizer *tokenizer, const json_value *record, int line)
{
    size_t count;
    uint32_t *ids = ids_of(json_member(record, "stream"), &count);
    const char *expected = string_of(record, "messages");
    const char *role = string_of(record, "role");
    for (int strict = 0; strict <= 1; strict++) {
        gptoss_parser_options options = {.strict = strict};
        gptoss_parser *parser;
        options.from_start = !gptoss_role_find(role, strlen(role), &options.role);
        gptoss_status status = gptoss_parser_open(tokenizer, &options, &parser, NULL);
        for (size_t i = 0; i < count && status == GPTOSS_OK; i++)
            status = gptoss_parser_push(parser, ids[i], NULL);
        if (status == GPTOSS_OK)
            status = gptoss_parser_end(parser, NULL);
        CHECK((status == GPTOSS_OK) == (!strict || expected != NULL), "line %d: status %d", line,
              status);
        if (strict && status == GPTOSS_OK && expected != NULL)
            check_messages(parser, expected, line);
        gptoss_parser_close(parser);
    }
    free(ids);
}

int main(void)
{
    size_t length;
    gptoss_tokenizer *tokenizer = open_tokenizer();
    char *vectors = o200k_inflate("../harmony/vectors.jsonl.gz", &length);
    int line = 0;
    for (char *at = vectors, *end; at < vectors + length; at = end + 1) {
        json_value *record;
        end = memchr(at, '\n', (size_t)(vectors + length - at));
        o200k_require(end != NULL && json_parse(at, (size_t)(end - at), "a vector", &record,
                                                NULL) == GPTOSS_OK,
                      "the vectors cannot be read");
        line++;
        if (json_member(record, "conversation") != NULL)
            check_rendering(tokenizer, record, line);
        else if (json_member(record, "stream") != NULL)
            check_parsing(tokenizer, record, line);
        json_free(record);
    }
    CHECK(line > 400, "%d records", line);
    free(vectors);
    gptoss_tokenizer_close(tokenizer);
    return test_result();
}
