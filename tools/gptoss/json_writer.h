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
void json_key(json_writer *json, const char *key);

/* Each of these takes the key in an object and NULL elsewhere. */
void json_object(json_writer *json, const char *key);
void json_object_end(json_writer *json);
void json_array(json_writer *json, const char *key);
void json_array_end(json_writer *json);
void json_text(json_writer *json, const char *key, const char *text);
void json_bytes(json_writer *json, const char *key, const char *bytes, size_t length);
void json_whole(json_writer *json, const char *key, uint64_t number);
void json_real(json_writer *json, const char *key, double number);  /* reads back equal */
void json_single(json_writer *json, const char *key, float number); /* reads back equal as float */
void json_bool(json_writer *json, const char *key, bool value);
void json_ids(json_writer *json, const char *key, const uint32_t *ids, size_t count);

#endif
