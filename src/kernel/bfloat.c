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
    size_t inside = column % BLOCK;
    size_t step = order == BFLOAT_WORDS ? inside % 4 : inside % 2 * 2 + inside % 32 / 16;
    size_t place = order == BFLOAT_WORDS ? inside / 4 : inside / 32 * 8 + inside % 16 / 2;
    return column - inside + step * STEP + place;
}

static uint16_t round_number(float x, bfloat_order order)
{
    if (order == BFLOAT_WORDS && fabsf(x) < 0x1p-48F)
        x = copysignf(0.0F, x);
    if (order == BFLOAT_WORDS && fabsf(x) >= 0x1p64F)
        x = copysignf(INFINITY, x);
    return bf16_from_float(flush(x));
}

/* The number at `place` of row b in a group. */
static uint16_t group_number(const uint16_t *group, size_t count, size_t b, size_t place)
{
    return group[(place / 2 * count + b) * 2 + place % 2];
}

static void round_rows(const float *const *x, size_t count, size_t n, bfloat_order order,
                       uint16_t *group)
{
    memset(group, 0, count * bfloat_blocks(n) * BLOCK * sizeof *group);
    for (size_t b = 0; b < count; b++) {
        for (size_t k = 0; k < n; k++) {
            size_t place = place_of(order, k);
            group[(place / 2 * count + b) * 2 + place % 2] = round_number(x[b][k], order);
        }
    }
}

/* ---- weights in steps ------------------------------------------------------------------------ */

/* The number at `place` of row `row` of those meant. */
static uint16_t *panel_at(bfloat_place to, size_t row, size_t place)
{
    return to.panel + (place / STEP * to.rows + to.row + row) * STEP + place % STEP;
}

static void clear_row(bfloat_place to, size_t row, size_t columns)
{
    for (size_t place = 0; place < bfloat_blocks(columns) * BLOCK; place += STEP)
        memset(panel_at(to, row, place), 0, STEP * sizeof *to.panel);
}

