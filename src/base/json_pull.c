#include "base/json_pull.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

bool byte_span_is(byte_span span, const char *text)
{
    return strlen(text) == span.length && memcmp(span.data, text, span.length) == 0;
}

void pull_open(json_pull *reader, const char *text, size_t length, const char *what,
               gptoss_error *error)
{
    *reader =
        (json_pull){.what = what, .start = text, .at = text, .end = text + length, .error = error};
}

void pull_close(json_pull *reader)
{
    free(reader->buffer);
    reader->buffer = NULL;
    reader->capacity = 0;
}

bool pull_fail(json_pull *reader, gptoss_status status, const char *format, ...)
{
    if (reader->status != GPTOSS_OK)
        return false;
    char sentence[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    reader->status = fail(reader->error, status, "%s: byte %zu: %s", reader->what,
                          (size_t)(reader->at - reader->start), sentence);
    reader->at = reader->end;
    return false;
}

bool pull_accept(json_pull *reader, gptoss_status status)
{
    if (status == GPTOSS_OK || reader->status != GPTOSS_OK)
        return reader->status == GPTOSS_OK;
    reader->status = status;
    reader->at = reader->end;
    return false;
}

static bool expected(json_pull *reader, const char *what)
{
    if (reader->at == reader->end)
        return pull_fail(reader, GPTOSS_FORMAT, "expected %s, found the end of the text", what);
    unsigned char found = (unsigned char)*reader->at;
    if (found > 0x20 && found < 0x7f)
        return pull_fail(reader, GPTOSS_FORMAT, "expected %s, found '%c'", what, found);
    return pull_fail(reader, GPTOSS_FORMAT, "expected %s, found the byte 0x%02x", what, found);
}

/* The next byte that is no white space, or 0 at the end. */
static char next_byte(json_pull *reader)
{
    while (reader->at < reader->end) {
        char c = *reader->at;
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
            return c;
        reader->at++;
    }
    return '\0';
}

json_kind pull_peek(json_pull *reader)
{
    if (reader->status != GPTOSS_OK)
        return JSON_FAULT;
    char c = next_byte(reader);
    if (c == '-' || (c >= '0' && c <= '9'))
        return JSON_NUMBER;
    switch (c) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
    case 'f':
        return JSON_BOOL;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_FAULT;
    }
}

/* ---- containers ------------------------------------------------------------------------------ */

static bool enter(json_pull *reader, char bracket, const char *what)
{
    if (next_byte(reader) != bracket)
        return expected(reader, what);
    reader->at++;
    reader->fresh = true;
    return true;
}

bool pull_object(json_pull *reader)
{
    return enter(reader, '{', "an object");
}

bool pull_array(json_pull *reader)
{
    return enter(reader, '[', "an array");
}

/* Moves past the comma before the next item, or past the closing bracket (false). */
static bool next_item(json_pull *reader, char bracket, const char *what)
{
    char c = next_byte(reader);
    bool fresh = reader->fresh;
    reader->fresh = false;
    if (c == bracket) {
        reader->at++;
        return false;
    }
    if (fresh)
        return reader->status == GPTOSS_OK;
    if (c != ',')
        return expected(reader, what);
    reader->at++;
    return true;
}

bool pull_member(json_pull *reader, byte_span *name)
{
    if (!next_item(reader, '}', "',' or '}'") || !pull_string(reader, name))
        return false;
    if (next_byte(reader) != ':')
        return expected(reader, "':'");
    reader->at++;
    return true;
}

bool pull_element(json_pull *reader)
{
    return next_item(reader, ']', "',' or ']'");
}

/* ---- strings --------------------------------------------------------------------------------- */

static bool read_hex4(json_pull *reader, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, reader->at++) {
        char c = reader->at < reader->end ? *reader->at : '\0';
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return expected(reader, "a hexadecimal digit");
        *out = *out << 4 | digit;
    }
    return true;
}

/* After "\u": one code point, from two escapes when the first is a high surrogate. */
static bool read_unicode_escape(json_pull *reader, uint32_t *code)
{
    if (!read_hex4(reader, code))
        return false;
    if (*code < 0xd800 || *code > 0xdfff)
        return true;
    uint32_t low = 0;
    bool paired = *code < 0xdc00 && reader->end - reader->at >= 6 && reader->at[0] == '\\' &&
                  reader->at[1] == 'u';
    if (paired) {
        reader->at += 2;
        if (!read_hex4(reader, &low))
            return false;
    }
    if (low < 0xdc00 || low > 0xdfff)
        return pull_fail(reader, GPTOSS_FORMAT, "a surrogate escape without its other half");
    *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

static bool read_escape(json_pull *reader, uint32_t *code)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    char c = reader->at < reader->end ? *reader->at : '\0';
    if (c == 'u') {
        reader->at++;
        return read_unicode_escape(reader, code);
    }
    const char *found = c == '\0' ? NULL : strchr(letters, c);
    if (found == NULL)
        return expected(reader, "an escape");
    reader->at++;
    *code = (uint32_t)meanings[found - letters];
    return true;
}

/* Moves over the characters of a string that stand for themselves, to a quote or a backslash. */
static bool scan_plain(json_pull *reader)
{
    const char *at = reader->at;
    while (at < reader->end) {
        unsigned char c = (unsigned char)*at;
        if (c == '"' || c == '\\') {
            reader->at = at;
            return true;
        }
        if (c < 0x20)
            break;
        if (c < 0x80) {
            at++;
            continue;
        }
        int32_t code;
        size_t left = (size_t)(reader->end - at);
        size_t used = utf8_next((const uint8_t *)at, left, &code);
        if (code < 0) {
            reader->at = at;
            return pull_fail(reader, GPTOSS_FORMAT, "a string is not well-formed UTF-8");
        }
        at += used;
    }
    reader->at = at;
    return expected(reader, "the end of a string");
}

