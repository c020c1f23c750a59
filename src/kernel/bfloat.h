/*
 * Products of bfloat16 numbers: weights as they are stored (BF16 rows, packed rows, MXFP4, whose
 * values all are bfloat16 numbers) with activations rounded to bfloat16, to nearest, ties to even.
 *
 * Rows are taken in blocks of four steps of 32 numbers, lane l of a step having two of them, an
 * even and an odd one. Which numbers depends on how the weights are stored, so that each kind is
 * read with the fewest instructions:
 *
 *     order    step        even                   odd
 *     dense    s           32 s + l               32 s + 16 + l
 *     words    4 b + k     128 b + 8 l + k        128 b + 8 l + 4 + k
 *     bytes    4 b + k     128 b + c              128 b + c + 2
 *                          c = 32 [l / 4] + 16 (k mod 2) + 4 (l mod 4) + [k / 2]
 *
 * for k < 4. MXFP4 is taken in words where lanes are multiplied, in bytes where tiles are.
 * What a row lacks to whole blocks is +0. There are two canonical products of a weight row and an
 * activation row, each what some processors have instructions for:
 *
 *     lanes (VDPBF16PS)
 *     t_l   = fma(w_odd, x_odd, t_l), then fma(w_even, x_even, t_l), for the steps of a block
 *             ascending, from +0
 *     a_l   = a_l + t_l, blocks ascending, from +0
 *     s_q   = (a_4q + a_4q+2) + (a_4q+1 + a_4q+3)                    for q < 4
 *     y     = (s_0 + s_1) + (s_2 + s_3)
 *
 *     tiles (TDPBF16PS)
 *     e     = fma(w_even, x_even, e), and o = fma(w_odd, x_odd, o), for the lanes of a step
 *             ascending, from +0
 *     y     = y + (e + o), steps ascending, from +0
 *
 * where w, x and every result below 2^-126, but a_l, s_q and the lanes' y, count as zeros of their
 * sign.
 *
 * In the order of words x is rounded to zero below 2^-48 and to infinity from 2^64 on. Then, for
 * scales from 2^-63 to 2^63, no t is so small or so great that it matters whether the scale of a
 * group, whose lanes are four of a block, multiplies its weights or t: a_l = fma(t_l, scale, a_l).
 *
 * All kernels here are EXACT.
 */
#ifndef KERNEL_BFLOAT_H
#define KERNEL_BFLOAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "kernel/dense.h"

#define BFLOAT_STEP        32 /* numbers */
#define BFLOAT_BLOCK_STEPS 4
#define BFLOAT_BLOCK       (BFLOAT_STEP * BFLOAT_BLOCK_STEPS)

typedef enum bfloat_order {
    BFLOAT_DENSE,
    BFLOAT_WORDS, /* MXFP4 */
    BFLOAT_BYTES, /* MXFP4 */
} bfloat_order;

static inline size_t bfloat_blocks(size_t columns)
{
    return (columns + BFLOAT_BLOCK - 1) / BFLOAT_BLOCK;
}

/* Scales of MXFP4, as stored, that may multiply t and be added to the exponents of weights. */
#define BFLOAT_LEAST_SCALE 64
#define BFLOAT_MOST_SCALE  190

/*
 * Weight rows that serve many activation rows are unpacked to a panel:
 *
 *     panel    [steps][rows][16 lanes][even, odd]
 */

/* A place in a panel where rows of weights go. */
typedef struct bfloat_place {
    uint16_t *panel; /* 64-aligned */
    size_t rows;     /* that the panel has */
    size_t row;      /* the first of those meant */
} bfloat_place;

/*
 * Activation rows that are multiplied together are arranged in a group of `count` rows:
 *
 *     group    [steps][16 lanes][count][even, odd]
 *
 * so that a group of one is a row. Rows in groups take no more room than rows, but behind the last
 * of them there is memory that may be read.
 */
#define BFLOAT_MOST_GROUP 16
#define BFLOAT_BEHIND     64 /* bytes */

/* Rounds n floats of each of `count` rows, at most the table's group, into a group of
 * bfloat_blocks(n) blocks, 64-aligned. */
typedef void (*bfloat_round_fn)(const float *const *x, size_t count, size_t n, bfloat_order order,
                                uint16_t *group);

/* y[r] = canonical product of row r and x, a row rounded in the order that the weights have. The
 * weights are those of dense.bf16 and dense.packed (kernel/dense.h), and MXFP4 as in a checkpoint:
 * blocks [rows, columns/32, 16], scales [rows, columns/32]. */
