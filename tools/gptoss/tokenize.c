/* gptoss tokenize: text to token ids, and back. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "input.h"
#include "json_writer.h"
#include "runtime.h"

/* ---- ids to text ----------------------------------------------------------------------------- */

/* The ids to decode: of --ids, or else of a file. */
static int ids_to_decode(const options *given, input_ids *out)
{
    *out = (input_ids){NULL, 0};
    if (given->prompt != NULL || (given->ids == NULL) == (given->file == NULL))
        return console_usage(given->command,
                             "--decode: expected one of --ids IDS and -f FILE, and no -p");
    if (given->ids != NULL)
        return input_ids_flag(given, out);
    input_text text;
    int status = input_read(given->file, &text);
    if (status != EXIT_GOOD)
        return status;
    status = input_parse_ids(given, text.bytes, out);
    free(text.bytes);
    return status;
}

static int decode(const gptoss_tokenizer *tokenizer, const options *given)
{
    input_ids list;
    int status = ids_to_decode(given, &list);
    for (size_t i = 0; i < list.count; i++) {
        size_t length;
        const char *bytes = gptoss_tokenizer_bytes(tokenizer, list.ids[i], &length);
        if (bytes != NULL)
            fwrite(bytes, 1, length, stdout);
    }
    free(list.ids);
    return status;
}

/* ---- text to ids ----------------------------------------------------------------------------- */

/* Prints a token's bytes in quotes, with everything that is not printable ASCII or UTF-8 escaped.
 */
static void print_quoted(const char *bytes, size_t length)
{
    putchar('"');
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if (byte == '"' || byte == '\\')
            printf("\\%c", byte);
        else if (byte == '\n')
            printf("\\n");
        else if (isprint(byte))
            putchar(byte);
        else
            printf("\\x%02x", byte);
    }
    putchar('"');
}

/* Whether the bytes are whole characters that a terminal can be sent. */
static bool is_text(const char *bytes, size_t length)
{
    char *valid = console_resize(NULL, GPTOSS_UTF8_ROOM(length) + GPTOSS_UTF8_ROOM(0), 1);
    gptoss_utf8_stream utf8 = {.count = 0};
    size_t written = gptoss_utf8_push(&utf8, bytes, length, valid);
    written += gptoss_utf8_end(&utf8, valid + written);
    bool same = written == length && memcmp(valid, bytes, length) == 0;
    free(valid);
    for (size_t i = 0; same && i < length; i++)
        same = !iscntrl((unsigned char)bytes[i]) && bytes[i] != '"' && bytes[i] != '\\';
    return same;
}

static void print_tokens(const gptoss_tokenizer *tokenizer, const uint32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t length;
        const char *bytes = gptoss_tokenizer_bytes(tokenizer, ids[i], &length);
        printf("%u\t", ids[i]);
        if (is_text(bytes, length))
            printf("\"%.*s\"", (int)length, bytes);
        else
            print_quoted(bytes, length);
        putchar('\n');
    }
}

static int encode_one(const gptoss_tokenizer *tokenizer, const options *given, const char *text,
                      size_t length)
{
    uint32_t *ids = NULL;
    size_t count = 0;
    gptoss_error error;
    if (gptoss_tokenizer_encode(tokenizer, text, length, given->parse_special, &ids, &count,
                                &error) != GPTOSS_OK)
        return console_error(&error);
    json_writer json = JSON_WRITER(stdout);
    if (given->null) {
        json_put_ids(&json, NULL, ids, count);
        putchar('\n');
    } else if (given->json) {
        json_put_object(&json, NULL);
        json_put_ids(&json, "ids", ids, count);
        json_end_object(&json);
        putchar('\n');
    } else {
        print_tokens(tokenizer, ids, count);
    }
    free(ids);
    return EXIT_GOOD;
}

/* Texts that each end at a zero byte; the last one may go without. */
static int encode_many(const gptoss_tokenizer *tokenizer, const options *given,
                       const input_text *text)
{
    int status = EXIT_GOOD;
    for (size_t at = 0; at < text->length && status == EXIT_GOOD;) {
        size_t length = strnlen(text->bytes + at, text->length - at);
        status = encode_one(tokenizer, given, text->bytes + at, length);
        at += length + 1;
    }
    return status;
}

static int encode(const gptoss_tokenizer *tokenizer, const options *given)
{
    if (given->ids != NULL)
        return console_usage(given->command, "--ids: expected --decode with it, found none");
    input_text text;
    int status = input_prompt(given, &text);
    if (status != EXIT_GOOD)
        return status;
    status = given->null ? encode_many(tokenizer, given, &text)
                         : encode_one(tokenizer, given, text.bytes, text.length);
    free(text.bytes);
    return status;
}

int run_tokenize(const options *given)
{
    if (given->decode && (given->json || given->null))
        return console_usage(given->command,
                             "--decode: expected neither --json nor --null with it");
    runtime opened = {.model = NULL};
    int status = runtime_open_tokenizer_alone(&opened, given);
    if (status == EXIT_GOOD)
        status = given->decode ? decode(opened.tokenizer, given) : encode(opened.tokenizer, given);
    runtime_close(&opened);
    return status;
}
