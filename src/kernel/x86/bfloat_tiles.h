/*
 * The tiles that products of bfloat16 numbers (bfloat.h) use. TDPBF16PS adds to 16 x 16 sums the
 * products of a step of 16 weight rows and a step of 16 activation rows, even and odd numbers
 * apart, each addition rounded.
 */
#ifndef KERNEL_X86_BFLOAT_TILES_H
#define KERNEL_X86_BFLOAT_TILES_H

#include "kernel/x86/bfloat_steps.h"

enum {
    TILE = 16,                  /* rows of either kind */
    TILE_NUMBERS = TILE * STEP, /* a tile of weights */
    PAIR = 2,                   /* tiles of a kind that are at work together */
};

/* The tiles: sums of weights w and activations x are in 2 w + x. */
#define SUMS_00       0
#define SUMS_01       1
#define SUMS_10       2
#define SUMS_11       3
#define WEIGHTS_0     4
#define WEIGHTS_1     5
#define ACTIVATIONS_0 6
#define ACTIVATIONS_1 7

/* What LDTILECFG reads. Source: Intel's manual, "Intel AMX". */
typedef struct tile_shapes {
    uint8_t palette;
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

/*
 * Shapes tiles for full tiles of weights and for `columns` activation rows. It takes as long as
 * twenty products of tiles: parts of tiles that nothing is in are computed like the others, from
 * whatever lies there, and not looked at.
 */
static inline void shape_tiles(size_t columns)
{
    tile_shapes shapes = {.palette = 1};
    for (size_t tile = SUMS_00; tile <= ACTIVATIONS_1; tile++) {
        bool weights = tile == WEIGHTS_0 || tile == WEIGHTS_1;
        shapes.rows[tile] = TILE;
        shapes.row_bytes[tile] = (uint16_t)((weights ? LANES : columns) * sizeof(float));
    }
    _tile_loadconfig(&shapes);
}

#endif
