/*
 * Products of MXFP4 weights with a batch of activation rows (fixed_batch.h) without VNNI, written
 * once over registers of LANES weight rows. The including file first includes fixed_lanes_body.h
 * and defines
 *     BATCH_ROWS, BATCH_PARTS   activation rows and registers of weight rows multiplied at once
 *     ints_store(to, a)         to aligned memory
 *     KEEP(a)                   a is in a register here, and what is below stays below
 *
 * Products of bytes without sign, w2 + 12, and digits with sign are added in 16 bits modulo 2^16.
 * What the sums begin with takes the offset off again, and what is left, at most 16 * 12 * 128 in
 * magnitude, fits.
 */
#include "kernel/x86/fixed_batch.h"

/* ---- weights --------------------------------------------------------------------------------- */

/*
 * A panel of weight rows is unpacked some blocks at a time, which stay in the nearest cache for the
 * whole batch. A group is
 *
 *     | pair 0: 32 rows x 2 numbers w2 | ... | pair 15 |     of two or three digits
 *     | quad 0: 32 rows x 4 codes w2 + 12 | ... | quad 7 |   of one or three
 *     | 2^(scale - 127): 32 floats |
 */
enum { PANEL_ROWS = 32, LINE = PANEL_ROWS * 4 };

INLINE size_t group_bytes(unsigned digits)
{
    return LINE * (fixed_pairs_of(digits) + fixed_quads_of(digits) + 1);
}

/* Groups that are unpacked at a time, whole blocks: 18, 17 or 13 KB. */
INLINE size_t chunk_groups(unsigned digits)
{
    return digits == 1 ? 16 : digits == 2 ? 8 : 4;
}

/* Up to PANEL_ROWS weight rows. */
typedef struct weight_rows {
    const uint8_t *blocks;
    const uint8_t *scales;
    size_t rows;
    size_t groups;
} weight_rows;

/* w2 of the low nibbles, then of the high ones. */
INLINE void decode_signed(ints words, ints numbers[2])
{
    static const int8_t values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    const ints table = ints_rows((const uint8_t *)values, 0);
    const ints nibble = INTS(set1_epi8)(15);
    numbers[0] = INTS(shuffle_epi8)(table, words & nibble);
    numbers[1] = INTS(shuffle_epi8)(table, INTS(srli_epi16)(words, 4) & nibble);
}

INLINE void store_pairs(const ints words[4], uint8_t *to)
{
    UNROLL(4)
    for (size_t k = 0; k < 4; k++) {
        ints numbers[2];
        decode_signed(words[k], numbers);
        UNROLL(2)
        for (size_t i = 0; i < 2; i++) {
            ints even = INTS(srai_epi16)(INTS(slli_epi16)(numbers[i], 8), 8);
            ints_store(to + (4 * k + i) * LINE, even);
            ints_store(to + (4 * k + i + 2) * LINE, INTS(srai_epi16)(numbers[i], 8));
        }
    }
}

INLINE void store_quads(const ints words[4], uint8_t *to)
{
    UNROLL(4)
    for (size_t k = 0; k < 4; k++) {
        ints codes[2];
        decode_words(words[k], codes);
        ints_store(to + 2 * k * LINE, codes[0]);
        ints_store(to + (2 * k + 1) * LINE, codes[1]);
    }
}

/* A block of LANES rows, codes `stride` bytes apart and a word of scales of each, to its place in a
 * chunk. */
INLINE void unpack_block(const uint8_t *codes, size_t stride, ints scales, unsigned digits,
                         uint8_t *to)
{
    const ints first_byte = INTS(set1_epi32)(255);
    UNROLL(1)
    for (size_t m = 0; m < FIXED_GROUPS; m++, to += group_bytes(digits)) {
        ints words[4];
        reals values = reals_or_nan(scale_values(scales, 0), ints_full(scales) & first_byte);
        load_group(codes + 16 * m, stride, words);
        if (digits > 1)
            store_pairs(words, to);
        if (digits != 2)
            store_quads(words, to + fixed_pairs_of(digits) * LINE);
        REALS(store_ps)((float *)(void *)(to + group_bytes(digits) - LINE), values);
        scales = INTS(srli_epi32)(scales, 8);
    }
}

