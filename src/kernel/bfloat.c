#include "kernel/bfloat.h"

#include <math.h>
#include <string.h>

#include "base/number.h"
#include "kernel/packed.h"

enum { STEP = BFLOAT_STEP, LANES = STEP / 2, BLOCK = BFLOAT_BLOCK };

/* What is below 2^-126 is a zero of its sign. */
static float flush(float value)
{
    return fabsf(value) < 0x1p-126F ? copysignf(0.0F, value) : value;
}

/* The place, within a row in steps, of the number of a column. */
static size_t place_of(bfloat_order order, size_t column)
{
    if (order == BFLOAT_DENSE)
        return column / STEP * STEP + column % LANES * 2 + column % STEP / LANES;
    return column / 128 * 128 + column % 4 * STEP + column % 128 / 4;
}

static uint16_t round_number(float x, bfloat_order order)
{
    if (order == BFLOAT_CODED && fabsf(x) < 0x1p-48F)
        x = copysignf(0.0F, x);
    if (order == BFLOAT_CODED && fabsf(x) >= 0x1p64F)
        x = copysignf(INFINITY, x);
    return bf16_from_float(flush(x));
}

static void round_row(const float *x, size_t n, bfloat_order order, uint16_t *row)
{
    memset(row, 0, bfloat_blocks(n) * BLOCK * sizeof *row);
    for (size_t k = 0; k < n; k++)
        row[place_of(order, k)] = round_number(x[k], order);
}

/* Takes a block of both rows into the sums of its lanes. */
static void take_block(const uint16_t *w, const uint16_t *x, float sums[LANES])
{
    for (size_t l = 0; l < LANES; l++) {
        float t = 0.0F;
        for (size_t place = 2 * l; place < BLOCK; place += STEP)
            for (size_t odd = 2; odd-- > 0;)
                t = flush(fmaf(flush(bf16_to_float(w[place + odd])),
                               flush(bf16_to_float(x[place + odd])), t));
        sums[l] += t;
    }
}

