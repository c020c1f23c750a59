/* Unpacked weights of the kernels that multiply bytes. */
#ifndef KERNEL_X86_FIXED_PANEL_H
#define KERNEL_X86_FIXED_PANEL_H

#include "kernel/fixed.h"

/*
 * A panel holds 32 weight rows as bytes w2 + 12, group after group, padded with zeros to whole
 * blocks and to 32 rows (scale 0):
 *
 *     | quad 0: 32 rows x 4 | quad 1 | ... | quad 7: 32 rows x 4 | 2^(scale - 127): 32 floats |
 *
 * Quads 0 to 3 are columns 0 2 4 6, 8 10 12 14, ... of the group; 4 to 7 columns 1 3 5 7, ...
 */
#define FIXED_PANEL_ROWS  32
#define FIXED_QUAD_BYTES  (FIXED_PANEL_ROWS * 4)
#define FIXED_GROUP_BYTES (9 * FIXED_QUAD_BYTES)

static inline size_t fixed_panel_bytes(size_t columns)
{
    return fixed_blocks(columns) * FIXED_GROUPS * FIXED_GROUP_BYTES;
}

#endif
