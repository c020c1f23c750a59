#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 4096U
#define ALIGNMENT   _Alignof(max_align_t)

struct arena_block {
    arena_block *before;
    size_t used;
    size_t room;
    max_align_t bytes[]; /* [room] bytes */
};

static arena_block *add_block(arena *memory, size_t bytes)
{
    size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    arena_block *block = calloc(1, sizeof *block + room);
    if (block == NULL) {
        memory->failed = true;
        return NULL;
    }
    block->before = memory->last;
    block->room = room;
    memory->last = block;
    return block;
}

void *arena_take(arena *memory, size_t count, size_t size)
{
    if (memory->failed || (size > 0 && count > (SIZE_MAX / 2) / size)) {
        memory->failed = true;
        return NULL;
    }
    size_t bytes = (count * size / ALIGNMENT + 1) * ALIGNMENT;
    arena_block *block = memory->last;
    if (block == NULL || block->room - block->used < bytes)
        block = add_block(memory, bytes);
    if (block == NULL)
        return NULL;
    block->used += bytes;
    return (char *)block->bytes + block->used - bytes;
}

char *arena_copy(arena *memory, const char *bytes, size_t length)
{
    char *copy = arena_take(memory, length + 1, 1);
    if (copy != NULL && length > 0)
        memcpy(copy, bytes, length);
    return copy;
}

void arena_free(arena *memory)
{
    while (memory->last != NULL) {
        arena_block *before = memory->last->before;
        free(memory->last);
        memory->last = before;
    }
    memory->failed = false;
}
