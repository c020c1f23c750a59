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

#if defined(__clang_analyzer__) && !defined(BASE_STATUS_C)
/* The analyzer sees one file at a time: this tells it that what fails is not GPTOSS_OK. */
#define fail(error, status, ...)        (fail(error, status, __VA_ARGS__), (status))
#define fail_memory(error, what, bytes) (fail_memory(error, what, bytes), GPTOSS_MEMORY)
#endif

#endif
