/* The whole test framework: CHECK counts and reports, test_result() ends main(). */
#ifndef TESTS_UNIT_CHECK_H
#define TESTS_UNIT_CHECK_H

#include <stdio.h>

static int checks_failed;
static int checks_done;

/* Fails with the file, the line, the expression and a printf-style note. */
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        checks_done++;                                                                             \
        if (!(condition)) {                                                                        \
            checks_failed++;                                                                       \
            fprintf(stderr, "%s:%d: failed: %s: ", __FILE__, __LINE__, #condition);                \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
        }                                                                                          \
    } while (0)

/* The exit status: 0 only when something was checked and all of it held. */
static inline int test_result(void)
{
    printf("%d checks, %d failed\n", checks_done, checks_failed);
    return checks_failed == 0 && checks_done > 0 ? 0 : 1;
}

#endif
