/* Tiles of products with AVX2 and FMA, weight rows in the lanes of registers, which leaves no sums
 * across lanes to do. */
#ifndef KERNEL_X86_PAIRS_AVX2_H
#define KERNEL_X86_PAIRS_AVX2_H

#include <string.h>

#include "kernel/x86/fixed_avx2.h"

/*
 * Unpacked weights of PANEL_ROWS rows are lines of four bytes of every row, as many for a group as
 * it takes, and then one of the floats that the group's products are multiplied by. The first are
 * PAIRS lines of two numbers of 16 bits: vpmaddwd multiplies pairs, and neither products nor the
 * sums of a group pass 32 bits.
 */
enum { PANEL_ROWS = 32, LINE = PANEL_ROWS * 4, LANES = 8, PAIRS = FIXED_GROUP / 2 };

INLINE __m256i load(const uint8_t *from)
{
    return _mm256_load_si256((const __m256i *)(const void *)from);
}
INLINE void store(uint8_t *to, __m256i a)
{
    _mm256_store_si256((__m256i *)(void *)to, a);
}

INLINE __m256i spread(const uint8_t *word)
{
    return _mm256_castps_si256(_mm256_broadcast_ss((const float *)(const void *)word));
}

/* 16 registers: 2 x 4 sums, four of weights, one of activations, one of products. */
enum { TILE_ROWS = 2, TILE_PARTS = 4 };

typedef __m256i tile_sums[TILE_ROWS][TILE_PARTS];
typedef __m256 tile_reals[TILE_ROWS][TILE_PARTS];

/* Does something for every row b and part p of a tile. */
#define FOR_TILE(count)                                                                            \
    UNROLL(8)                                                                                      \
    for (size_t b = 0; b < (count); b++)                                                           \
        UNROLL(4)                                                                                  \
    for (size_t p = 0; p < TILE_PARTS; p++)

/* Four bytes of every weight row. */
INLINE void load_line(const uint8_t *line, __m256i parts[TILE_PARTS])
{
    UNROLL(4)
    for (size_t p = 0; p < TILE_PARTS; p++) {
        parts[p] = load(line + p * 4 * LANES);
        KEEP(parts[p]);
    }
}

/*
 * sums += what `multiply` makes of two registers of weights and x, for all of them. Two products
 * and then their additions: on Zen 3 products and additions by turns reach three quarters of the
 * speed, as if all products went to one of two schedulers.
 */
#define TAKE_PARTS(multiply, add, parts, x, sums)                                                  \
    UNROLL(4)                                                                                      \
    for (size_t p = 0; p < TILE_PARTS; p += 2) {                                                   \
        __m256i products[2] = {multiply((parts)[p], x), multiply((parts)[p + 1], x)};              \
        KEEP(products[0]);                                                                         \
        KEEP(products[1]);                                                                         \
        (sums)[p] = add((sums)[p], products[0]);                                                   \
        (sums)[p + 1] = add((sums)[p + 1], products[1]);                                           \
        KEEP((sums)[p]);                                                                           \
        KEEP((sums)[p + 1]);                                                                       \
    }

/* The sums of a group's pairs. */
INLINE void multiply_pairs(const uint8_t *w, const uint8_t *const x[TILE_ROWS], size_t count,
                           tile_sums sums)
{
    FOR_TILE (count)
        sums[b][p] = _mm256_set1_epi32(0);
    UNROLL(16)
    for (size_t pair = 0; pair < PAIRS; pair++) {
        __m256i parts[TILE_PARTS];
        load_line(w + pair * LINE, parts);
        UNROLL(2)
        for (size_t b = 0; b < count; b++) {
            __m256i xs = spread(x[b] + 4 * pair);
            TAKE_PARTS(_mm256_madd_epi16, _mm256_add_epi32, parts, xs, sums[b])
        }
    }
}

/* The partial sums of an activation row: a_0 .. a_3. */
enum { SUMS = FIXED_GROUPS * PANEL_ROWS };

/* Adds a group to a_m of every row. scales: the line of floats; x: the activations' factors. */
INLINE void add_group(const uint8_t *scales, const uint8_t *const x[TILE_ROWS], size_t count,
                      const tile_reals t, float *a)
{
    FOR_TILE (count) {
        __m256 factor = _mm256_mul_ps(_mm256_castsi256_ps(load(scales + p * 4 * LANES)),
                                      _mm256_castsi256_ps(spread(x[b])));
        float *sum = a + b * SUMS + p * LANES;
        _mm256_store_ps(sum, _mm256_fmadd_ps(t[b][p], factor, _mm256_load_ps(sum)));
    }
}

/* y of a row's sums, of which those from `padded` on have had +0 added to them. */
static inline void fold_row(const float *sums, size_t rows, size_t padded, float *y)
{
    float all[PANEL_ROWS];
    for (size_t row = 0; row < PANEL_ROWS; row += LANES) {
        __m256 total = _mm256_setzero_ps();
        for (size_t m = 0; m < FIXED_GROUPS; m++) {
            __m256 sum = _mm256_load_ps(sums + m * PANEL_ROWS + row);
            if (m >= padded)
                sum = _mm256_add_ps(sum, _mm256_setzero_ps());
            total = m == 0 ? sum : _mm256_add_ps(total, sum);
        }
        _mm256_storeu_ps(all + row, total);
    }
    memcpy(y, all, rows * sizeof *y);
}

#endif