static void take_bf16(const uint8_t *w, size_t rows, size_t n, bfloat_place to)
{
    for (size_t r = 0; r < rows; r++) {
        clear_row(to, r, n);
        for (size_t k = 0; k < n; k++)
            memcpy(panel_at(to, r, place_of(BFLOAT_DENSE, k)), w + 2 * (r * n + k), 2);
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
            *panel_at(to, r, place_of(BFLOAT_DENSE, k)) = packed_number(&group, first + r, k);
    }
    for (size_t i = 0; i < group.escape_count; i++) {
        uint32_t escape = escape_at(&group, i);
        size_t row = escape >> 8 & 3;
        if (row >= first && row < first + rows)
            *panel_at(to, row - first, place_of(BFLOAT_DENSE, escape >> 10)) |=
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

void bfloat_unpack_block(const uint8_t *codes, const uint8_t *scales, size_t groups,
                         bfloat_order order, uint16_t steps[BFLOAT_BLOCK_STEPS][STEP])
{
    memset(steps, 0, BFLOAT_BLOCK_STEPS * sizeof *steps);
    for (size_t k = 0; k < groups * 32; k++) {
        size_t place = place_of(order, k);
        steps[place / STEP][place % STEP] = coded_number(codes, scales[k / 32], k);
    }
}

/* How many numbers of a block a row of n numbers has from `first` on. */
static size_t in_block(size_t n, size_t first)
{
    return n - first < BLOCK ? n - first : BLOCK;
}

/* ---- products -------------------------------------------------------------------------------- */

/* What has been added up of a product. */
typedef struct product_sums {
    bool tiles;
    float lanes[LANES];
    float y; /* of tiles */
} product_sums;

static float multiply_add(uint16_t w, uint16_t x, float sum)
{
    return flush(fmaf(flush(bf16_to_float(w)), flush(bf16_to_float(x)), sum));
}

/* Takes a step of a row of weights and of row b of a group. */
static void take_step_tiles(const uint16_t *w, const uint16_t *x, size_t count, size_t b,
                            product_sums *sums)
{
    float even = 0.0F;
    float odd = 0.0F;
    for (size_t place = 0; place < STEP; place += 2) {
        even = multiply_add(w[place], group_number(x, count, b, place), even);
        odd = multiply_add(w[place + 1], group_number(x, count, b, place + 1), odd);
    }
    sums->y = flush(sums->y + flush(even + odd));
}

/* Takes a block: its steps are w_stride numbers apart. */
static void take_block(const uint16_t *w, size_t w_stride, const uint16_t *x, size_t count,
                       size_t b, product_sums *sums)
{
    if (sums->tiles) {
        for (size_t step = 0; step < BFLOAT_BLOCK_STEPS; step++)
            take_step_tiles(w + step * w_stride, x + step * count * STEP, count, b, sums);
        return;
    }
    for (size_t l = 0; l < LANES; l++) {
        float t = 0.0F;
        for (size_t step = 0; step < BFLOAT_BLOCK_STEPS; step++)
            for (size_t odd = 2; odd-- > 0;)
                t = multiply_add(w[step * w_stride + 2 * l + odd],
                                 group_number(x, count, b, step * STEP + 2 * l + odd), t);
        sums->lanes[l] += t;
    }
}

static float fold(const product_sums *sums)
{
    const float *a = sums->lanes;
    float s[4];
    if (sums->tiles)
        return sums->y;
    for (size_t q = 0; q < 4; q++)
        s[q] = (a[4 * q] + a[4 * q + 2]) + (a[4 * q + 1] + a[4 * q + 3]);
    return (s[0] + s[1]) + (s[2] + s[3]);
}

static void dot_bf16(bool tiles, const uint8_t *w, size_t rows, const uint16_t *x, size_t n,
                     float *y)
{
    for (size_t r = 0; r < rows; r++) {
        product_sums sums = {.tiles = tiles};
        for (size_t first = 0; first < n; first += BLOCK) {
            uint16_t block[BLOCK] = {0};
            size_t count = in_block(n, first);
            for (size_t k = 0; k < count; k++)
                memcpy(&block[place_of(BFLOAT_DENSE, k)], w + 2 * (r * n + first + k), 2);
            take_block(block, STEP, x + first, 1, 0, &sums);
        }
        y[r] = fold(&sums);
    }
}

/* Row `row` of a packed group. */
static float dot_packed_row(bool tiles, const packed_group *group, size_t row, const uint16_t *x,
                            size_t n)
{
    product_sums sums = {.tiles = tiles};
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
        take_block(block, STEP, x + first, 1, 0, &sums);
    }
    return fold(&sums);
}

static void dot_packed(bool tiles, const uint8_t *data, const dense_group *groups, size_t count,
                       const uint16_t *x, size_t n, float *y)
{
    for (size_t g = 0; g < count; g++, y += DENSE_GROUP_ROWS) {
        if (groups[g].escapes == DENSE_RAW) {
            dot_bf16(tiles, data + (size_t)groups[g].line * DENSE_LINE, DENSE_GROUP_ROWS, x, n, y);
            continue;
        }
        packed_group group = group_open(data, &groups[g]);
        for (size_t r = 0; r < DENSE_GROUP_ROWS; r++)
            y[r] = dot_packed_row(tiles, &group, r, x, n);
    }
}

static void dot_mxfp4(bool tiles, const uint8_t *blocks, const uint8_t *scales, size_t rows,
                      const uint16_t *x, size_t columns, float *y)
{
    for (size_t r = 0; r < rows; r++) {
        product_sums sums = {.tiles = tiles};
        for (size_t first = 0; first < columns; first += BLOCK) {
            uint16_t steps[BFLOAT_BLOCK_STEPS][STEP];
            size_t at = r * columns + first;
            bfloat_unpack_block(blocks + at / 2, scales + at / 32, in_block(columns, first) / 32,
                                tiles ? BFLOAT_BYTES : BFLOAT_WORDS, steps);
            take_block(steps[0], STEP, x + first, 1, 0, &sums);
        }
        y[r] = fold(&sums);
    }
}

/* The product of a row of weights, whose steps are w_stride numbers apart, and row b of a group. */
static float multiply_rows(bool tiles, const uint16_t *w, size_t w_stride, const uint16_t *group,
                           size_t count, size_t b, size_t blocks)
{
    product_sums sums = {.tiles = tiles};
    for (size_t block = 0; block < blocks; block++)
        take_block(w + block * BFLOAT_BLOCK_STEPS * w_stride, w_stride,
                   group + block * count * BLOCK, count, b, &sums);
    return fold(&sums);
}

/* The rows of panels and groups, by arithmetic. */
enum { LANES_PANEL = 8, LANES_GROUP = 1, TILES_PANEL = 16, TILES_GROUP = 16 };

/* Activation rows, in groups. */
typedef struct grouped_rows {
    const uint16_t *x;
    size_t count;
    size_t most; /* of a group */
    size_t blocks;
} grouped_rows;

/* The group that row b is in: its first number, and its rows; b becomes its place there. */
static const uint16_t *group_of(const grouped_rows *all, size_t *b, size_t *rows)
{
    size_t first = *b / all->most * all->most;
    *rows = all->count - first < all->most ? all->count - first : all->most;
    *b -= first;
    return all->x + first * all->blocks * BLOCK;
}

static void multiply(bool tiles, const uint16_t *panels, size_t rows, const grouped_rows *all,
                     float *y, size_t y_stride)
{
    size_t panel = tiles ? TILES_PANEL : LANES_PANEL;
    for (size_t i = 0; i < all->count; i++) {
        size_t b = i;
        size_t count;
        const uint16_t *group = group_of(all, &b, &count);
        for (size_t r = 0; r < rows; r++) {
            const uint16_t *w =
                panels + (r / panel * all->blocks * BLOCK * panel) + r % panel * STEP;
            y[i * y_stride + r] =
                multiply_rows(tiles, w, panel * STEP, group, count, b, all->blocks);
        }
    }
}

static float multiply_coded(bool tiles, const uint8_t *blocks, const uint8_t *scales,
                            size_t columns, const uint16_t *group, size_t count, size_t b)
{
    product_sums sums = {.tiles = tiles};
    for (size_t column = 0; column < columns; column += BLOCK) {
        uint16_t steps[BFLOAT_BLOCK_STEPS][STEP];
        bfloat_unpack_block(blocks + column / 2, scales + column / 32,
                            in_block(columns, column) / 32, tiles ? BFLOAT_BYTES : BFLOAT_WORDS,
                            steps);
        take_block(steps[0], STEP, group + column * count, count, b, &sums);
    }
    return fold(&sums);
}

static void multiply_mxfp4(bool tiles, const uint8_t *blocks, const uint8_t *scales, size_t rows,
                           size_t columns, const grouped_rows *all, float *y, size_t y_stride)
{
    for (size_t i = 0; i < all->count; i++) {
        size_t b = i;
        size_t count;
        const uint16_t *group = group_of(all, &b, &count);
        for (size_t r = 0; r < rows; r++)
            y[i * y_stride + r] =
                multiply_coded(tiles, blocks + r * columns / 2, scales + r * columns / 32, columns,
                               group, count, b);
    }
}

/* ---- lanes ----------------------------------------------------------------------------------- */

static void dot_bf16_lanes(const uint8_t *w, size_t rows, const uint16_t *x, size_t n, float *y)
{
    dot_bf16(false, w, rows, x, n, y);
}

static void dot_packed_lanes(const uint8_t *data, const dense_group *groups, size_t count,
                             const uint16_t *x, size_t n, float *y)
{
    dot_packed(false, data, groups, count, x, n, y);
}

void bfloat_dot_mxfp4_lanes(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                            const uint16_t *x, size_t columns, float *y)
{
    dot_mxfp4(false, blocks, scales, rows, x, columns, y);
}

static void multiply_lanes(const uint16_t *panels, size_t rows, const uint16_t *x, size_t count,
                           size_t blocks, bfloat_ahead ahead, float *sums, float *y,
                           size_t y_stride)
{
    (void)ahead;
    (void)sums;
    multiply(false, panels, rows, &(grouped_rows){x, count, LANES_GROUP, blocks}, y, y_stride);
}

static void multiply_mxfp4_lanes(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                                 size_t columns, const uint16_t *x, size_t count,
                                 bfloat_ahead ahead, float *sums, float *y, size_t y_stride)
{
    (void)ahead;
    (void)sums;
    multiply_mxfp4(false, blocks, scales, rows, columns,
                   &(grouped_rows){x, count, LANES_GROUP, bfloat_blocks(columns)}, y, y_stride);
}

/* ---- tiles ----------------------------------------------------------------------------------- */

static void dot_bf16_tiles(const uint8_t *w, size_t rows, const uint16_t *x, size_t n, float *y)
{
    dot_bf16(true, w, rows, x, n, y);
}

static void dot_packed_tiles(const uint8_t *data, const dense_group *groups, size_t count,
                             const uint16_t *x, size_t n, float *y)
{
    dot_packed(true, data, groups, count, x, n, y);
}

static void dot_mxfp4_tiles(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                            const uint16_t *x, size_t columns, float *y)
{
    dot_mxfp4(true, blocks, scales, rows, x, columns, y);
}

static void multiply_tiles(const uint16_t *panels, size_t rows, const uint16_t *x, size_t count,
                           size_t blocks, bfloat_ahead ahead, float *sums, float *y,
                           size_t y_stride)
{
    (void)ahead;
    (void)sums;
    multiply(true, panels, rows, &(grouped_rows){x, count, TILES_GROUP, blocks}, y, y_stride);
}

static void multiply_mxfp4_tiles(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                                 size_t columns, const uint16_t *x, size_t count,
                                 bfloat_ahead ahead, float *sums, float *y, size_t y_stride)
{
    (void)ahead;
    (void)sums;
    multiply_mxfp4(true, blocks, scales, rows, columns,
                   &(grouped_rows){x, count, TILES_GROUP, bfloat_blocks(columns)}, y, y_stride);
}

void bfloat_overlay_plain(bfloat_tables *tables)
{
    tables->lanes = (bfloat_table){.panel_rows = LANES_PANEL,
                                   .group = LANES_GROUP,
                                   .batch = 96,
                                   .coded = BFLOAT_WORDS,
                                   .round = round_rows,
                                   .dot_bf16 = dot_bf16_lanes,
                                   .dot_packed = dot_packed_lanes,
                                   .dot_mxfp4 = bfloat_dot_mxfp4_lanes,
                                   .take_bf16 = take_bf16,
                                   .take_packed = take_packed,
                                   .multiply = multiply_lanes,
                                   .multiply_mxfp4 = multiply_mxfp4_lanes};
    tables->tiles = (bfloat_table){.panel_rows = TILES_PANEL,
                                   .group = TILES_GROUP,
                                   .batch = BFLOAT_MOST_BATCH,
                                   .coded = BFLOAT_BYTES,
                                   .round = round_rows,
                                   .dot_bf16 = dot_bf16_tiles,
                                   .dot_packed = dot_packed_tiles,
                                   .dot_mxfp4 = dot_mxfp4_tiles,
                                   .take_bf16 = take_bf16,
                                   .take_packed = take_packed,
                                   .multiply = multiply_tiles,
                                   .multiply_mxfp4 = multiply_mxfp4_tiles};
}