static bool buffer_reserve(json_pull *reader, size_t bytes)
{
    if (bytes <= reader->capacity)
        return true;
    size_t capacity = 2 * bytes < 64 ? 64 : 2 * bytes;
    char *buffer = realloc(reader->buffer, capacity);
    if (buffer == NULL)
        return pull_fail(reader, GPTOSS_MEMORY, "no memory for a string of %zu bytes", bytes);
    reader->buffer = buffer;
    reader->capacity = capacity;
    return true;
}

/* The rest of a string whose first part [begin, at) holds no escape; `at` is a backslash. */
static bool read_escaped(json_pull *reader, const char *begin, byte_span *out)
{
    size_t length = 0;
    for (;;) {
        size_t plain = (size_t)(reader->at - begin);
        if (!buffer_reserve(reader, length + plain + 4))
            return false;
        memcpy(reader->buffer + length, begin, plain);
        length += plain;
        if (*reader->at++ == '"')
            break;
        uint32_t code = 0;
        if (!read_escape(reader, &code))
            return false;
        length += utf8_write(code, reader->buffer + length);
        begin = reader->at;
        if (!scan_plain(reader))
            return false;
    }
    *out = (byte_span){reader->buffer, length};
    return true;
}

bool pull_string(json_pull *reader, byte_span *out)
{
    *out = (byte_span){"", 0};
    if (next_byte(reader) != '"')
        return expected(reader, "a string");
    const char *begin = ++reader->at;
    if (!scan_plain(reader))
        return false;
    if (*reader->at == '\\')
        return read_escaped(reader, begin, out);
    *out = (byte_span){begin, (size_t)(reader->at - begin)};
    reader->at++;
    return true;
}

/* ---- the other values ------------------------------------------------------------------------ */

static bool read_word(json_pull *reader, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
        return false;
    reader->at += length;
    return true;
}

bool pull_bool(json_pull *reader, bool *out)
{
    next_byte(reader);
    *out = false;
    if (read_word(reader, "true"))
        *out = true;
    else if (!read_word(reader, "false"))
        return expected(reader, "true or false");
    return true;
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

/* The grammar of RFC 8259; `at` is left on what follows. */
static bool scan_number(json_pull *reader, bool *whole)
{
    const char *at = reader->at;
    *whole = *at != '-';
    at += *at == '-';
    const char *digits = at;
    at = at < reader->end && *at == '0' ? at + 1 : skip_digits(at, reader->end);
    bool good = at > digits;
    if (good && at < reader->end && *at == '.') {
        digits = ++at;
        at = skip_digits(at, reader->end);
        good = at > digits;
        *whole = false;
    }
    if (good && at < reader->end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < reader->end && (*at == '+' || *at == '-');
        digits = at;
        at = skip_digits(at, reader->end);
        good = at > digits;
        *whole = false;
    }
    reader->at = at;
    return good || expected(reader, "a digit");
}

bool pull_u64(json_pull *reader, uint64_t max, uint64_t *out)
{
    *out = 0;
    if (pull_peek(reader) != JSON_NUMBER)
        return expected(reader, "a number");
    const char *begin = reader->at;
    bool whole;
    if (!scan_number(reader, &whole))
        return false;
    uint64_t value = 0;
    for (const char *c = begin; whole && c < reader->at; c++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*c - '0'), &value))
            whole = false;
    if (whole && value <= max) {
        *out = value;
        return true;
    }
    int length = reader->at - begin > 40 ? 40 : (int)(reader->at - begin);
    reader->at = begin;
    return pull_fail(reader, GPTOSS_FORMAT, "expected a whole number of at most %llu, found %.*s",
                     (unsigned long long)max, length, begin);
}

static bool skip_value(json_pull *reader, unsigned depth)
{
    byte_span ignored;
    bool truth;
    if (depth == JSON_PULL_MAX_DEPTH)
        return pull_fail(reader, GPTOSS_LIMIT, "nested deeper than %d levels", JSON_PULL_MAX_DEPTH);
    switch (pull_peek(reader)) {
    case JSON_OBJECT:
        pull_object(reader);
        while (pull_member(reader, &ignored))
            skip_value(reader, depth + 1);
        return reader->status == GPTOSS_OK;
    case JSON_ARRAY:
        pull_array(reader);
        while (pull_element(reader))
            skip_value(reader, depth + 1);
        return reader->status == GPTOSS_OK;
    case JSON_STRING:
        return pull_string(reader, &ignored);
    case JSON_NUMBER:
        return scan_number(reader, &truth);
    case JSON_BOOL:
        return pull_bool(reader, &truth);
    case JSON_NULL:
        return read_word(reader, "null") || expected(reader, "null");
    case JSON_FAULT:
        break;
    }
    return expected(reader, "a value");
}

bool pull_skip(json_pull *reader)
{
    return skip_value(reader, 0);
}

const char *pull_mark(const json_pull *reader)
{
    return reader->at;
}

void pull_seek(json_pull *reader, const char *mark)
{
    if (reader->status == GPTOSS_OK)
        reader->at = mark;
}

bool pull_end(json_pull *reader)
{
    if (reader->status != GPTOSS_OK)
        return false;
    next_byte(reader);
    return reader->at == reader->end || expected(reader, "the end of the text");
}
