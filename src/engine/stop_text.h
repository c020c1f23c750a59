/* Holding back text that may turn out to be a stop text. */
#ifndef ENGINE_STOP_TEXT_H
#define ENGINE_STOP_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/*
 *     buffer  | ready: may be shown | held: could begin a stop text |
 */
typedef struct stop_text {
    const char *const *texts; /* the caller's */
    size_t count;
    char *buffer;
    size_t room;
    size_t held;       /* bytes after the ready ones, waiting for the next push */
    const char *ready; /* valid until the next push; never NULL */
    size_t ready_length;
} stop_text;

/* An empty stop text is refused. */
gptoss_status stop_text_init(stop_text *out, const char *const *texts, size_t count,
                             gptoss_error *error);

/* Accepts a zeroed object. */
void stop_text_free(stop_text *stops);

/* Adds text. *stopped tells that a stop text came: `ready` ends before the first of them and what
 * follows is dropped. */
gptoss_status stop_text_push(stop_text *stops, const char *text, size_t length, bool *stopped,
                             gptoss_error *error);

/* No more text comes: what was held becomes ready too, up to the first stop text in it. */
void stop_text_end(stop_text *stops);

#endif
