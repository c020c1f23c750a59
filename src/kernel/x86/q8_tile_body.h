/*
 * Products of 8-bit weights with weight rows in lanes, written once over registers of LANES rows.
 *
 * The including file first defines, inline,
 *     ints, reals                LANES 32-bit integers, LANES floats
 *     codes                      four bytes of a weight row in every lane, ready to be multiplied
 *     load_codes(from)           from a quad
 *     first_sum(high)            what a sum begins with; high: where the field of fixed_tail is
 *     add_products(sum, codes, four)   four: a word of four digits in every lane
 *     spread_word, spread_real   from memory to all lanes
 *     load_scales(from)          LANES BF16 numbers
 *     TILE_BATCH, TILE_PARTS     activation rows and registers of weight rows multiplied at once
 *     PANEL_AHEAD                how far ahead a single activation row has its weights fetched
 *     REALS(name)                an intrinsic by what follows _mm256_ or _mm512_
 *     INLINE, UNROLL(n)
 */
#include <string.h>

#include "kernel/ahead.h"
#include "kernel/q8.h"

/* Weight rows of a tile. */
enum { TILE_ROWS = TILE_PARTS * LANES };

typedef reals tile_sums[TILE_BATCH][TILE_PARTS];

/* What a group adds to a tile of `count` activation rows. group: of a panel; first: the tile's
 * first row in it; block: of the first activation row. */
INLINE void add_group(const uint8_t *group, size_t first, const uint8_t *block, size_t row_bytes,
                      size_t place, size_t count, tile_sums sums)
{
    const uint8_t *tail = block + FIXED_COLUMNS + 4 * place;
    ints totals[TILE_BATCH][TILE_PARTS];
    UNROLL(8)
    for (size_t b = 0; b < count; b++)
        UNROLL(4)
    for (size_t part = 0; part < TILE_PARTS; part++)
        totals[b][part] = first_sum(tail + b * row_bytes + offsetof(fixed_tail, high));
    UNROLL(8)
    for (size_t quad = 0; quad < 8; quad++) {
        const uint8_t *from = group + quad * Q8_QUAD_BYTES + 4 * first;
        const uint8_t *digits = block + 16 * place + quad / 4 * 64 + quad % 4 * 4;
        codes w[TILE_PARTS];
        UNROLL(4)
        for (size_t part = 0; part < TILE_PARTS; part++)
            w[part] = load_codes(from + part * 4 * LANES);
        UNROLL(8)
        for (size_t b = 0; b < count; b++) {
            ints four = spread_word(digits + b * row_bytes);
            UNROLL(4)
            for (size_t part = 0; part < TILE_PARTS; part++)
                totals[b][part] = add_products(totals[b][part], w[part], four);
        }
    }
    reals scales[TILE_PARTS];
    UNROLL(4)
    for (size_t part = 0; part < TILE_PARTS; part++)
        scales[part] = load_scales(group + 8 * Q8_QUAD_BYTES + 2 * (first + part * LANES));
    UNROLL(8)
    for (size_t b = 0; b < count; b++) {
        reals half_scale = spread_real(tail + b * row_bytes + offsetof(fixed_tail, half_scale));
        UNROLL(4)
        for (size_t part = 0; part < TILE_PARTS; part++)
            sums[b][part] = REALS(fmadd_ps)(REALS(cvtepi32_ps)(totals[b][part]),
                                            REALS(mul_ps)(scales[part], half_scale), sums[b][part]);
    }
}

INLINE void clear_sums(tile_sums sums, size_t count)
{
    UNROLL(8)
    for (size_t b = 0; b < count; b++)
        UNROLL(4)
    for (size_t part = 0; part < TILE_PARTS; part++)
        sums[b][part] = REALS(setzero_ps)();
}

/* y [Q8_PANEL_ROWS] = products of a panel, read from one end to the other, and one activation row.
 */
INLINE void multiply_one(const uint8_t *panel, size_t groups, const uint8_t *x, float *y)
{
    tile_sums sums[FIXED_GROUPS][Q8_PANEL_ROWS / TILE_ROWS];
    for (size_t place = 0; place < FIXED_GROUPS; place++)
        for (size_t tile = 0; tile < Q8_PANEL_ROWS / TILE_ROWS; tile++)
            clear_sums(sums[place][tile], 1);
    for (size_t first = 0; first < groups; first += FIXED_GROUPS, x += fixed_block_bytes(1)) {
        UNROLL(4)
        for (size_t place = 0; place < FIXED_GROUPS; place++) {
            const uint8_t *group = panel + (first + place) * Q8_GROUP_BYTES;
            if (first + place >= groups)
                break;
            UNROLL(17)
            for (size_t line = 0; line < Q8_GROUP_BYTES / 64; line++)
                ask(group + 64 * line, PANEL_AHEAD);
            UNROLL(4)
            for (size_t tile = 0; tile < Q8_PANEL_ROWS / TILE_ROWS; tile++)
                add_group(group, tile * TILE_ROWS, x, 0, place, 1, sums[place][tile]);
        }
    }
    for (size_t tile = 0; tile < Q8_PANEL_ROWS / TILE_ROWS; tile++) {
        for (size_t part = 0; part < TILE_PARTS; part++) {
            reals sum = sums[0][tile][0][part];
            for (size_t place = 1; place < FIXED_GROUPS; place++)
                sum = REALS(add_ps)(sum, sums[place][tile][0][part]);
            REALS(storeu_ps)(y + tile * TILE_ROWS + part * LANES, sum);
        }
    }
}

static void multiply_row(const uint8_t *panels, size_t rows, size_t columns, const uint8_t *x,
                         float *y)
{
    size_t groups = columns / FIXED_GROUP;
    for (size_t row = 0; row < rows; row += Q8_PANEL_ROWS, panels += groups * Q8_GROUP_BYTES) {
        float all[Q8_PANEL_ROWS];
        size_t wanted = rows - row < Q8_PANEL_ROWS ? rows - row : Q8_PANEL_ROWS;
        multiply_one(panels, groups, x, all);
        memcpy(y + row, all, wanted * sizeof *y);
    }
}