/* A block of LANES rows, of which some may be past the end, as may be some groups: zeros. */
typedef struct block_rows {
    uint8_t codes[LANES][16 * FIXED_GROUPS];
    uint8_t scales[LANES][FIXED_GROUPS];
} block_rows;

/* The block at group g of LANES rows from `row` on. */
INLINE void unpack_rows(const weight_rows *w, size_t row, size_t g, unsigned digits, uint8_t *to)
{
    const uint8_t *codes = w->blocks + 16 * (row * w->groups + g);
    const uint8_t *scales = w->scales + row * w->groups + g;
    if (row + LANES <= w->rows && g + FIXED_GROUPS <= w->groups) {
        unpack_block(codes, 16 * w->groups, ints_words(scales, w->groups), digits, to);
        return;
    }
    block_rows own = {0};
    size_t groups = w->groups - g < FIXED_GROUPS ? w->groups - g : FIXED_GROUPS;
    for (size_t r = 0; r < LANES && row + r < w->rows; r++) {
        memcpy(own.codes[r], codes + 16 * r * w->groups, 16 * groups);
        memcpy(own.scales[r], scales + r * w->groups, groups);
    }
    unpack_block(own.codes[0], sizeof own.codes[0], ints_words(own.scales[0], FIXED_GROUPS), digits,
                 to);
}

/* `count` groups from g, the first of a block, on. */
INLINE void unpack_chunk(const weight_rows *w, size_t g, size_t count, unsigned digits,
                         uint8_t *chunk)
{
    for (size_t row = 0; row < PANEL_ROWS; row += LANES)
        for (size_t i = 0; i < count; i += FIXED_GROUPS)
            unpack_rows(w, row, g + i, digits, chunk + i * group_bytes(digits) + 4 * row);
}

/* ---- products -------------------------------------------------------------------------------- */

typedef ints tile_sums[BATCH_ROWS][BATCH_PARTS];
typedef reals tile_reals[BATCH_ROWS][BATCH_PARTS];

/* Does something for every row b and part p of a tile. */
#define FOR_TILE(count)                                                                            \
    UNROLL(8)                                                                                      \
    for (size_t b = 0; b < (count); b++)                                                           \
        UNROLL(4)                                                                                  \
    for (size_t p = 0; p < BATCH_PARTS; p++)

/* Four bytes of every weight row. */
INLINE void load_line(const uint8_t *line, ints parts[BATCH_PARTS])
{
    UNROLL(4)
    for (size_t p = 0; p < BATCH_PARTS; p++) {
        parts[p] = ints_load(line + p * 4 * LANES);
        KEEP(parts[p]);
    }
}

/* The sums of a group's pairs. */
INLINE void multiply_pairs(const uint8_t *w, const uint8_t *const x[BATCH_ROWS], size_t count,
                           tile_sums sums)
{
    FOR_TILE(count)
    sums[b][p] = INTS(set1_epi32)(0);
    UNROLL(16)
    for (size_t pair = 0; pair < FIXED_PAIRS; pair++) {
        ints parts[BATCH_PARTS];
        load_line(w + pair * LINE, parts);
        FOR_TILE(count)
        {
            ints products = INTS(madd_epi16)(parts[p], spread(x[b] + 4 * pair));
            sums[b][p] = INTS(add_epi32)(sums[b][p], products);
            KEEP(sums[b][p]);
        }
    }
}

