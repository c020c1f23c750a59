/*
 * What every fuzz target shares. A target is one file fuzz_NAME.c with LLVMFuzzerTestOneInput. It
 * is linked three times: with replay.c (the corpus as a test), with mutate.c (many mutations of the
 * corpus, the same ones each time) and, built by clang, with libFuzzer.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "gptoss.h"

/* The target's entry; always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Records how an input ended, and aborts when the library broke its word: a failure whose error has
 * another status, or no sentence. Returns 0. */
int fuzz_judge(gptoss_status status, const gptoss_error *error);

/* Aborts with the text of the condition when something that was loaded makes no sense. */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fuzz_abort(__FILE__, __LINE__, #condition);                                            \
    } while (0)
void fuzz_abort(const char *file, int line, const char *condition) __attribute__((noreturn));

/* How the last input ended. */
gptoss_status fuzz_last_status(void);

/* The last error's sentence; empty after an input that was loaded. */
const char *fuzz_last_message(void);

#endif
