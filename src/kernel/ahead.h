/*
 * How far ahead the kernels of one activation row ask for their weights: every line one behind
 * another as they lie in memory, whatever order they are read in.
 *
 * Zen 5 reads fastest when lines are asked for 8 to 12 KB ahead, into the first cache. Intel's and
 * Zen 4 want them first in the second cache, but for weights that are read as they lie on Zen 4:
 * these are best left to its own prefetcher and asked for at the last moment. The kernels of AVX2
 * do what Zen 4 likes where its AVX-512 is hidden; on Zen 3 one step or two make no difference.
 */
#ifndef KERNEL_AHEAD_H
#define KERNEL_AHEAD_H

#include <stddef.h>
#include <stdint.h>

/* In bytes, constants after inlining. */
typedef struct distance {
    size_t second; /* into the second cache; 0: never */
    size_t first;  /* into the first, likewise */
} distance;

/* Where a line is asked for first. */
static inline __attribute__((always_inline)) size_t furthest(distance ahead)
{
    return ahead.second > 0 ? ahead.second : ahead.first;
}

static inline __attribute__((always_inline)) void ask(const void *line, distance ahead)
{
    if (ahead.second > 0)
        __builtin_prefetch((const char *)line + ahead.second, 0, 2);
    if (ahead.first > 0)
        __builtin_prefetch((const char *)line + ahead.first, 0, 3);
}

/* Byte `at` of `all` that begin at `from`, and of what is read after them, if that is known; else
 * what lies right behind them will do. */
static inline __attribute__((always_inline)) const uint8_t *
byte_ahead(const uint8_t *from, size_t all, const uint8_t *next, size_t at)
{
    return at >= all && next != NULL ? next + (at - all) : from + at;
}

/* Where lines are asked for once. */
#define AHEAD_ONCE ((distance){0, 12288})

/* Where they are asked for twice. */
#define AHEAD_TWICE ((distance){12288, 4096})

/* Rows that are read one line behind another, where they are asked for at the last moment. */
#define AHEAD_NEAR ((distance){0, 256})

#endif
