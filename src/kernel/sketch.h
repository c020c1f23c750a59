/*
 * Kernels of the sketch: a coarse copy of a matrix whose products with a vector are known to lie
 * within a bound of the exact ones, so that most rows need not be read to find the largest.
 *
 * A weight w of row r and group g (32 columns) is kept as a byte b, in two planes of nibbles:
 *
 *     w ~ scale_r * multiplier_rg * (b - 136),      b - 136 = 16 * (high - 8) + (low - 8)
 *
 *     plane  [rows, groups, 16]   byte j: column j of the group, and in its upper nibble 16 + j
 *
 * The high plane alone is a sketch too, with a larger residual. Integers are exact in any order:
 * every kernel is EXACT.
 */
#ifndef KERNEL_SKETCH_H
#define KERNEL_SKETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#define SKETCH_GROUP 32

/* A digit's sum over the row, at most 255 * 8 * 128 per column, fits in 32 bits. */
#define SKETCH_MAX_COLUMNS 8192

/* What is known of one row besides its planes. */
typedef struct sketch_row {
    float scale;
    float residual[2]; /* norm of what the high plane leaves, and of what both planes leave; not
                          below the true one, infinity when the row is not sketched */
    float norm;        /* not below the norm of the row nor that of either sketch of it */
} sketch_row;

/*
 * A vector in one or two digits of 8 bits, x_k = d_k or 256 * d1_k + d0_k. Beyond the columns they
 * are zero.
 *
 *     digits  [count: d1, d0][2 halves][groups, 16]   half h, group g, j: column 32 g + 16 h + j
 *     centre  [count: d1, d0][groups, 4][2]           what takes 8 off the nibbles:
 *                 [0]  -8 * the digits j = 4 i .. 4 i + 3 of both halves, in words as the products
 *                 [1]  0    of bytes have
 */
typedef struct sketch_vector {
    const int8_t *digits;
    const int16_t *centre;
    size_t groups;
    size_t count; /* of digits, 1 or 2 */
} sketch_vector;

/* Some rows of a plane [rows, groups, 16] with its multipliers [rows, groups]. */
typedef struct sketch_rows {
    const uint8_t *plane;
    const uint8_t *multipliers;
    const uint32_t *ids; /* [count + next] */
    size_t count;        /* those wanted */
    size_t next;         /* those that will be wanted soon, and may be fetched */
} sketch_rows;

/* How many rows ahead a plane is fetched. */
#define SKETCH_AHEAD 8

/*
 * sums[i] = sum over g of multipliers[r, g] * sum over the group of (nibble - 8) * x_k, r being
 * ids[i].
 */
typedef void (*kernel_sketch_product_fn)(const sketch_rows *rows, const sketch_vector *x,
                                         int64_t *sums);

/* What bounds need of x. */
typedef struct sketch_bounds {
    double step; /* of sums */
    float slope;
    float rest;
    float floor;
} sketch_bounds;

/* How far a row's product may lie from its estimate by the high plane (0) or by both (1). */
static inline float sketch_bound(const sketch_row *row, size_t planes, const sketch_bounds *x)
{
    float sum = row->residual[planes] * x->slope + row->norm * x->rest;
    return sum * (1.0F + 0x1p-20F) + x->floor;
}

/* Of some rows the largest estimate and the largest that a product can be; infinite where a row has
 * no bound. */
typedef struct sketch_top {
    float estimate;
    float above;
} sketch_top;

/*
 * estimates[i] = 16 * sums[i] * step * scale, rounded to a double after each product and then to a
 * float, and its bound by the high plane, whose sums they are; `known` is of the same `count` rows.
 * Returns their top; of no rows it is negative infinity.
 */
typedef sketch_top (*kernel_sketch_estimate_fn)(const int64_t *sums, const sketch_row *known,
                                                size_t count, const sketch_bounds *x,
                                                float *estimates);

/*
 * Sketches one row w [groups * 32], padded with zeros: high and low [groups, 16], multipliers
 * [groups]. A row with a number that is not finite becomes zeros with infinite residuals.
 */
typedef void (*kernel_sketch_build_fn)(const float *w, size_t groups, uint8_t *high, uint8_t *low,
                                       uint8_t *multipliers, sketch_row *row);

typedef struct sketch_table {
    kernel_sketch_product_fn product;
    kernel_sketch_estimate_fn estimate;
    kernel_sketch_build_fn build;
} sketch_table;

/* The overlays, lowest level first. */
void sketch_overlay_plain(sketch_table *table);
void sketch_overlay_avx2(sketch_table *table);
void sketch_overlay_avx512(sketch_table *table);
void sketch_overlay_vnni(sketch_table *table, cpu_fetching fetching);

#endif