static float fold(const float a[LANES])
{
    float s[4];
    for (size_t q = 0; q < 4; q++)
        s[q] = (a[4 * q] + a[4 * q + 2]) + (a[4 * q + 1] + a[4 * q + 3]);
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/* ---- weights in steps ------------------------------------------------------------------------ */

/* Number of a panel's row `row` at `place` of it. */
static uint16_t *panel_at(uint16_t *panel, size_t row, size_t place)
{
    return panel + (place / BLOCK * BFLOAT_ROWS + row) * BLOCK + place % BLOCK;
}

static void clear_row(bfloat_place to, size_t row, size_t columns)
{
    for (size_t first = 0; first < columns; first += BLOCK)
        memset(panel_at(to.panel, to.row + row, first), 0, BLOCK * sizeof *to.panel);
}

static void take_bf16(const uint8_t *w, size_t rows, size_t n, bfloat_place to)
{
    for (size_t r = 0; r < rows; r++) {
        clear_row(to, r, n);
        for (size_t k = 0; k < n; k++)
            memcpy(panel_at(to.panel, to.row + r, place_of(BFLOAT_DENSE, k)), w + 2 * (r * n + k),
                   2);
    }
}

/* One number of a packed group; dense.h draws where its bytes lie. */
static uint16_t packed_number(const packed_group *group, size_t row, size_t column)
{
    const uint8_t *block = group->blocks + column / DENSE_BLOCK_COLUMNS * DENSE_BLOCK_BYTES;
    size_t inside = column % DENSE_BLOCK_COLUMNS;
    size_t byte = inside % 16 / 4 * 16 + inside % 4 * 2 + inside / 16 % 2 + inside / 32 * 8;
    unsigned pair = block[256 + 32 * row + byte % 32];
    unsigned high = group->tables[16 * row + (byte < 32 ? pair & 15 : pair >> 4)];
    return (uint16_t)(block[64 * row + byte] | high << 8);
}

static void take_packed(const uint8_t *data, const dense_group *where, size_t first, size_t rows,
                        size_t n, bfloat_place to)
{
    if (where->escapes == DENSE_RAW) {
        take_bf16(data + (size_t)where->line * DENSE_LINE + 2 * first * n, rows, n, to);
        return;
    }
    packed_group group = group_open(data, where);
    for (size_t r = 0; r < rows; r++) {
        clear_row(to, r, n);
        for (size_t k = 0; k < n; k++)
            *panel_at(to.panel, to.row + r, place_of(BFLOAT_DENSE, k)) =
                packed_number(&group, first + r, k);
    }
    for (size_t i = 0; i < group.escape_count; i++) {
        uint32_t escape = escape_at(&group, i);
        size_t row = escape >> 8 & 3;
        if (row >= first && row < first + rows)
            *panel_at(to.panel, to.row + row - first, place_of(BFLOAT_DENSE, escape >> 10)) |=
                (uint16_t)((escape & 255) << 8);
    }
}

/* Every MXFP4 number is one of bfloat16, overflows aside. */
static uint16_t coded_number(const uint8_t *blocks, uint8_t scale, size_t column)
{
    unsigned codes = blocks[column / 2];
    float value = fp4_to_float(column % 2 == 0 ? codes : codes >> 4);
    return bf16_from_float(scale == 255 ? NAN : ldexpf(value, scale - 127));
}

void bfloat_take_mxfp4_plain(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                             size_t columns, bfloat_place to)
{
    for (size_t r = 0; r < rows; r++) {
        clear_row(to, r, columns);
        for (size_t k = 0; k < columns; k++)
            *panel_at(to.panel, to.row + r, place_of(BFLOAT_CODED, k)) =
                coded_number(blocks + r * columns / 2, scales[(r * columns + k) / 32], k);
    }
}

/* ---- products -------------------------------------------------------------------------------- */

/* How many numbers of a block a row of n numbers has from `first` on. */
static size_t in_block(size_t n, size_t first)
{
    return n - first < BLOCK ? n - first : BLOCK;
}

static void dot_bf16(const uint8_t *w, size_t rows, const uint16_t *x, size_t n, float *y)
{
    for (size_t r = 0; r < rows; r++) {
        float sums[LANES] = {0};
        for (size_t first = 0; first < n; first += BLOCK) {
            uint16_t block[BLOCK] = {0};
            size_t count = in_block(n, first);
            for (size_t k = 0; k < count; k++)
                memcpy(&block[place_of(BFLOAT_DENSE, k)], w + 2 * (r * n + first + k), 2);
            take_block(block, x + first, sums);
        }
        y[r] = fold(sums);
    }
}

/* Row `row` of a packed group. */
static float dot_packed_row(const packed_group *group, size_t row, const uint16_t *x, size_t n)
{
    float sums[LANES] = {0};
    size_t next = 0; /* escape */
    for (size_t first = 0; first < n; first += BLOCK) {
        uint16_t block[BLOCK] = {0};
        for (size_t k = 0; k < in_block(n, first); k++)
            block[place_of(BFLOAT_DENSE, k)] = packed_number(group, row, first + k);
        for (; next < group->escape_count; next++) {
            uint32_t escape = escape_at(group, next);
            if (escape >> 10 >= first + BLOCK)
                break;
            if ((escape >> 8 & 3) == row)
                block[place_of(BFLOAT_DENSE, (escape >> 10) - first)] |=
                    (uint16_t)((escape & 255) << 8);
        }
        take_block(block, x + first, sums);
    }
    return fold(sums);
}

static void dot_packed(const uint8_t *data, const dense_group *groups, size_t count,
                       const uint16_t *x, size_t n, float *y)
{
    for (size_t g = 0; g < count; g++, y += DENSE_GROUP_ROWS) {
        if (groups[g].escapes == DENSE_RAW) {
            dot_bf16(data + (size_t)groups[g].line * DENSE_LINE, DENSE_GROUP_ROWS, x, n, y);
            continue;
        }
        packed_group group = group_open(data, &groups[g]);
        for (size_t r = 0; r < DENSE_GROUP_ROWS; r++)
            y[r] = dot_packed_row(&group, r, x, n);
    }
}

void bfloat_dot_mxfp4_plain(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                            const uint16_t *x, size_t columns, float *y)
{
    for (size_t r = 0; r < rows; r++) {
        float sums[LANES] = {0};
        for (size_t first = 0; first < columns; first += BLOCK) {
            uint16_t block[BLOCK] = {0};
            for (size_t k = first; k < first + in_block(columns, first); k++)
                block[place_of(BFLOAT_CODED, k) - first] =
                    coded_number(blocks + r * columns / 2, scales[(r * columns + k) / 32], k);
            take_block(block, x + first, sums);
        }
        y[r] = fold(sums);
    }
}

static void multiply(const uint16_t *panel, size_t rows, const uint16_t *const *x, size_t count,
                     size_t blocks, bfloat_ahead ahead, float *sums, float *y, size_t y_stride)
{
    (void)ahead;
    for (size_t b = 0; b < count; b++) {
        for (size_t r = 0; r < rows; r++) {
            memset(sums, 0, LANES * sizeof *sums);
            for (size_t block = 0; block < blocks; block++)
                take_block(panel + (block * BFLOAT_ROWS + r) * BLOCK, x[b] + block * BLOCK, sums);
            y[b * y_stride + r] = fold(sums);
        }
    }
}

void bfloat_overlay_plain(bfloat_table *table)
{
    *table = (bfloat_table){.round = round_row,
                            .dot_bf16 = dot_bf16,
                            .dot_packed = dot_packed,
                            .dot_mxfp4 = bfloat_dot_mxfp4_plain,
                            .take_bf16 = take_bf16,
                            .take_packed = take_packed,
                            .take_mxfp4 = bfloat_take_mxfp4_plain,
                            .multiply = multiply};
}
