/*
 * Products of MXFP4 weights with one row of fixed-point activations without VNNI, written once over
 * registers of LANES weight rows and compiled once for AVX2 and once for AVX-512.
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
 *     INLINE, UNROLL(n)
 *
 * Rows in lanes leave no sum across lanes to do. vpmaddubsw multiplies codes without sign by digits
 * with sign and adds pairs: at most 2 * 24 * 128 in magnitude, so that five of them fit 16 bits.
 * Four, half a group, are added before vpmaddwd by ones makes 32-bit numbers of pairs.
 */
#include <stdbool.h>
#include <string.h>

#include "kernel/fixed.h"

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
