/*
 * Writes JSON to a stream, on one line, with commas and quotes in the right places. What is written
 * is valid whatever the strings contain: ill-formed UTF-8 becomes U+FFFD, NaN and infinity null.
 */
#ifndef GPTOSS_TOOL_JSON_WRITER_H
#define GPTOSS_TOOL_JSON_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef struct json_writer {
    FILE *stream;
    bool separate; /* a comma belongs before the next value */
    bool keyed;    /* a key has just been written */
} json_writer;

#define JSON_WRITER(to) ((json_writer){(to), false, false})

/* In an object, every value is preceded by its key. `key` NULL writes nothing. */
void json_put_key(json_writer *json, const char *key);

/* A key of any bytes; the value that follows takes none. */
void json_put_name(json_writer *json, const char *name, size_t length);

/* Each of these takes the key in an object and NULL elsewhere. */
void json_put_object(json_writer *json, const char *key);
void json_end_object(json_writer *json);
void json_put_array(json_writer *json, const char *key);
void json_end_array(json_writer *json);
void json_put_text(json_writer *json, const char *key, const char *text);
void json_put_bytes(json_writer *json, const char *key, const char *bytes, size_t length);
void json_put_whole(json_writer *json, const char *key, uint64_t number);
/* As many digits as reading the same number back takes. */
void json_put_real(json_writer *json, const char *key, double number);
void json_put_single(json_writer *json, const char *key, float number);
void json_put_null(json_writer *json, const char *key);
void json_put_bool(json_writer *json, const char *key, bool value);
/* A value that is JSON already; it comes out on one line too. */
void json_put_source(json_writer *json, const char *key, const char *source, size_t length);
void json_put_ids(json_writer *json, const char *key, const uint32_t *ids, size_t count);

#endif
