#include "json_writer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gptoss.h"

static void write_value_start(json_writer *json, const char *key)
{
    json_put_key(json, key);
    if (json->separate && !json->keyed)
        fputs(", ", json->stream);
    json->separate = true;
    json->keyed = false;
}

/* `bytes` are well-formed UTF-8. */
static void write_escaped(FILE *stream, const char *bytes, size_t length)
{
    static const char short_escapes[] = "\bb\ff\nn\rr\tt\"\"\\\\"; /* pairs */
    for (size_t i = 0; i < length; i++) {
        const char *pair = short_escapes;
        while (*pair != '\0' && *pair != bytes[i])
            pair += 2;
        if (*pair != '\0')
            fprintf(stream, "\\%c", pair[1]);
        else if ((unsigned char)bytes[i] < 0x20 || bytes[i] == 0x7f)
            fprintf(stream, "\\u%04x", (unsigned)bytes[i]);
        else
            putc(bytes[i], stream);
    }
}

/* White space within a value becomes spaces; strings in JSON have no line breaks as they are. */
static void write_on_one_line(FILE *stream, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        putc(bytes[i] == '\n' || bytes[i] == '\r' ? ' ' : bytes[i], stream);
}

/* Hands well-formed UTF-8 on in pieces. */
static void write_valid(FILE *stream, const char *bytes, size_t length,
                        void (*write)(FILE *stream, const char *bytes, size_t length))
{
    enum { PIECE = 512 };
    char valid[GPTOSS_UTF8_ROOM(PIECE)];
    gptoss_utf8_stream utf8 = {.count = 0};
    for (size_t at = 0; at < length; at += PIECE) {
        size_t piece = length - at < PIECE ? length - at : PIECE;
        write(stream, valid, gptoss_utf8_push(&utf8, bytes + at, piece, valid));
    }
    write(stream, valid, gptoss_utf8_end(&utf8, valid));
}

static void write_string(FILE *stream, const char *bytes, size_t length)
{
    putc('"', stream);
    write_valid(stream, bytes, length, write_escaped);
    putc('"', stream);
}

void json_put_name(json_writer *json, const char *name, size_t length)
{
    if (json->separate)
        fputs(", ", json->stream);
    write_string(json->stream, name, length);
    fputs(": ", json->stream);
    json->keyed = true;
}

void json_put_key(json_writer *json, const char *key)
{
    if (key != NULL)
        json_put_name(json, key, strlen(key));
}

static void open_container(json_writer *json, const char *key, char bracket)
{
    write_value_start(json, key);
    putc(bracket, json->stream);
    json->separate = false;
}

static void close_container(json_writer *json, char bracket)
{
    putc(bracket, json->stream);
    json->separate = true;
}

void json_put_object(json_writer *json, const char *key)
{
    open_container(json, key, '{');
}

void json_end_object(json_writer *json)
{
    close_container(json, '}');
}

void json_put_array(json_writer *json, const char *key)
{
    open_container(json, key, '[');
}

void json_end_array(json_writer *json)
{
    close_container(json, ']');
}

void json_put_bytes(json_writer *json, const char *key, const char *bytes, size_t length)
{
    write_value_start(json, key);
    write_string(json->stream, bytes, length);
}

void json_put_text(json_writer *json, const char *key, const char *text)
{
    json_put_bytes(json, key, text, strlen(text));
}

void json_put_whole(json_writer *json, const char *key, uint64_t number)
{
    write_value_start(json, key);
    fprintf(json->stream, "%llu", (unsigned long long)number);
}

/* The fewest digits, from 6 to `most`, that read back as the same number. */
static void write_shortest(FILE *stream, double number, int most, bool single)
{
    char text[40];
    for (int digits = 6; digits <= most; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        double back = strtod(text, NULL);
        if (single ? (float)back == (float)number : back == number)
            break;
    }
    fputs(text, stream);
}

void json_put_real(json_writer *json, const char *key, double number)
{
    write_value_start(json, key);
    if (isfinite(number))
        write_shortest(json->stream, number, 17, false);
    else
        fputs("null", json->stream);
}

void json_put_single(json_writer *json, const char *key, float number)
{
    write_value_start(json, key);
    if (isfinite(number))
        write_shortest(json->stream, (double)number, 9, true);
    else
        fputs("null", json->stream);
}

void json_put_bool(json_writer *json, const char *key, bool value)
{
    write_value_start(json, key);
    fputs(value ? "true" : "false", json->stream);
}

void json_put_null(json_writer *json, const char *key)
{
    write_value_start(json, key);
    fputs("null", json->stream);
}

void json_put_source(json_writer *json, const char *key, const char *source, size_t length)
{
    write_value_start(json, key);
    write_valid(json->stream, source, length, write_on_one_line);
}

void json_put_ids(json_writer *json, const char *key, const uint32_t *ids, size_t count)
{
    json_put_array(json, key);
    for (size_t i = 0; i < count; i++)
        json_put_whole(json, NULL, ids[i]);
    json_end_array(json);
}