/* The sums of a group's quads, which lie at x[b] + at. */
INLINE void multiply_quads(const uint8_t *w, const uint8_t *const x[BATCH_ROWS], size_t at,
                           unsigned digits, size_t count, tile_sums sums)
{
    FOR_TILE(count)
    sums[b][p] = spread(x[b] + fixed_batch_tail(digits) + 4);
    UNROLL(8)
    for (size_t quad = 0; quad < FIXED_QUADS; quad++) {
        ints parts[BATCH_PARTS];
        load_line(w + quad * LINE, parts);
        FOR_TILE(count)
        {
            ints products = INTS(maddubs_epi16)(parts[p], spread(x[b] + at + 4 * quad));
            sums[b][p] = INTS(add_epi16)(sums[b][p], products);
            KEEP(sums[b][p]);
        }
    }
    FOR_TILE(count)
    sums[b][p] = INTS(madd_epi16)(sums[b][p], INTS(set1_epi16)(1));
}

/* t of a group. */
INLINE void multiply_numbers(const uint8_t *w, const uint8_t *const x[BATCH_ROWS], size_t count,
                             unsigned digits, tile_reals t)
{
    tile_sums sums;
    if (digits > 1) {
        multiply_pairs(w, x, count, sums);
        FOR_TILE(count)
        t[b][p] = REALS(cvtepi32_ps)(sums[b][p]);
    }
    if (digits == 2)
        return;
    size_t pairs = fixed_pairs_of(digits);
    multiply_quads(w + pairs * LINE, x, 4 * pairs, digits, count, sums);
    FOR_TILE(count)
    {
        reals low = REALS(cvtepi32_ps)(sums[b][p]);
        t[b][p] = digits == 1 ? low : REALS(fmadd_ps)(t[b][p], REALS(set1_ps)(256.0F), low);
    }
}

/* The partial sums of a row: a_0 .. a_3 [4][PANEL_ROWS]. */
enum { SUMS = FIXED_GROUPS * PANEL_ROWS };

/* What `groups` groups of a chunk add to the sums of a tile. w: the first of the tile's weight
 * rows; x: the groups of the first activation row. */
INLINE void multiply_tile(const uint8_t *w, size_t groups, const uint8_t *x, size_t row_bytes,
                          size_t count, unsigned digits, float *sums)
{
    const uint8_t *at[BATCH_ROWS];
    for (size_t b = 0; b < count; b++)
        at[b] = x + b * row_bytes;
    for (size_t g = 0; g < groups; g++) {
        tile_reals t;
        multiply_numbers(w, at, count, digits, t);
        w += group_bytes(digits);
        FOR_TILE(count)
        {
            const float *scales = (const float *)(const void *)(w - LINE);
            float *sum = sums + b * SUMS + g % FIXED_GROUPS * PANEL_ROWS + p * LANES;
            reals factor = REALS(mul_ps)(REALS(load_ps)(scales + p * LANES),
                                         spread_real(at[b] + fixed_batch_tail(digits)));
            REALS(store_ps)(sum, REALS(fmadd_ps)(t[b][p], factor, REALS(load_ps)(sum)));
        }
        for (size_t b = 0; b < count; b++)
            at[b] += fixed_batch_bytes(digits);
    }
}

/* Memory that is fetched meanwhile, some lines at a step. */
typedef struct fetcher {
    const uint8_t *at;
    size_t lines;
    size_t lines_a_step;
} fetcher;

INLINE void fetch_some(fetcher *f)
{
    for (size_t line = 0; line < f->lines_a_step && f->lines > 0; line++, f->lines--, f->at += 64)
        _mm_prefetch((const char *)f->at, _MM_HINT_T1);
}

