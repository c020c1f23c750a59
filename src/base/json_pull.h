/*
 * Reading JSON from front to back, without building a tree. For documents of tens of megabytes,
 * where a tree costs six times their size in memory; all else reads through base/json.h.
 *
 *     pull_object(reader)            {
 *     pull_member(reader, &name)     "name":      true: a value follows, which must be read
 *     pull_number, _string, ...      value
 *     pull_member(reader, &name)     }            false: the object has ended
 */
#ifndef BASE_JSON_PULL_H
#define BASE_JSON_PULL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define JSON_PULL_MAX_DEPTH 64

/* Bytes that need not be terminated and may hold zeros. */
typedef struct byte_span {
    const char *data;
    size_t length;
} byte_span;

bool byte_span_is(byte_span span, const char *text);

/*
 * The first fault stops the reader: every later call returns false (or JSON_FAULT) and *error keeps
 * the sentence, with the byte offset. So a caller may test once at the end of a run of calls.
 */
typedef struct json_pull {
    const char *what; /* names the text in errors */
    const char *start;
    const char *at;
    const char *end;
    bool fresh; /* just after the opening bracket: no comma yet */
    gptoss_status status;
    gptoss_error *error;
    char *buffer; /* the last string that had escapes */
    size_t capacity;
} json_pull;

typedef enum json_kind {
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_BOOL,
    JSON_NULL,
    JSON_FAULT, /* nothing that begins a value, or the reader has stopped */
} json_kind;

/* Begins with the document's value. `text` must outlive the reader; `error` may be NULL. */
void pull_open(json_pull *reader, const char *text, size_t length, const char *what,
               gptoss_error *error);
void pull_close(json_pull *reader);

/* Stops the reader with a sentence of the caller's: "<what>: byte <offset>: <sentence>". */
bool pull_fail(json_pull *reader, gptoss_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Stops the reader when `status` is that of a failure whose sentence *error has. Returns whether it
 * goes on. */
bool pull_accept(json_pull *reader, gptoss_status status);

/* The kind of the value that comes next. */
json_kind pull_peek(json_pull *reader);

/* Enter an object or array; each returns false, with an error, when the value is something else. */
bool pull_object(json_pull *reader);
bool pull_array(json_pull *reader);

/* The next member or element; false at the end of the container or when the reader has stopped. A
 * name lives until the next string is read. */
bool pull_member(json_pull *reader, byte_span *name);
bool pull_element(json_pull *reader);

/* Read a value of one kind; false, with an error, when it is another. A string is well-formed UTF-8
 * and lives until the next is read. A number here is whole and at most `max`. */
bool pull_string(json_pull *reader, byte_span *out);
bool pull_bool(json_pull *reader, bool *out);
bool pull_u64(json_pull *reader, uint64_t max, uint64_t *out);

/* Reads over a value of any kind, checking its grammar. */
bool pull_skip(json_pull *reader);

/* A place before a value, and going back or ahead to one, for members whose order matters. */
const char *pull_mark(const json_pull *reader);
void pull_seek(json_pull *reader, const char *mark);

/* Whether nothing but white space is left. */
bool pull_end(json_pull *reader);

#endif
