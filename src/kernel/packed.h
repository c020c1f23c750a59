/* Where the parts of a packed group lie; dense.h draws them. */
#ifndef KERNEL_PACKED_H
#define KERNEL_PACKED_H

#include <string.h>

#include "kernel/dense.h"

/* A group, taken apart. */
typedef struct packed_group {
    const uint8_t *tables;
    const uint8_t *escapes; /* 32 bits each */
    const uint8_t *blocks;
    size_t escape_count;
} packed_group;

static inline packed_group group_open(const uint8_t *data, const dense_group *group)
{
    const uint8_t *start = data + (size_t)group->line * DENSE_LINE;
    size_t lines = ((size_t)group->escapes * sizeof(uint32_t) + DENSE_LINE - 1) / DENSE_LINE;
    return (packed_group){.tables = start,
                          .escapes = start + DENSE_LINE,
                          .blocks = start + (1 + lines) * DENSE_LINE,
                          .escape_count = group->escapes};
}

static inline uint32_t escape_at(const packed_group *group, size_t index)
{
    uint32_t escape;
    memcpy(&escape, group->escapes + index * sizeof escape, sizeof escape);
    return escape;
}

/* The block of the next escape, or `end` when there is none before it. */
static inline size_t escape_block(const packed_group *group, size_t index, size_t end)
{
    size_t block =
        index < group->escape_count ? escape_at(group, index) / (DENSE_BLOCK_COLUMNS << 10) : end;
    return block < end ? block : end;
}

#endif
