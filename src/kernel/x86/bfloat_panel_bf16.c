/* Rounding to bfloat16 numbers, and panels of weights, with AVX-512 BF16. */
#include "kernel/x86/bfloat_steps.h"

/* ---- rounding -------------------------------------------------------------------------------- */

/* Numbers 0 .. 15 and 16 .. 31 of a step, in its order. */
INLINE __m512i pair_up(__m256i low, __m256i high)
{
    return _mm512_or_si512(_mm512_cvtepu16_epi32(low),
                           _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
}

/* Up to 16 floats. */
INLINE __m512 floats(const float *x, size_t count)
{
    __mmask16 inside = (__mmask16)(count < LANES ? (1U << count) - 1U : 0xffffU);
    return _mm512_maskz_loadu_ps(inside, x);
}

INLINE __m256i rounded(const float *x, size_t count)
{
    return (__m256i)_mm512_cvtneps_pbh(floats(x, count));
}

/* The same in the order of words: small ones are zeros, great ones infinite. */
INLINE __m256i rounded_within(const float *x, size_t count)
{
    const __m512 sign = _mm512_set1_ps(-0.0F);
    const __m512 infinity = _mm512_castsi512_ps(_mm512_set1_epi32(0x7f800000));
    __m512 all = floats(x, count);
    __m512 size = _mm512_andnot_ps(sign, all);
    __mmask16 small = _mm512_cmp_ps_mask(size, _mm512_set1_ps(0x1p-48F), _CMP_LT_OQ);
    __mmask16 great = _mm512_cmp_ps_mask(size, _mm512_set1_ps(0x1p64F), _CMP_GE_OQ);
    all = _mm512_mask_and_ps(all, small, all, sign);
    all = _mm512_mask_or_ps(all, great, _mm512_and_ps(all, sign), infinity);
    return (__m256i)_mm512_cvtneps_pbh(all);
}

static void round_dense(const float *x, size_t n, uint16_t *row)
{
    for (size_t k = 0; k < bfloat_blocks(n) * BLOCK; k += STEP)
        _mm512_store_si512(row + k, pair_up(rounded(x + k, behind(n, k)),
                                            rounded(x + k + LANES, behind(n, k + LANES))));
}

/* Four steps of the orders of words and bytes: a quarter of each comes from the same group. */
INLINE void round_coded(const float *x, size_t n, bool words, uint16_t *row)
{
    /* of a group, those of the first step, then of the second, ... */
    static const uint16_t in_words[STEP] = {0,  4,  8,  12, 16, 20, 24, 28, 1,  5,  9,
                                            13, 17, 21, 25, 29, 2,  6,  10, 14, 18, 22,
                                            26, 30, 3,  7,  11, 15, 19, 23, 27, 31};
    static const uint16_t in_bytes[STEP] = {0,  2,  4,  6,  8,  10, 12, 14, 16, 18, 20,
                                            22, 24, 26, 28, 30, 1,  3,  5,  7,  9,  11,
                                            13, 15, 17, 19, 21, 23, 25, 27, 29, 31};
    const __m512i sorted = _mm512_loadu_si512(words ? in_words : in_bytes);
    for (size_t k = 0; k < n; k += BLOCK) {
        for (size_t part = 0; part < 4; part++) {
            size_t first = k + part * STEP;
            size_t low = behind(n, first);
            size_t high = behind(n, first + LANES);
            __m512i step = _mm512_inserti64x4(
                _mm512_castsi256_si512(words ? rounded_within(x + first, low)
                                             : rounded(x + first, low)),
                words ? rounded_within(x + first + LANES, high) : rounded(x + first + LANES, high),
                1);
            step = _mm512_permutexvar_epi16(sorted, step);
            uint16_t *to = row + k + part * 8;
            _mm_store_si128((__m128i *)(void *)to, _mm512_castsi512_si128(step));
            _mm_store_si128((__m128i *)(void *)(to + STEP), _mm512_extracti32x4_epi32(step, 1));
            _mm_store_si128((__m128i *)(void *)(to + 2 * STEP), _mm512_extracti32x4_epi32(step, 2));
            _mm_store_si128((__m128i *)(void *)(to + 3 * STEP), _mm512_extracti32x4_epi32(step, 3));
        }
    }
}

static void round_row(const float *x, size_t n, bfloat_order order, uint16_t *row)
{
    if (order == BFLOAT_DENSE)
        round_dense(x, n, row);
    else if (order == BFLOAT_WORDS)
        round_coded(x, n, true, row);
    else
        round_coded(x, n, false, row);
}

/* Rounds the block of every row at column k and puts lane after lane of all rows together. */
static void round_block(const float *const *x, size_t count, size_t k, size_t n, bfloat_order order,
                        uint16_t *to)
{
    _Alignas(64) uint16_t rows[BFLOAT_MOST_GROUP][BLOCK];
    const __mmask16 inside = (__mmask16)((1U << count) - 1U);
    for (size_t b = 0; b < count; b++)
        round_row(x[b] + k, n - k < BLOCK ? n - k : BLOCK, order, rows[b]);
    for (size_t step = 0; step < BFLOAT_BLOCK_STEPS; step++) {
        __m512i pairs[LANES]; /* of a row, then of a lane */
        UNROLL(16)
        for (size_t b = 0; b < LANES; b++)
            pairs[b] =
                b < count ? _mm512_load_si512(rows[b] + step * STEP) : _mm512_setzero_si512();
        transpose(pairs);
        UNROLL(16)
        for (size_t l = 0; l < LANES; l++, to += 2 * count)
            _mm512_mask_storeu_epi32(to, inside, pairs[l]);
    }
}

static void round_rows(const float *const *x, size_t count, size_t n, bfloat_order order,
                       uint16_t *group)
{
    if (count == 1) {
        round_row(x[0], n, order, group);
        return;
    }
    for (size_t k = 0; k < n; k += BLOCK)
        round_block(x, count, k, n, order, group + k * count);
}

/* ---- panels ---------------------------------------------------------------------------------- */

/* Where a panel has a step of a row. */
INLINE uint16_t *panel_step(bfloat_place to, size_t r, size_t step)
{
    return to.panel + (step * to.rows + to.row + r) * STEP;
}

static void take_bf16(const uint8_t *w, size_t rows, size_t n, bfloat_place to)
{
    for (size_t r = 0; r < rows; r++) {
        const uint8_t *from = w + 2 * r * n;
        for (size_t k = 0; k < bfloat_blocks(n) * BLOCK; k += STEP)
            _mm512_store_si512(
                panel_step(to, r, k / STEP),
                in_order(_mm512_maskz_loadu_epi16(words(behind(n, k)), from + 2 * k)));
    }
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
        place_table table = table_load(group.tables + 16 * (first + r));
        for (size_t k = 0; k < bfloat_blocks(n) * BLOCK; k += DENSE_BLOCK_COLUMNS) {
            __m512i w[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
            if (k < n)
                unpack_steps(group.blocks + k / DENSE_BLOCK_COLUMNS * DENSE_BLOCK_BYTES, first + r,
                             table, w);
            _mm512_store_si512(panel_step(to, r, k / STEP), w[0]);
            _mm512_store_si512(panel_step(to, r, k / STEP + 1), w[1]);
        }
    }
    for (size_t i = 0; i < group.escape_count; i++) {
        uint32_t escape = escape_at(&group, i);
        size_t row = escape >> 8 & 3;
        size_t column = escape >> 10;
        if (row >= first && row < first + rows)
            panel_step(to, row - first, column / STEP)[place_in_step(column)] |=
                (uint16_t)((escape & 255) << 8);
    }
}

void bfloat_overlay_panel_bf16(bfloat_tables *tables)
{
    bfloat_table *const both[] = {&tables->lanes, &tables->tiles};
    for (size_t i = 0; i < 2; i++) {
        both[i]->round = round_rows;
        both[i]->take_bf16 = take_bf16;
        both[i]->take_packed = take_packed;
    }
}