/* What a chunk adds to the sums of a batch. x: its groups of the first row. */
INLINE void multiply_chunk(const uint8_t *chunk, size_t groups, const uint8_t *x, size_t row_bytes,
                           size_t batch, unsigned digits, float *sums, fetcher *next)
{
    for (size_t b = 0; b < batch;) {
        size_t count = batch - b < BATCH_ROWS ? 1 : BATCH_ROWS;
        for (size_t row = 0; row < PANEL_ROWS; row += BATCH_PARTS * LANES) {
            if (count == BATCH_ROWS)
                multiply_tile(chunk + 4 * row, groups, x + b * row_bytes, row_bytes, BATCH_ROWS,
                              digits, sums + b * SUMS + row);
            else
                multiply_tile(chunk + 4 * row, groups, x + b * row_bytes, row_bytes, 1, digits,
                              sums + b * SUMS + row);
        }
        fetch_some(next);
        b += count;
    }
}

/* y of a row's sums. */
INLINE void fold_row(const float *sums, size_t rows, size_t groups, float *y)
{
    float all[PANEL_ROWS];
    for (size_t row = 0; row < PANEL_ROWS; row += LANES) {
        reals of[FIXED_GROUPS];
        UNROLL(4)
        for (size_t m = 0; m < FIXED_GROUPS; m++)
            of[m] = REALS(load_ps)(sums + m * PANEL_ROWS + row);
        REALS(storeu_ps)(all + row, fold_sums(of, groups));
    }
    memcpy(y, all, rows * sizeof *y);
}

/* y[b * y_stride + r] = canonical products of up to PANEL_ROWS rows. */
INLINE void multiply_panel(const weight_rows *w, fixed_batch batch, unsigned digits, uint8_t *chunk,
                           fetcher *next, float *y, size_t y_stride)
{
    size_t row_bytes = fixed_row_bytes(w->groups * FIXED_GROUP, digits);
    float *sums = (float *)(void *)(chunk + chunk_groups(digits) * group_bytes(digits));
    memset(sums, 0, batch.count * SUMS * sizeof *sums);
    for (size_t g = 0; g < w->groups; g += chunk_groups(digits)) {
        size_t left = w->groups - g;
        size_t count = left < chunk_groups(digits) ? left : chunk_groups(digits);
        unpack_chunk(w, g, count, digits, chunk);
        multiply_chunk(chunk, count, batch.tiles + g * fixed_batch_bytes(digits), row_bytes,
                       batch.count, digits, sums, next);
    }
    for (size_t b = 0; b < batch.count; b++)
        fold_row(sums + b * SUMS, w->rows, w->groups, y + b * y_stride);
}

INLINE void multiply_digits(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                            size_t columns, fixed_batch batch, unsigned digits, uint8_t *chunk,
                            fixed_ahead ahead, float *y, size_t y_stride)
{
    size_t groups = columns / FIXED_GROUP;
    size_t panels = (rows + PANEL_ROWS - 1) / PANEL_ROWS;
    size_t steps = panels * (groups / chunk_groups(digits) + 1) * (batch.count / BATCH_ROWS + 1);
    fetcher next = {ahead.at, ahead.bytes / 64, ahead.bytes / 64 / steps + 1};
    for (size_t r = 0; r < rows; r += PANEL_ROWS) {
        size_t count = rows - r < PANEL_ROWS ? rows - r : PANEL_ROWS;
        weight_rows w = {blocks + 16 * r * groups, scales + r * groups, count, groups};
        multiply_panel(&w, batch, digits, chunk, &next, y + r, y_stride);
    }
}

static void multiply(const uint8_t *blocks, const uint8_t *scales, size_t rows, size_t columns,
                     fixed_batch batch, unsigned digits, void *scratch, fixed_ahead ahead, float *y,
                     size_t y_stride)
{
    if (digits == 1)
        multiply_digits(blocks, scales, rows, columns, batch, 1, scratch, ahead, y, y_stride);
    else if (digits == 2)
        multiply_digits(blocks, scales, rows, columns, batch, 2, scratch, ahead, y, y_stride);
    else
        multiply_digits(blocks, scales, rows, columns, batch, 3, scratch, ahead, y, y_stride);
}
