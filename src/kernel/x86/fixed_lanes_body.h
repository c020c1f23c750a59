/*
 * Fixed-point products without VNNI, written once over registers of LANES weight rows and compiled
 * once for AVX2 and once for AVX-512.
 *
 * The including file first defines, inline,
 *     ints, reals               LANES 32-bit integers, LANES floats; LANES is 8 or 16
 *     INTS(name), REALS(name)   an intrinsic by what follows _mm256_ or _mm512_
 *     ints_load                 from aligned memory
 *     ints_as_reals             the same bits
 *     ints_rows(from, stride)   16 bytes of each of LANES / 4 rows, `stride` bytes apart
 *     ints_words(from, stride)  32 bits of each of LANES rows
 *     ints_full(words)          not zero in the lanes that have a byte of 255
 *     reals_or_nan(y, where)    y, but NaN in the lanes where `where` is not zero
 *     TILE_BATCH, TILE_PARTS    activation rows and registers of weights that are multiplied at
 * once INLINE, UNROLL(n)
 *
 * Rows in lanes leave no sum across lanes to do. vpmaddubsw multiplies codes without sign by digits
 * with sign and adds pairs: at most 2 * 24 * 128 in magnitude, so that five of them fit 16 bits.
 * Four, half a group, are added before vpmaddwd by ones makes 32-bit numbers of pairs.
 */
#include <stdbool.h>
#include <string.h>

#include "kernel/x86/fixed_panel.h"

INLINE ints spread(const void *word)
{
    int32_t value;
    memcpy(&value, word, sizeof value);
    return INTS(set1_epi32)(value);
}

INLINE reals spread_real(const void *number)
{
    float value;
    memcpy(&value, number, sizeof value);
    return REALS(set1_ps)(value);
}

/* Where the tail of a block of activations is. */
INLINE const fixed_tail *tail_of(const uint8_t *block, unsigned digits)
{
    return (const fixed_tail *)(const void *)(block + (size_t)FIXED_COLUMNS * digits);
}

/* ---- weights --------------------------------------------------------------------------------- */

/* A group of LANES rows, `stride` bytes apart. words[k] has bytes 4 k .. 4 k + 3 of every row: quad
 * k in the low nibbles and quad 4 + k in the high ones. */
INLINE void load_group(const uint8_t *codes, size_t stride, ints words[4])
{
    ints rows[4];
    UNROLL(4)
    for (size_t k = 0; k < 4; k++)
        rows[k] = ints_rows(codes + k * stride, 4 * stride);
    ints a = INTS(unpacklo_epi32)(rows[0], rows[1]);
    ints b = INTS(unpacklo_epi32)(rows[2], rows[3]);
    ints c = INTS(unpackhi_epi32)(rows[0], rows[1]);
    ints d = INTS(unpackhi_epi32)(rows[2], rows[3]);
    words[0] = INTS(unpacklo_epi64)(a, b);
    words[1] = INTS(unpackhi_epi64)(a, b);
    words[2] = INTS(unpacklo_epi64)(c, d);
    words[3] = INTS(unpackhi_epi64)(c, d);
}

