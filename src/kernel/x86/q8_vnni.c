/* Products of 8-bit weights with AVX-512 VNNI. */
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PRAGMA(text) _Pragma(#text)
#define INLINE       static inline __attribute__((always_inline))
#define UNROLL(n)    PRAGMA(GCC unroll n)

typedef __m512i ints;
typedef __m512 reals;
typedef __m512i codes; /* q + 128 */
#define LANES       16
#define REALS(name) _mm512_##name

enum { TILE_BATCH = 6, TILE_PARTS = 2 };

#define PANEL_AHEAD ((distance){8192, 1024})

INLINE codes load_codes(const uint8_t *from)
{
    return _mm512_load_si512(from);
}

/* -128 times the sum of the digits, from -12 times it: a multiple of 12, so that the product with
 * the inverse of 3 modulo 2^32 is its third. */
INLINE ints first_sum(const uint8_t *high)
{
    uint32_t value;
    memcpy(&value, high, sizeof value);
    return _mm512_set1_epi32((int32_t)(value * 0xaaaaaaabU * 32U));
}
INLINE ints add_products(ints sum, codes w, ints four)
{
    return _mm512_dpbusd_epi32(sum, w, four);
}
INLINE ints spread_word(const uint8_t *from)
{
    int32_t value;
    memcpy(&value, from, sizeof value);
    return _mm512_set1_epi32(value);
}
INLINE reals spread_real(const uint8_t *from)
{
    return _mm512_castsi512_ps(spread_word(from));
}
INLINE reals load_scales(const uint8_t *from)
{
    __m256i sixteen = _mm256_load_si256((const __m256i *)(const void *)from);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(sixteen), 16));
}

#include "kernel/x86/q8_tile_body.h"

/* y [count, Q8_PANEL_ROWS] = products of a panel and `count` activation rows. The groups of one
 * partial sum are taken together, so that it stays in registers. */
INLINE void multiply_tile(const uint8_t *panel, size_t groups, const uint8_t *x, size_t row_bytes,
                          size_t count, float *y)
{
    for (size_t first = 0; first < Q8_PANEL_ROWS; first += TILE_ROWS) {
        for (size_t place = 0; place < FIXED_GROUPS; place++) {
            tile_sums sums;
            clear_sums(sums, count);
            const uint8_t *block = x;
            for (size_t g = place; g < groups; g += FIXED_GROUPS) {
                add_group(panel + g * Q8_GROUP_BYTES, first, block, row_bytes, place, count, sums);
                block += fixed_block_bytes(1);
            }
            UNROLL(8)
            for (size_t b = 0; b < count; b++) {
                UNROLL(2)
                for (size_t part = 0; part < TILE_PARTS; part++) {
                    float *to = y + b * Q8_PANEL_ROWS + first + part * LANES;
                    reals sum = sums[b][part];
                    if (place > 0)
                        sum = REALS(add_ps)(REALS(loadu_ps)(to), sum);
                    REALS(storeu_ps)(to, sum);
                }
            }
        }
    }
}

static void multiply_some(const uint8_t *panel, size_t groups, const uint8_t *x, size_t row_bytes,
                          size_t count, float *y)
{
    switch (count) {
    case TILE_BATCH:
        multiply_tile(panel, groups, x, row_bytes, TILE_BATCH, y);
        return;
    case 1:
        multiply_one(panel, groups, x, y);
        return;
    case 2:
        multiply_tile(panel, groups, x, row_bytes, 2, y);
        return;
    default: /* as 2 and the rest */
        multiply_tile(panel, groups, x, row_bytes, 2, y);
        multiply_some(panel, groups, x + 2 * row_bytes, row_bytes, count - 2,
                      y + 2 * (size_t)Q8_PANEL_ROWS);
        return;
    }
}

static void multiply(const uint8_t *panels, size_t rows, size_t columns, const uint8_t *x,
                     size_t batch, float *y, size_t y_stride)
{
    size_t groups = columns / FIXED_GROUP;
    size_t row_bytes = fixed_row_bytes(columns, 1);
    if (batch == 1) {
        multiply_row(panels, rows, columns, x, y);
        return;
    }
    for (size_t row = 0; row < rows; row += Q8_PANEL_ROWS) {
        const uint8_t *panel = panels + row / Q8_PANEL_ROWS * groups * Q8_GROUP_BYTES;
        size_t wanted = rows - row < Q8_PANEL_ROWS ? rows - row : Q8_PANEL_ROWS;
        for (size_t b = 0; b < batch; b += TILE_BATCH) {
            float all[TILE_BATCH * Q8_PANEL_ROWS];
            size_t count = batch - b < TILE_BATCH ? batch - b : TILE_BATCH;
            multiply_some(panel, groups, x + b * row_bytes, row_bytes, count, all);
            for (size_t i = 0; i < count; i++)
                memcpy(y + (b + i) * y_stride + row, all + i * Q8_PANEL_ROWS, wanted * sizeof *y);
        }
    }
}

void q8_overlay_vnni(q8_table *table)
{
    table->multiply = multiply;
}
