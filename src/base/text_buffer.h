/* Text that grows at its end. */
#ifndef BASE_TEXT_BUFFER_H
#define BASE_TEXT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

/* Zero-initialise. After a failed allocation `failed` is set and nothing more is appended, so that
 * one look at the end suffices. */
typedef struct text_buffer {
    char *bytes;   /* [room], terminated by a zero; NULL as long as nothing was appended */
    size_t length; /* without the zero */
    size_t room;
    bool failed;
} text_buffer;

void text_append(text_buffer *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Bytes as they are, zeros too. */
void text_append_bytes(text_buffer *text, const char *bytes, size_t length);

/* A finite number as JSON, in the fewest digits that give it back. */
void text_append_double(text_buffer *text, double value);
void text_append_float(text_buffer *text, float value);

/* `length` bytes as a JSON string with its quotes; U+FFFD for each ill-formed part of the UTF-8. */
void text_append_json(text_buffer *text, const char *bytes, size_t length);

/* Accepts a zeroed buffer, and leaves one. */
void text_free(text_buffer *text);

#endif
