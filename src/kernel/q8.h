/*
 * Products of weights in 8 bits with activations in 8 bits: dense matrices that were rounded to
 * whole multiples q of a scale, one for every 32 columns of a row.
 *
 *     s = max|w| / 127, rounded up to BF16;   q_i = nearest whole number of w_i * (1 / s), ties to
 *                                             even, within +-127
 *
 * with one rounding for each operation. A group whose largest weight is below 2^-96 counts as zeros
 * (s = 0); one that has a NaN or an infinity has q = 0 and s = NaN.
 *
 * Activations are rows prepared with one digit (kernel/fixed.h): whole multiples N of a scale, 32
 * of which share it. The canonical product of a weight row and an activation row:
 *
 *     t_g   = sum over the group of q * N           exact
 *     f_g   = (2 * s_g) * (scale of N / 2)
 *     a_m   = sum over g = m, m + 4, m + 8, ...     a_m = fma(t_g, f_g, a_m), ascending, from +0
 *     y     = ((a_0 + a_1) + a_2) + a_3
 *
 * Nothing else is rounded, so the kernels are EXACT at every level.
 */
#ifndef KERNEL_Q8_H
#define KERNEL_Q8_H

#include <stddef.h>
#include <stdint.h>

#include "kernel/fixed.h"

/*
 * A panel holds 32 weight rows, group after group, those past the last row as zeros:
 *
 *     | quad 0: 32 rows x 4 | quad 1 | ... | quad 7: 32 rows x 4 | 2 s: 32 BF16 |
 *
 * of bytes q + 128; the quads have the columns that those of fixed panels have. A product with rows
 * in lanes needs neither unpacking nor sums across lanes.
 */
#define Q8_PANEL_ROWS  32
#define Q8_QUAD_BYTES  (Q8_PANEL_ROWS * 4)
#define Q8_GROUP_BYTES (8 * Q8_QUAD_BYTES + Q8_PANEL_ROWS * 2)

/* Bytes of the panels of `rows` rows. */
static inline size_t q8_bytes(size_t rows, size_t columns)
{
    return (rows + Q8_PANEL_ROWS - 1) / Q8_PANEL_ROWS * (columns / FIXED_GROUP) * Q8_GROUP_BYTES;
}

/* Rounds 1 to 32 weight rows [rows, columns], columns a multiple of 32, to a panel, 64-aligned. */
typedef void (*q8_pack_fn)(const float *w, size_t rows, size_t columns, uint8_t *panel);

/* y[b * y_stride + r] = canonical product of row r of the panels and row b of `batch` rows
 * prepared with one digit, one after another at x. */
typedef void (*q8_multiply_fn)(const uint8_t *panels, size_t rows, size_t columns, const uint8_t *x,
                               size_t batch, float *y, size_t y_stride);

typedef struct q8_table {
    q8_pack_fn pack;
    q8_multiply_fn multiply;
} q8_table;

/* The overlays, lowest level first. */
void q8_overlay_plain(q8_table *table);
void q8_overlay_avx2(q8_table *table);
void q8_overlay_vnni(q8_table *table);

#endif
