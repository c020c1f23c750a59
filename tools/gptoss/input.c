#include "input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "console.h"

/* ---- files ---------------------------------------------------------------------------------- */

static int read_stream(FILE *stream, const char *name, input_text *out)
{
    size_t room = 0;
    *out = (input_text){NULL, 0};
    do {
        if (out->length + 1 >= room) {
            room = room == 0 ? 1U << 16 : 2 * room;
            out->bytes = console_resize(out->bytes, room, 1);
        }
        errno = 0;
        out->length += fread(out->bytes + out->length, 1, room - 1 - out->length, stream);
    } while (out->length <= INPUT_MOST && !feof(stream) && !ferror(stream));
    out->bytes[out->length] = '\0';
    if (out->length <= INPUT_MOST && !ferror(stream))
        return EXIT_GOOD;
    if (out->length > INPUT_MOST)
        console_note("%s has too much text: expected at most %zu MiB", name, INPUT_MOST >> 20);
    else
        console_note("%s could not be read: %s", name, strerror(errno));
    free(out->bytes);
    *out = (input_text){NULL, 0};
    return EXIT_FAILED;
}

int input_read(const char *path, input_text *out)
{
    if (strcmp(path, "-") == 0)
        return read_stream(stdin, "standard input", out);
    *out = (input_text){NULL, 0};
    FILE *stream = fopen(path, "rb");
    if (stream == NULL) {
        console_note("%s could not be opened: %s", path, strerror(errno));
        return EXIT_FAILED;
    }
    int status = read_stream(stream, path, out);
    fclose(stream);
    return status;
}

/* ---- texts ---------------------------------------------------------------------------------- */

static int hexadecimal(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

/* Decodes the escape at `text`, which starts with a backslash. Returns how long it is, 0 when it is
 * none. */
static size_t decode_escape(const char *text, size_t length, char *out)
{
    static const char pairs[] = "n\nr\rt\t\"\"''\\\\";
    if (length < 2)
        return 0;
    for (const char *pair = pairs; *pair != '\0'; pair += 2)
        if (text[1] == *pair) {
            *out = pair[1];
            return 2;
        }
    if (text[1] != 'x' || length < 4)
        return 0;
    int high = hexadecimal(text[2]);
    int low = hexadecimal(text[3]);
    if (high < 0 || low < 0)
        return 0;
    *out = (char)(unsigned char)(high << 4 | low);
    return 4;
}

size_t input_unescape(char *text, size_t length)
{
    size_t written = 0;
    for (size_t at = 0; at < length;) {
        char decoded;
        size_t taken = text[at] == '\\' ? decode_escape(text + at, length - at, &decoded) : 0;
        text[written++] = taken > 0 ? decoded : text[at];
        at += taken > 0 ? taken : 1;
    }
    return written;
}

int input_prompt(const options *given, input_text *out)
{
    *out = (input_text){NULL, 0};
    if (given->prompt != NULL && given->file != NULL)
        return console_usage(given->command, "expected one of -p and -f, found both");
    if (given->file != NULL)
        return input_read(given->file, out);
    if (given->prompt == NULL)
        return console_usage(given->command, "expected a text, -p TEXT or -f FILE, found none");
    if (strcmp(given->prompt, "-") == 0)
        return input_read("-", out);
    out->length = strlen(given->prompt);
    out->bytes = console_resize(NULL, out->length + 1, 1);
    memcpy(out->bytes, given->prompt, out->length + 1);
    if (given->escape)
        out->length = input_unescape(out->bytes, out->length);
    return EXIT_GOOD;
}

/* ---- ids ------------------------------------------------------------------------------------- */

static int bad_id(const options *given, const char *at)
{
    int length = (int)strcspn(at, ", \t\r\n[]");
    return console_usage(given->command,
                         "--ids: expected token ids such as 1,2,3, each below 2^32, found \"%.*s\"",
                         length > 40   ? 40
                         : length == 0 ? 1
                                       : length,
                         at);
}

int input_parse_ids(const options *given, const char *list, input_ids *out)
{
    static const char separators[] = ", \t\r\n[]";
    size_t room = 0;
    *out = (input_ids){NULL, 0};
    for (const char *at = list + strspn(list, separators); *at != '\0';
         at += strspn(at, separators)) {
        char *end = NULL;
        errno = 0;
        unsigned long long id = *at >= '0' && *at <= '9' ? strtoull(at, &end, 10) : 0;
        if (end == NULL || errno != 0 || id > UINT32_MAX ||
            (*end != '\0' && strchr(separators, *end) == NULL)) {
            free(out->ids);
            *out = (input_ids){NULL, 0};
            return bad_id(given, at);
        }
        if (out->count == room) {
            room = room == 0 ? 256 : 2 * room;
            out->ids = console_resize(out->ids, room, sizeof *out->ids);
        }
        out->ids[out->count++] = (uint32_t)id;
        at = end;
    }
    return EXIT_GOOD;
}

int input_ids_flag(const options *given, input_ids *out)
{
    if (strcmp(given->ids, "-") != 0)
        return input_parse_ids(given, given->ids, out);
    *out = (input_ids){NULL, 0};
    input_text text;
    int status = input_read("-", &text);
    if (status != EXIT_GOOD)
        return status;
    status = strlen(text.bytes) == text.length
                 ? input_parse_ids(given, text.bytes, out)
                 : console_usage(given->command, "--ids: expected token ids, found a zero byte");
    free(text.bytes);
    return status;
}

static int encode_prompt(const options *given, const gptoss_tokenizer *tokenizer, input_text *text,
                         input_ids *out)
{
    int status = input_prompt(given, text);
    if (status != EXIT_GOOD)
        return status;
    gptoss_error error;
    if (gptoss_tokenizer_encode(tokenizer, text->bytes, text->length, given->parse_special,
                                &out->ids, &out->count, &error) != GPTOSS_OK)
        status = console_error(&error);
    return status;
}

static int check_ids(const options *given, uint32_t vocab, const input_ids *list)
{
    if (list->count == 0)
        return console_usage(given->command,
                             "expected a prompt of at least one token, found an empty one");
    for (size_t i = 0; i < list->count; i++)
        if (list->ids[i] >= vocab)
            return console_usage(given->command,
                                 "expected token ids below the vocabulary's %u, found %u", vocab,
                                 list->ids[i]);
    return EXIT_GOOD;
}

int input_tokens(const options *given, const gptoss_tokenizer *tokenizer, uint32_t vocab,
                 input_text *text, input_ids *out)
{
    input_text prompt = {NULL, 0};
    *out = (input_ids){NULL, 0};
    int status = given->ids != NULL ? input_ids_flag(given, out)
                                    : encode_prompt(given, tokenizer, &prompt, out);
    if (status == EXIT_GOOD)
        status = check_ids(given, vocab, out);
    if (status != EXIT_GOOD) {
        free(out->ids);
        *out = (input_ids){NULL, 0};
    }
    if (text != NULL && status == EXIT_GOOD) {
        *text = prompt;
    } else {
        free(prompt.bytes);
        if (text != NULL)
            *text = (input_text){NULL, 0};
    }
    return status;
}
