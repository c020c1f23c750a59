/* Laying objects out one after another in one stretch of memory. */
#ifndef BASE_CARVER_H
#define BASE_CARVER_H

#include <stddef.h>
#include <stdint.h>

/* Walks through reserved memory; with a NULL start it only measures. Begin with {start, 0}. */
typedef struct carver {
    uint8_t *start;
    uint64_t used; /* bytes so far */
} carver;

/* The next `count` objects of `size` bytes, on a cache line of their own; NULL when measuring. */
static inline void *carve(carver *c, uint64_t count, uint64_t size)
{
    uint64_t begin = (c->used + 63) / 64 * 64;
    c->used = begin + count * size;
    return c->start == NULL ? NULL : c->start + begin;
}

#endif
