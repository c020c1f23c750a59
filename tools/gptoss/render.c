/* gptoss render: a conversation to the prompt that the model is fed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "input.h"
#include "json_writer.h"
#include "runtime.h"

/* The options of the library; the table has checked the words. */
static gptoss_render_options render_options(const options *given)
{
    gptoss_render_options out = {.history = GPTOSS_HISTORY_HARMONY};
    if (strcmp(given->history, "turns") == 0)
        out.history = GPTOSS_HISTORY_TURNS;
    else if (strcmp(given->history, "all") == 0)
        out.history = GPTOSS_HISTORY_ALL;
    if (strcmp(given->ending, "none") == 0)
        out.ending = GPTOSS_ENDING_NONE;
    else if (strcmp(given->ending, "training") == 0)
        out.ending = GPTOSS_ENDING_TRAINING;
    gptoss_role_find(given->role, strlen(given->role), &out.next_role);
    return out;
}

static gptoss_status render(const gptoss_tokenizer *tokenizer, const options *given,
                            const char *json, size_t length, input_ids *out, gptoss_error *error)
{
    gptoss_conversation *conversation;
    gptoss_render_options how = render_options(given);
    const char *what = strcmp(given->file, "-") == 0 ? "standard input" : given->file;
    gptoss_status status = gptoss_conversation_read(json, length, what, &conversation, error);
    *out = (input_ids){NULL, 0};
    if (status != GPTOSS_OK)
        return status;
    size_t count;
    const gptoss_message *messages = gptoss_conversation_messages(conversation, &count);
    status = gptoss_render(tokenizer, messages, count, &how, &out->ids, &out->count, error);
    gptoss_conversation_close(conversation);
    return status;
}

static void print_text(const gptoss_tokenizer *tokenizer, const input_ids *list)
{
    for (size_t i = 0; i < list->count; i++) {
        size_t length;
        const char *bytes = gptoss_tokenizer_bytes(tokenizer, list->ids[i], &length);
        fwrite(bytes, 1, length, stdout);
    }
}

static int render_one(const gptoss_tokenizer *tokenizer, const options *given,
                      const input_text *text)
{
    input_ids list;
    gptoss_error error;
    json_writer json = JSON_WRITER(stdout);
    if (render(tokenizer, given, text->bytes, text->length, &list, &error) != GPTOSS_OK)
        return console_error(&error);
    if (given->print_ids) {
        json_put_ids(&json, NULL, list.ids, list.count);
        putchar('\n');
    } else {
        print_text(tokenizer, &list);
    }
    free(list.ids);
    return EXIT_GOOD;
}

/* Conversations that each end at a zero byte; the last one may go without. */
static int render_many(const gptoss_tokenizer *tokenizer, const options *given,
                       const input_text *text)
{
    int status = EXIT_GOOD;
    for (size_t at = 0; at < text->length;) {
        input_ids list;
        gptoss_error error;
        json_writer json = JSON_WRITER(stdout);
        size_t length = strnlen(text->bytes + at, text->length - at);
        if (render(tokenizer, given, text->bytes + at, length, &list, &error) == GPTOSS_OK) {
            json_put_ids(&json, NULL, list.ids, list.count);
        } else {
            json_put_object(&json, NULL);
            json_put_text(&json, "error", error.message);
            json_end_object(&json);
            status = EXIT_FAILED;
        }
        putchar('\n');
        free(list.ids);
        at += length + 1;
    }
    return status;
}

int run_render(const options *given)
{
    if (given->file == NULL)
        return console_usage(given->command, "expected a conversation, -f FILE, found none");
    runtime opened = {.model = NULL};
    input_text text = {NULL, 0};
    int status = runtime_open_tokenizer_alone(&opened, given);
    if (status == EXIT_GOOD)
        status = input_read(given->file, &text);
    if (status == EXIT_GOOD)
        status = given->null ? render_many(opened.tokenizer, given, &text)
                             : render_one(opened.tokenizer, given, &text);
    free(text.bytes);
    runtime_close(&opened);
    return status;
}
