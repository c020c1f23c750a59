/* gptoss parse: what the model said, to messages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "input.h"
#include "json_writer.h"
#include "messages_json.h"
#include "runtime.h"

/* ---- output ---------------------------------------------------------------------------------- */

static void print_field(const char *label, gptoss_text text)
{
    if (text.data == NULL)
        return;
    printf(" %s=", label);
    fwrite(text.data, 1, text.length, stdout);
}

/* [assistant to=functions.f channel=commentary type=json], then the content and a newline. */
static void print_messages(const gptoss_message *messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const gptoss_message *message = &messages[i];
        gptoss_text text = message->content->text;
        printf("[%s", gptoss_role_name(message->role));
        print_field("name", message->name);
        print_field("to", message->recipient);
        print_field("channel", message->channel);
        print_field("type", message->content_type);
        printf("]\n");
        fwrite(text.data, 1, text.length, stdout);
        putchar('\n');
    }
}

/* ---- parsing --------------------------------------------------------------------------------- */

/* The caller closes *out also after a failure. */
static gptoss_status parse(const gptoss_tokenizer *tokenizer, const options *given,
                           const input_ids *list, gptoss_parser **out, gptoss_error *error)
{
    gptoss_parser_options how = {.strict = given->strict};
    how.from_start = !gptoss_role_find(given->role, strlen(given->role), &how.role);
    gptoss_status status = gptoss_parser_open(tokenizer, &how, out, error);
    for (size_t i = 0; i < list->count && status == GPTOSS_OK; i++)
        status = gptoss_parser_push(*out, list->ids[i], error);
    return status == GPTOSS_OK ? gptoss_parser_end(*out, error) : status;
}

/* The ids of --ids, or of the text with its control tokens. */
static int read_ids(const gptoss_tokenizer *tokenizer, const options *given, input_ids *out)
{
    input_text text;
    gptoss_error error;
    *out = (input_ids){NULL, 0};
    if (given->ids != NULL)
        return input_ids_flag(given, out);
    int status = input_prompt(given, &text);
    if (status != EXIT_GOOD)
        return status;
    if (gptoss_tokenizer_encode(tokenizer, text.bytes, text.length, true, &out->ids, &out->count,
                                &error) != GPTOSS_OK)
        status = console_error(&error);
    free(text.bytes);
    return status;
}

static int parse_one(const gptoss_tokenizer *tokenizer, const options *given)
{
    input_ids list;
    gptoss_error error;
    gptoss_parser *parser;
    json_writer json = JSON_WRITER(stdout);
    int status = read_ids(tokenizer, given, &list);
    if (status != EXIT_GOOD)
        return status;
    if (parse(tokenizer, given, &list, &parser, &error) == GPTOSS_OK) {
        size_t count;
        const gptoss_message *messages = gptoss_parser_messages(parser, &count);
        if (given->json) {
            messages_put_conversation(&json, messages, count);
            putchar('\n');
        } else {
            print_messages(messages, count);
        }
    } else {
        status = console_error(&error);
    }
    gptoss_parser_close(parser);
    free(list.ids);
    return status;
}

/* A line of JSON for one of many lists; *refused becomes true when it is no message's. */
static int parse_line(const gptoss_tokenizer *tokenizer, const options *given, const char *ids,
                      bool *refused)
{
    input_ids list;
    gptoss_error error;
    gptoss_parser *parser;
    json_writer json = JSON_WRITER(stdout);
    int status = input_parse_ids(given, ids, &list);
    if (status != EXIT_GOOD)
        return status;
    if (parse(tokenizer, given, &list, &parser, &error) == GPTOSS_OK) {
        size_t count;
        const gptoss_message *messages = gptoss_parser_messages(parser, &count);
        messages_put_conversation(&json, messages, count);
    } else {
        json_put_object(&json, NULL);
        json_put_text(&json, "error", error.message);
        json_end_object(&json);
        *refused = true;
    }
    putchar('\n');
    gptoss_parser_close(parser);
    free(list.ids);
    return EXIT_GOOD;
}

/* Lists of ids on standard input that each end at a zero byte; the last one may go without. */
static int parse_many(const gptoss_tokenizer *tokenizer, const options *given)
{
    input_text text;
    bool refused = false;
    int status = input_read("-", &text);
    if (status != EXIT_GOOD)
        return status;
    for (size_t at = 0; at < text.length && status == EXIT_GOOD; at += strlen(text.bytes + at) + 1)
        status = parse_line(tokenizer, given, text.bytes + at, &refused);
    free(text.bytes);
    return status == EXIT_GOOD && refused ? EXIT_FAILED : status;
}

int run_parse(const options *given)
{
    int sources = (given->prompt != NULL) + (given->file != NULL) + (given->ids != NULL);
    if (sources != 1)
        return console_usage(given->command,
                             "expected one of --ids IDS, -p TEXT and -f FILE, found %s",
                             sources == 0 ? "none" : "several");
    if (given->null && (given->ids == NULL || strcmp(given->ids, "-") != 0))
        return console_usage(given->command, "--null: expected --ids - with it");
    runtime opened = {.model = NULL};
    int status = runtime_open_tokenizer_alone(&opened, given);
    if (status == EXIT_GOOD)
        status =
            given->null ? parse_many(opened.tokenizer, given) : parse_one(opened.tokenizer, given);
    runtime_close(&opened);
    return status;
}
