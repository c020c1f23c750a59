#include "base/text_buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* Room for `more` bytes and the zero behind them; false when there is no memory. */
static bool make_room(text_buffer *text, size_t more)
{
    if (text->failed || more < text->room - text->length)
        return !text->failed;
    size_t room = 2 * (text->length + more) + 256;
    char *larger = realloc(text->bytes, room);
    if (larger == NULL) {
        text->failed = true;
        return false;
    }
    text->bytes = larger;
    text->room = room;
    return true;
}

void text_append_bytes(text_buffer *text, const char *bytes, size_t length)
{
    if (!make_room(text, length))
        return;
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

void text_append(text_buffer *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0 || !make_room(text, (size_t)length))
        return;
    va_start(arguments, format);
    vsnprintf(text->bytes + text->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    text->length += (size_t)length;
}

/* A locale may have a comma where JSON has a point. */
static void append_digits(text_buffer *text, char digits[40])
{
    char *comma = strchr(digits, ',');
    if (comma != NULL)
        *comma = '.';
    text_append(text, "%s", digits);
}

void text_append_double(text_buffer *text, double value)
{
    char digits[40];
    int precision = 0;
    do
        snprintf(digits, sizeof digits, "%.*g", ++precision, value);
    while (precision < 17 && strtod(digits, NULL) != value);
    append_digits(text, digits);
}

void text_append_float(text_buffer *text, float value)
{
    char digits[40];
    int precision = 0;
    do
        snprintf(digits, sizeof digits, "%.*g", ++precision, (double)value);
    while (precision < 9 && strtof(digits, NULL) != value);
    append_digits(text, digits);
}

static void append_code(text_buffer *text, uint32_t code)
{
    char bytes[4] = {0};
    if (code == '"' || code == '\\') {
        text_append(text, "\\%c", (char)code);
    } else if (code < 0x20 || code == 0x7f) {
        text_append(text, "\\u%04x", (unsigned)code);
    } else {
        size_t length = utf8_write(code, bytes);
        text_append_bytes(text, bytes, length);
    }
}

void text_append_json(text_buffer *text, const char *bytes, size_t length)
{
    const uint8_t *at = (const uint8_t *)bytes;
    const uint8_t *end = at + length;
    text_append_bytes(text, "\"", 1);
    while (at < end && !text->failed) {
        int32_t code;
        at += utf8_next(at, (size_t)(end - at), &code);
        append_code(text, code < 0 ? UTF8_REPLACEMENT : (uint32_t)code);
    }
    text_append_bytes(text, "\"", 1);
}

void text_free(text_buffer *text)
{
    free(text->bytes);
    *text = (text_buffer){0};
}
