/*
 * What a model said, as text with its control tokens spelled out, and a byte from 0xf8 on for a
 * token of one byte, a special or none. Parsed strictly and not, after a role and from the start.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text_buffer.h"
#include "fuzz.h"
#include "fuzz_harmony.h"

#define MOST_BYTES 2000

/* ---- what the events say --------------------------------------------------------------------- */

typedef struct listener {
    bool open;        /* a message has begun */
    text_buffer text; /* of the message under way */
    size_t messages;
} listener;

static void hear(void *user, const gptoss_parser_event *event)
{
    listener *heard = user;
    FUZZ_CHECK(heard->open == (event->kind != GPTOSS_PARSER_BEGIN));
    if (event->kind == GPTOSS_PARSER_BEGIN) {
        heard->open = true;
        heard->text.length = 0;
    } else if (event->kind == GPTOSS_PARSER_TEXT) {
        FUZZ_CHECK(event->text.length > 0);
        text_append_bytes(&heard->text, event->text.data, event->text.length);
    } else {
        gptoss_text whole = event->message->content->text;
        FUZZ_CHECK(event->message->content_count == 1 && whole.length == heard->text.length);
        FUZZ_CHECK(whole.length == 0 || memcmp(whole.data, heard->text.bytes, whole.length) == 0);
        heard->open = false;
        heard->messages++;
    }
}

/* ---- parsing --------------------------------------------------------------------------------- */

static gptoss_status parse(const uint32_t *ids, size_t count, bool strict, bool from_start,
                           gptoss_error *error)
{
    listener heard = {0};
    gptoss_parser_options options = {
        .strict = strict, .from_start = from_start, .event = hear, .user = &heard};
    gptoss_parser *parser;
    gptoss_status status = gptoss_parser_open(fuzz_tokenizer(), &options, &parser, error);
    FUZZ_CHECK(status == GPTOSS_OK);
    for (size_t i = 0; i < count && status == GPTOSS_OK; i++)
        status = gptoss_parser_push(parser, ids[i], error);
    if (status == GPTOSS_OK)
        status = gptoss_parser_end(parser, error);
    FUZZ_CHECK(strict || status == GPTOSS_OK);
    FUZZ_CHECK(status != GPTOSS_OK || !heard.open);
    size_t messages;
    gptoss_parser_messages(parser, &messages);
    FUZZ_CHECK(messages == heard.messages);
    gptoss_parser_close(parser);
    text_free(&heard.text);
    return status;
}

/* ---- ids ------------------------------------------------------------------------------------- */

typedef struct id_list {
    uint32_t *ids;
    size_t count;
} id_list;

static void add(id_list *list, const uint32_t *ids, size_t count)
{
    list->ids = realloc(list->ids, (list->count + count + 1) * sizeof *ids);
    FUZZ_CHECK(list->ids != NULL);
    if (count > 0)
        memcpy(list->ids + list->count, ids, count * sizeof *ids);
    list->count += count;
}

static void add_text(id_list *list, const char *text, size_t length)
{
    uint32_t *ids;
    size_t count;
    FUZZ_CHECK(gptoss_tokenizer_encode(fuzz_tokenizer(), text, length, true, &ids, &count, NULL) ==
               GPTOSS_OK);
    add(list, ids, count);
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t odd[8] = {128, 160, 170, 188, 290, 299, 4000, UINT32_MAX};
    id_list list = {0};
    gptoss_error error = {0};
    size_t begin = 0;
    size = size < MOST_BYTES ? size : MOST_BYTES;
    for (size_t at = 0; at < size; at++)
        if (data[at] >= 0xf8) {
            add_text(&list, (const char *)data + begin, at - begin);
            add(&list, &odd[data[at] - 0xf8], 1);
            begin = at + 1;
        }
    add_text(&list, (const char *)data + begin, size - begin);
    for (int from_start = 0; from_start <= 1; from_start++)
        parse(list.ids, list.count, false, from_start, NULL);
    parse(list.ids, list.count, true, true, NULL);
    gptoss_status status = parse(list.ids, list.count, true, false, &error);
    free(list.ids);
    return fuzz_judge(status, &error);
}
