/* Filling in a gptoss_error. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include "gptoss.h"

/* Writes the sentence into *error (when not NULL) and returns `status`, so that a failing function
 * ends with `return fail(...)` or `status = fail(...); goto fail`. */
gptoss_status fail(gptoss_error *error, gptoss_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* GPTOSS_MEMORY with "out of memory: <what> needs N bytes". */
gptoss_status fail_memory(gptoss_error *error, const char *what, size_t bytes);

#endif