/* w2 + 12 of the low nibbles, then of the high ones. */
INLINE void decode_words(ints words, ints codes[2])
{
    static const uint8_t values[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
    const ints table = ints_rows(values, 0);
    const ints nibble = INTS(set1_epi8)(15);
    codes[0] = INTS(shuffle_epi8)(table, words & nibble);
    codes[1] = INTS(shuffle_epi8)(table, INTS(srli_epi16)(words, 4) & nibble);
}

/* 2^(scale - 127) of the scale that is byte `place` of every word; of 255 it is infinity. */
INLINE reals scale_values(ints words, size_t place)
{
    ints bits = place == 0   ? INTS(slli_epi32)(words, 23)
                : place == 1 ? INTS(slli_epi32)(words, 15)
                : place == 2 ? INTS(slli_epi32)(words, 7)
                             : INTS(srli_epi32)(words, 1);
    bits = bits & INTS(set1_epi32)(0x7f800000);
    return ints_as_reals(INTS(max_epi32)(bits, INTS(set1_epi32)(0x00400000))); /* of scale 0 */
}

/* ---- sums ------------------------------------------------------------------------------------ */

/* sums += four pairs of products in 16 bits */
INLINE ints add_pairs(ints sums, ints pairs)
{
    return INTS(add_epi32)(sums, INTS(madd_epi16)(pairs, INTS(set1_epi16)(1)));
}

/* What the sums begin with, so that the offset of the codes is gone at the end. */
INLINE ints first_sum(const fixed_tail *tail, size_t place, unsigned digit, unsigned digits)
{
    if (digit == 2)
        return spread(&tail->low[place]);
    return digit + 1 == (digits == 1 ? 1 : 2) ? spread(&tail->high[place]) : INTS(set1_epi32)(0);
}

/* t of the digits' sums. */
INLINE reals join_digits(const ints sums[FIXED_MAX_DIGITS], unsigned digits)
{
    if (digits == 1)
        return REALS(cvtepi32_ps)(sums[0]);
    reals high = REALS(cvtepi32_ps)(INTS(add_epi32)(INTS(slli_epi32)(sums[0], 8), sums[1]));
    if (digits == 2)
        return high;
    return REALS(fmadd_ps)(high, REALS(set1_ps)(256.0F), REALS(cvtepi32_ps)(sums[2]));
}

/* y = ((a_0 + a_1) + a_2) + a_3, where groups past the end have added +0. */
INLINE reals fold_sums(const reals sums[FIXED_GROUPS], size_t groups)
{
    reals y = REALS(setzero_ps)();
    UNROLL(4)
    for (size_t m = 0; m < FIXED_GROUPS; m++) {
        bool padded = groups % FIXED_GROUPS != 0 && m >= groups % FIXED_GROUPS;
        reals sum = padded ? REALS(add_ps)(sums[m], REALS(setzero_ps)()) : sums[m];
        y = m == 0 ? sum : REALS(add_ps)(y, sum);
    }
    return y;
}

/* ---- one activation row ---------------------------------------------------------------------- */

/* Half a group's products with one digit; `digit` is where its even columns begin. */
INLINE ints dot_half(ints sums, ints codes[2][2], const uint8_t *digit)
{
    ints pairs = INTS(maddubs_epi16)(codes[0][0], spread(digit));
    pairs = INTS(add_epi16)(pairs, INTS(maddubs_epi16)(codes[0][1], spread(digit + 64)));
    pairs = INTS(add_epi16)(pairs, INTS(maddubs_epi16)(codes[1][0], spread(digit + 4)));
    pairs = INTS(add_epi16)(pairs, INTS(maddubs_epi16)(codes[1][1], spread(digit + 68)));
    return add_pairs(sums, pairs);
}

/* t of group `place` of a block of activations and LANES rows of weights. */
INLINE reals dot_group(const uint8_t *weights, size_t stride, const uint8_t *block, size_t place,
                       unsigned digits)
{
    ints words[4];
    ints sums[FIXED_MAX_DIGITS];
    load_group(weights, stride, words);
    UNROLL(3)
    for (unsigned d = 0; d < digits; d++)
        sums[d] = first_sum(tail_of(block, digits), place, d, digits);
    UNROLL(2)
    for (size_t half = 0; half < 2; half++) {
        ints codes[2][2];
        decode_words(words[2 * half], codes[0]);
        decode_words(words[2 * half + 1], codes[1]);
        UNROLL(3)
        for (unsigned d = 0; d < digits; d++)
            sums[d] =
                dot_half(sums[d], codes, block + (size_t)FIXED_COLUMNS * d + 16 * place + 8 * half);
    }
    return join_digits(sums, digits);
}

/* How far ahead weights are fetched: some 500 ns at the memory's speed for one core. */
enum { AHEAD_BYTES = 8192, AHEAD_SCALES = 1024 };

/* The first `count` groups of a block; words: their scales. */
INLINE void dot_block(const uint8_t *codes, size_t stride, ints words, const uint8_t *block,
                      size_t count, unsigned digits, reals sums[FIXED_GROUPS])
{
    UNROLL(4)
    for (size_t m = 0; m < FIXED_GROUPS; m++) {
        if (m >= count)
            continue;
        reals t = dot_group(codes + 16 * m, stride, block, m, digits);
        reals factor = REALS(mul_ps)(scale_values(words, m),
                                     spread_real(&tail_of(block, digits)->half_scale[m]));
        sums[m] = REALS(fmadd_ps)(t, factor, sums[m]);
    }
}

/* The scales of `count` groups, fewer than four, of LANES rows; 0 for the others. */
INLINE ints last_words(const uint8_t *scales, size_t stride, size_t count)
{
    uint8_t words[4 * LANES] __attribute__((aligned(64))) = {0};
    for (size_t r = 0; r < LANES; r++)
        memcpy(words + 4 * r, scales + r * stride, count);
    return ints_load(words);
}

/* The products of LANES rows, `stride` groups apart; 0: of one row, as many times. */
INLINE reals dot_lanes(const uint8_t *codes, const uint8_t *scales, size_t stride, const uint8_t *x,
                       size_t groups, unsigned digits)
{
    reals sums[FIXED_GROUPS];
    ints full = INTS(set1_epi32)(0);
    UNROLL(4)
    for (size_t m = 0; m < FIXED_GROUPS; m++)
        sums[m] = REALS(setzero_ps)();
    size_t g = 0;
    for (; g + FIXED_GROUPS <= groups; g += FIXED_GROUPS, x += fixed_block_bytes(digits)) {
        UNROLL(16)
        for (size_t line = 0; line < LANES; line++)
            _mm_prefetch((const char *)codes + g * LANES * 16 + AHEAD_BYTES + 64 * line,
                         _MM_HINT_T0);
        _mm_prefetch((const char *)scales + g * LANES + AHEAD_SCALES, _MM_HINT_T0);
        ints words = ints_words(scales + g, stride);
        full = full | ints_full(words);
        dot_block(codes + 16 * g, 16 * stride, words, x, FIXED_GROUPS, digits, sums);
    }
    if (g < groups) {
        ints words = last_words(scales + g, stride, groups - g);
        full = full | ints_full(words);
        dot_block(codes + 16 * g, 16 * stride, words, x, groups - g, digits, sums);
    }
    return reals_or_nan(fold_sums(sums, groups), full);
}

INLINE void dot_matrix(const uint8_t *blocks, const uint8_t *scales, size_t rows, const uint8_t *x,
                       size_t columns, unsigned digits, float *y)
{
    size_t groups = columns / FIXED_GROUP;
    for (size_t r = 0; r < rows && rows >= LANES; r += LANES) {
        size_t row = r + LANES <= rows ? r : rows - LANES; /* some rows twice, to the same end */
        REALS(storeu_ps)
        (y + row,
         dot_lanes(blocks + row * groups * 16, scales + row * groups, groups, x, groups, digits));
    }
    for (size_t r = 0; r < rows && rows < LANES; r++) {
        float same[LANES];
        REALS(storeu_ps)
        (same, dot_lanes(blocks + r * groups * 16, scales + r * groups, 0, x, groups, digits));
        y[r] = same[0];
    }
}

static void dot_rows(const uint8_t *blocks, const uint8_t *scales, size_t rows, const uint8_t *x,
                     size_t columns, unsigned digits, float *y)
{
    if (digits == 1)
        dot_matrix(blocks, scales, rows, x, columns, 1, y);
    else if (digits == 2)
        dot_matrix(blocks, scales, rows, x, columns, 2, y);
    else
        dot_matrix(blocks, scales, rows, x, columns, 3, y);
}

/* ---- a panel and a batch --------------------------------------------------------------------- */

/*
 * A tile is up to TILE_BATCH activation rows by TILE_PARTS registers of weight rows. The
 * contraction is cut into chunks whose weights (18 KB) stay in the nearest cache for the whole
 * batch; the partial sums lie parked, [batch][4][32].
 */
enum { CHUNK_BLOCKS = 4, PARKED = FIXED_GROUPS * FIXED_PANEL_ROWS };

typedef ints tile_sums[TILE_BATCH][TILE_PARTS];

/* sums += half a group's products with one digit. digit[b]: the half's even (or odd) columns. */
INLINE void multiply_half(const uint8_t *quads, const uint8_t *const digit[TILE_BATCH], size_t at,
                          size_t count, tile_sums sums)
{
    tile_sums pairs;
    UNROLL(4)
    for (size_t quad = 0; quad < 4; quad++) {
        ints codes[TILE_PARTS];
        UNROLL(4)
        for (size_t part = 0; part < TILE_PARTS; part++)
            codes[part] = ints_load(quads + quad * FIXED_QUAD_BYTES + part * 4 * LANES);
        UNROLL(4)
        for (size_t b = 0; b < count; b++) {
            ints four = spread(digit[b] + at + 4 * quad);
            UNROLL(4)
            for (size_t part = 0; part < TILE_PARTS; part++) {
                ints products = INTS(maddubs_epi16)(codes[part], four);
                pairs[b][part] = quad == 0 ? products : INTS(add_epi16)(pairs[b][part], products);
            }
        }
    }
    UNROLL(4)
    for (size_t b = 0; b < count; b++)
        UNROLL(4)
    for (size_t part = 0; part < TILE_PARTS; part++)
        sums[b][part] = add_pairs(sums[b][part], pairs[b][part]);
}

/* A group's part in the parked sums of a tile. `quads`: the tile's first row in the group. */
INLINE void multiply_group(const uint8_t *quads, const uint8_t *const x[TILE_BATCH], size_t place,
                           size_t count, unsigned digits, float *parked)
{
    tile_sums sums[FIXED_MAX_DIGITS];
    UNROLL(3)
    for (unsigned d = 0; d < digits; d++) {
        UNROLL(4)
        for (size_t b = 0; b < count; b++)
            UNROLL(4)
        for (size_t part = 0; part < TILE_PARTS; part++)
            sums[d][b][part] = first_sum(tail_of(x[b], digits), place, d, digits);
        size_t at = (size_t)FIXED_COLUMNS * d + 16 * place;
        multiply_half(quads, x, at, count, sums[d]);
        multiply_half(quads + 4 * FIXED_QUAD_BYTES, x, at + 64, count, sums[d]);
    }
    const float *scales = (const float *)(const void *)(quads + 8 * FIXED_QUAD_BYTES);
    UNROLL(4)
    for (size_t b = 0; b < count; b++) {
        reals half_scale = spread_real(&tail_of(x[b], digits)->half_scale[place]);
        UNROLL(4)
        for (size_t part = 0; part < TILE_PARTS; part++) {
            ints of_digits[FIXED_MAX_DIGITS];
            UNROLL(3)
            for (unsigned d = 0; d < digits; d++)
                of_digits[d] = sums[d][b][part];
            float *sum = parked + b * PARKED + part * LANES;
            reals factor = REALS(mul_ps)(REALS(load_ps)(scales + part * LANES), half_scale);
            REALS(store_ps)
            (sum, REALS(fmadd_ps)(join_digits(of_digits, digits), factor, REALS(load_ps)(sum)));
        }
    }
}

/* Groups [first, last) of a panel and `count` activation rows, x[b] being where block 0 begins. */
INLINE void multiply_tile(const uint8_t *panel, size_t first, size_t last,
                          const uint8_t *const x[TILE_BATCH], size_t count, unsigned digits,
                          float *parked)
{
    const uint8_t *block[TILE_BATCH];
    for (size_t g = first; g < last; g++) {
        size_t place = g % FIXED_GROUPS;
        for (size_t b = 0; b < count; b++)
            block[b] = x[b] + g / FIXED_GROUPS * fixed_block_bytes(digits);
        UNROLL(1)
        for (size_t row = 0; row < FIXED_PANEL_ROWS; row += TILE_PARTS * LANES)
            multiply_group(panel + g * FIXED_GROUP_BYTES + 4 * row, block, place, count, digits,
                           parked + place * FIXED_PANEL_ROWS + row);
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

static void fold_parked(const float *parked, size_t rows, size_t groups, float *y)
{
    float all[FIXED_PANEL_ROWS];
    for (size_t row = 0; row < FIXED_PANEL_ROWS; row += LANES) {
        reals sums[FIXED_GROUPS];
        UNROLL(4)
        for (size_t m = 0; m < FIXED_GROUPS; m++)
            sums[m] = REALS(load_ps)(parked + m * FIXED_PANEL_ROWS + row);
        REALS(storeu_ps)(all + row, fold_sums(sums, groups));
    }
    memcpy(y, all, rows * sizeof *y);
}

INLINE void multiply_digits(const uint8_t *panel, size_t rows, size_t columns, fixed_batch batch,
                            unsigned digits, float *parked, fixed_ahead ahead, float *y,
                            size_t y_stride)
{
    enum { CHUNK = CHUNK_BLOCKS * FIXED_GROUPS };
    size_t groups = columns / FIXED_GROUP;
    size_t steps = (groups + CHUNK - 1) / CHUNK * ((batch.count + TILE_BATCH - 1) / TILE_BATCH);
    fetcher next = {ahead.at, ahead.bytes / 64, ahead.bytes / 64 / (steps == 0 ? 1 : steps) + 1};
    memset(parked, 0, batch.count * PARKED * sizeof *parked);
    for (size_t first = 0; first < groups; first += CHUNK) {
        size_t last = groups - first < CHUNK ? groups : first + CHUNK;
        for (size_t b = 0; b < batch.count; b += TILE_BATCH) {
            size_t count = batch.count - b < TILE_BATCH ? batch.count - b : TILE_BATCH;
            const uint8_t *x[TILE_BATCH];
            for (size_t i = 0; i < count; i++)
                x[i] = batch.tiles + (b + i) * fixed_row_bytes(columns, digits);
            fetch_some(&next);
            if (count == TILE_BATCH) {
                multiply_tile(panel, first, last, x, TILE_BATCH, digits, parked + b * PARKED);
                continue;
            }
            for (size_t i = 0; i < count; i++)
                multiply_tile(panel, first, last, x + i, 1, digits, parked + (b + i) * PARKED);
        }
    }
    for (size_t b = 0; b < batch.count; b++)
        fold_parked(parked + b * PARKED, rows, groups, y + b * y_stride);
}

static void multiply_panel(const uint8_t *panel, size_t rows, size_t columns, fixed_batch batch,
                           unsigned digits, float *parked, fixed_ahead ahead, float *y,
                           size_t y_stride)
{
    if (digits == 1)
        multiply_digits(panel, rows, columns, batch, 1, parked, ahead, y, y_stride);
    else if (digits == 2)
        multiply_digits(panel, rows, columns, batch, 2, parked, ahead, y, y_stride);
    else
        multiply_digits(panel, rows, columns, batch, 3, parked, ahead, y, y_stride);
}