typedef void (*bfloat_dot_bf16_fn)(const uint8_t *w, size_t rows, const uint16_t *x, size_t n,
                                   float *y);
typedef void (*bfloat_dot_packed_fn)(const uint8_t *data, const dense_group *groups, size_t count,
                                     const uint16_t *x, size_t n, float *y);
typedef void (*bfloat_dot_mxfp4_fn)(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                                    const uint16_t *x, size_t columns, float *y);

/* Puts `rows` rows of weights into their places of a panel; of a packed group those from `first`
 * on. */
typedef void (*bfloat_take_bf16_fn)(const uint8_t *w, size_t rows, size_t n, bfloat_place to);
typedef void (*bfloat_take_packed_fn)(const uint8_t *data, const dense_group *group, size_t first,
                                      size_t rows, size_t n, bfloat_place to);

/* Weight rows that are multiplied at once, at most: whole panels, and whole groups of packed rows.
 */
#define BFLOAT_ROWS 32

/* Memory to bring near meanwhile; it may be empty. */
typedef struct bfloat_ahead {
    const uint8_t *at;
    const uint8_t *scales; /* of MXFP4 */
    size_t bytes;          /* at `at` */
} bfloat_ahead;

/* Floats of scratch for the sums of `count` activation rows. */
#define BFLOAT_SUMS(count) (((count) + 31) / 32 * (size_t)4096)

/*
 * y[b * y_stride + r] = canonical product of row r, r < rows, at most BFLOAT_ROWS, of panels one
 * behind another, and row b, b < count, of groups one behind another, all full but the last; all of
 * `blocks` blocks. sums: [BFLOAT_SUMS(count)] of scratch, 64-aligned.
 */
typedef void (*bfloat_multiply_fn)(const uint16_t *panels, size_t rows, const uint16_t *x,
                                   size_t count, size_t blocks, bfloat_ahead ahead, float *sums,
                                   float *y, size_t y_stride);

/*
 * The same for MXFP4 rows as they are stored, at most BFLOAT_ROWS: their unpacking is part of it.
 */
typedef void (*bfloat_multiply_mxfp4_fn)(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                                         size_t columns, const uint16_t *x, size_t count,
                                         bfloat_ahead ahead, float *sums, float *y,
                                         size_t y_stride);

#define BFLOAT_MOST_BATCH 128

/* The kernels of one of the canonical products. */
typedef struct bfloat_table {
    size_t panel_rows;  /* weight rows of a panel */
    size_t group;       /* activation rows of a group, at most */
    size_t batch;       /* activation rows that unpacked weights serve best, at most */
    bfloat_order coded; /* in which MXFP4 is taken */
    bfloat_round_fn round;
    bfloat_dot_bf16_fn dot_bf16;
    bfloat_dot_packed_fn dot_packed;
    bfloat_dot_mxfp4_fn dot_mxfp4;
    bfloat_take_bf16_fn take_bf16;
    bfloat_take_packed_fn take_packed;
    bfloat_multiply_fn multiply;
    bfloat_multiply_mxfp4_fn multiply_mxfp4;
    bool pays; /* this processor multiplies bfloat16 numbers so faster than floats or digits */
} bfloat_table;

typedef struct bfloat_tables {
    bfloat_table lanes;
    bfloat_table tiles;
} bfloat_tables;

/* The overlays, lowest level first. */
void bfloat_overlay_plain(bfloat_tables *tables);
void bfloat_overlay_panel_bf16(bfloat_tables *tables);                    /* rounding, and panels */
void bfloat_overlay_one_bf16(bfloat_table *lanes, cpu_fetching fetching); /* one activation row */
void bfloat_overlay_many_bf16(bfloat_table *lanes, size_t first_cache);   /* many */
void bfloat_overlay_one_amx(bfloat_table *tiles);
void bfloat_overlay_many_amx(bfloat_table *tiles);

/* In plain C, for scales that vectors do not serve: a block of a row of MXFP4, of which `groups`
 * groups are there; lanes' products with one activation row. */
void bfloat_unpack_block(const uint8_t *codes, const uint8_t *scales, size_t groups,
                         bfloat_order order, uint16_t steps[BFLOAT_BLOCK_STEPS][BFLOAT_STEP]);
void bfloat_dot_mxfp4_lanes(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                            const uint16_t *x, size_t columns, float *y);

#endif
