/* Memory that is taken piece by piece and given back at once. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

typedef struct arena_block arena_block;

/* Zero-initialise. After a failed allocation `failed` stays set, so that one look at the end
 * suffices. */
typedef struct arena {
    arena_block *last;
    bool failed;
} arena;

/* `count` zeroed objects of `size` bytes, aligned for any type; NULL when there is no memory. Also
 * for 0 bytes the result is a pointer of its own. */
void *arena_take(arena *memory, size_t count, size_t size);

/* A copy of bytes, with a zero behind them. */
char *arena_copy(arena *memory, const char *bytes, size_t length);

/* Accepts a zeroed arena, and leaves one. */
void arena_free(arena *memory);

#endif
