/*
 * Products of MXFP4 weights with one row of fixed-point activations with AVX2 and FMA.
 *
 * Four weight rows are taken at once, so that they are read nearly in the order in which they lie:
 * a register has two groups of a row. vpmaddubsw multiplies codes without sign by digits with sign
 * and adds pairs, at most 2 * 24 * 128 in magnitude, so that four of them can be added in 16 bits:
 * those of even and of odd columns, and once more in turning two rows into one register. In the end
 *
 *     lane 4 i + r is group i of the two, row r
 */
#include <stdbool.h>
#include <string.h>

#include "kernel/x86/fixed_avx2.h"

enum { TILE_ROWS = 4, PAIR_GROUPS = 2, PAIRS = FIXED_GROUPS / PAIR_GROUPS };

/* How far ahead weights are asked for, line by line as they lie and in small portions. */
enum { AHEAD_BYTES = 8192, AHEAD_SCALES = AHEAD_BYTES / 16 };

/* Weight rows one after another, or one row again and again (with strides of 0). */
typedef struct weight_rows {
    const uint8_t *blocks;
    const uint8_t *scales;
    size_t blocks_stride;
    size_t scales_stride;
} weight_rows;

/* ---- scales ---------------------------------------------------------------------------------- */

/* Groups whose scales are turned at once. */
enum { TURN_GROUPS = 16 };

/* Scales as bytes [group][row]. */
typedef struct turned_scales {
    uint8_t bytes[TURN_GROUPS][TILE_ROWS] __attribute__((aligned(64)));
} turned_scales;

/* Up to 16 scales of a row from group g, a multiple of 16, on, then zeros. */
INLINE __m128i load_scales(const uint8_t *row, size_t g, size_t count)
{
    static const uint8_t slide[2 * TURN_GROUPS] = {
        0,   1,   2,   3,   4,   5,   6,   7,   8,   9,   10,  11,  12,  13,  14,  15,
        128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128};
    if (count == TURN_GROUPS)
        return _mm_loadu_si128((const __m128i *)(const void *)(row + g));
    if (g == 0) {
        uint8_t few[TURN_GROUPS] = {0};
        memcpy(few, row, count);
        return _mm_loadu_si128((const __m128i *)(const void *)few);
    }
    __m128i last = _mm_loadu_si128((const __m128i *)(const void *)(row + g + count - TURN_GROUPS));
    return _mm_shuffle_epi8(
        last, _mm_loadu_si128((const __m128i *)(const void *)(slide + TURN_GROUPS - count)));
}

/* Returns whether one of them is 255. */
INLINE bool turn_scales(const weight_rows *w, size_t g, size_t count, turned_scales *to)
{
    __m128i rows[TILE_ROWS];
    __m128i full = _mm_setzero_si128();
    for (size_t r = 0; r < TILE_ROWS; r++) {
        rows[r] = load_scales(w->scales + r * w->scales_stride, g, count);
        full = _mm_or_si128(full, _mm_cmpeq_epi8(rows[r], _mm_set1_epi8(-1)));
    }
    __m128i pairs[] = {_mm_unpacklo_epi8(rows[0], rows[1]), _mm_unpacklo_epi8(rows[2], rows[3]),
                       _mm_unpackhi_epi8(rows[0], rows[1]), _mm_unpackhi_epi8(rows[2], rows[3])};
    __m128i *out = (__m128i *)(void *)to->bytes;
    for (size_t i = 0; i < 2; i++) {
        _mm_store_si128(out + 2 * i, _mm_unpacklo_epi16(pairs[2 * i], pairs[2 * i + 1]));
        _mm_store_si128(out + 2 * i + 1, _mm_unpackhi_epi16(pairs[2 * i], pairs[2 * i + 1]));
    }
    return _mm_movemask_epi8(full) != 0;
}

INLINE __m256 load_scale_values(const uint8_t *turned)
{
    return scale_values(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)turned)));
}

/* ---- products -------------------------------------------------------------------------------- */

/* What the compiler would make anew each time. */
typedef struct constants {
    __m256i units[2];     /* 1 and 256, in 16 bits */
    __m256i lanes[PAIRS]; /* of the words of its groups, each four times */
} constants;

INLINE constants make_constants(void)
{
    constants c = {{_mm256_set1_epi16(1), _mm256_set1_epi16(256)},
                   {_mm256_set_m128i(_mm_set1_epi32(0x07060504), _mm_set1_epi32(0x03020100)),
                    _mm256_set_m128i(_mm_set1_epi32(0x0f0e0d0c), _mm_set1_epi32(0x0b0a0908))}};
    for (size_t i = 0; i < 2; i++) {
        KEEP(c.units[i]);
        KEEP(c.lanes[i]);
    }
    return c;
}

/* Codes w2 + 12 of even and of odd columns, of two rows. */
typedef __m256i two_rows[2][2];

INLINE void load_rows(const uint8_t *at, size_t stride, two_rows codes)
{
    for (size_t r = 0; r < 2; r++)
        decode_offset(_mm256_loadu_si256((const __m256i *)(const void *)(at + r * stride)),
                      codes[r]);
}

/* Products with one digit, added up to one number for every half group and row, times `unit`. */
INLINE __m256i multiply_digit(two_rows codes, const uint8_t *digit, __m256i unit)
{
    __m256i even = _mm256_load_si256((const __m256i *)(const void *)digit);
    __m256i odd = _mm256_load_si256((const __m256i *)(const void *)(digit + 64));
    __m256i rows[2];
    for (size_t r = 0; r < 2; r++)
        rows[r] = _mm256_add_epi16(_mm256_maddubs_epi16(codes[r][0], even),
                                   _mm256_maddubs_epi16(codes[r][1], odd));
    __m256i turned = _mm256_add_epi16(_mm256_unpacklo_epi32(rows[0], rows[1]),
                                      _mm256_unpackhi_epi32(rows[0], rows[1]));
    return _mm256_madd_epi16(turned, unit);
}

/* The sums of groups. */
INLINE __m256i fold_halves(__m256i a, __m256i b)
{
    return _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}

INLINE __m256i spread(const void *four, __m256i lanes)
{
    __m256i words = _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)four));
    return _mm256_shuffle_epi8(words, lanes);
}

/* t of two groups of a tile. block: of activations; pair: which of its groups. */
INLINE __m256 dot_pair(const uint8_t *tile, size_t stride, const uint8_t *block, size_t pair,
                       unsigned digits, const constants *c)
{
    const fixed_tail *tail = (const fixed_tail *)(const void *)(block + FIXED_COLUMNS * digits);
    const uint8_t *x = block + 32 * pair;
    __m256i high[2];
    __m256i low[2];
    UNROLL(2)
    for (size_t r = 0; r < 2; r++) {
        two_rows w;
        load_rows(tile + 2 * r * stride, stride, w);
        high[r] = multiply_digit(w, x, c->units[digits > 1]);
        if (digits > 1)
            high[r] = _mm256_add_epi32(high[r], multiply_digit(w, x + FIXED_COLUMNS, c->units[0]));
        KEEP(high[r]);
        if (digits > 2) {
            low[r] = multiply_digit(w, x + 2 * FIXED_COLUMNS, c->units[0]);
            KEEP(low[r]);
        }
    }
    __m256i sums =
        _mm256_add_epi32(fold_halves(high[0], high[1]), spread(tail->high, c->lanes[pair]));
    __m256 t = _mm256_cvtepi32_ps(sums);
    if (digits < 3)
        return t;
    sums = _mm256_add_epi32(fold_halves(low[0], low[1]), spread(tail->low, c->lanes[pair]));
    return _mm256_fmadd_ps(t, _mm256_set1_ps(256.0F), _mm256_cvtepi32_ps(sums));
}

/* The first pairs of a block of a tile; those that are missing add +0. scales: [group][row]. */
INLINE void dot_block(const char *ahead, const uint8_t *tile, size_t stride, const uint8_t *scales,
                      const uint8_t *block, size_t pairs, unsigned digits, const constants *c,
                      __m256 sums[PAIRS])
{
    const fixed_tail *tail = (const fixed_tail *)(const void *)(block + FIXED_COLUMNS * digits);
    UNROLL(2)
    for (size_t pair = 0; pair < PAIRS; pair++) {
        if (pair >= pairs) {
            sums[pair] = _mm256_add_ps(sums[pair], _mm256_setzero_ps());
            continue;
        }
        _mm_prefetch(ahead + 128 * pair, _MM_HINT_T0);
        _mm_prefetch(ahead + 128 * pair + 64, _MM_HINT_T0);
        __m256 t = dot_pair(tile + 32 * pair, stride, block, pair, digits, c);
        __m256 half_scale = _mm256_castsi256_ps(spread(tail->half_scale, c->lanes[pair]));
        __m256 f = _mm256_mul_ps(load_scale_values(scales + 8 * pair), half_scale);
        sums[pair] = _mm256_fmadd_ps(t, f, sums[pair]);
    }
}

/* The rows of a tile that end within a pair, whose other group becomes zeros. */
static void copy_rows(const uint8_t *tile, size_t stride, size_t groups, uint8_t *to)
{
    memset(to, 0, TILE_ROWS * 64);
    for (size_t r = 0; r < TILE_ROWS; r++)
        memcpy(to + 64 * r, tile + r * stride, 16 * groups);
}

/* y, but NaN for the rows of a tile that have a scale of 255. */
static __m128 set_nan(const weight_rows *w, size_t groups, __m128 y)
{
    float rows[TILE_ROWS];
    _mm_storeu_ps(rows, y);
    for (size_t r = 0; r < TILE_ROWS; r++)
        if (memchr(w->scales + r * w->scales_stride, 255, groups) != NULL)
            rows[r] = NAN;
    return _mm_loadu_ps(rows);
}

INLINE __m128 dot_tile(const weight_rows *w, const uint8_t *x, size_t groups, unsigned digits)
{
    turned_scales scales;
    uint8_t own[TILE_ROWS * 64];
    __m256 sums[PAIRS] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    bool nan = false;
    const constants c = make_constants();
    for (size_t g = 0; g < groups; g += FIXED_GROUPS, x += fixed_block_bytes(digits)) {
        if (g % TURN_GROUPS == 0) {
            size_t count = groups - g < TURN_GROUPS ? groups - g : TURN_GROUPS;
            nan |= turn_scales(w, g, count, &scales);
            _mm_prefetch((const char *)w->scales + AHEAD_SCALES + TILE_ROWS * g, _MM_HINT_T0);
        }
        const char *ahead = (const char *)w->blocks + AHEAD_BYTES + TILE_ROWS * 16 * g;
        const uint8_t *tile = w->blocks + 16 * g;
        const uint8_t *turned = scales.bytes[g % TURN_GROUPS];
        size_t left = groups - g;
        if (left >= FIXED_GROUPS) {
            dot_block(ahead, tile, w->blocks_stride, turned, x, PAIRS, digits, &c, sums);
        } else if (left == PAIR_GROUPS) {
            dot_block(ahead, tile, w->blocks_stride, turned, x, 1, digits, &c, sums);
        } else {
            copy_rows(tile, w->blocks_stride, left, own);
            dot_block(ahead, own, 64, turned, x, (left + 1) / 2, digits, &c, sums);
        }
    }
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(sums[0]), _mm256_extractf128_ps(sums[0], 1));
    y = _mm_add_ps(y, _mm256_castps256_ps128(sums[1]));
    y = _mm_add_ps(y, _mm256_extractf128_ps(sums[1], 1));
    return nan ? set_nan(w, groups, y) : y;
}

INLINE void dot_all(const uint8_t *blocks, const uint8_t *scales, size_t rows, const uint8_t *x,
                    size_t columns, unsigned digits, float *y)
{
    size_t groups = columns / FIXED_GROUP;
    size_t r = 0;
    for (; r + TILE_ROWS <= rows; r += TILE_ROWS) {
        weight_rows w = {blocks + r * groups * 16, scales + r * groups, groups * 16, groups};
        _mm_storeu_ps(y + r, dot_tile(&w, x, groups, digits));
    }
    for (; r < rows; r++) {
        weight_rows same = {blocks + r * groups * 16, scales + r * groups, 0, 0};
        y[r] = _mm_cvtss_f32(dot_tile(&same, x, groups, digits));
    }
}

void fixed_dot_rows_avx2(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                         const uint8_t *x, size_t columns, unsigned digits, float *y)
{
    if (digits == 1)
        dot_all(blocks, scales, rows, x, columns, 1, y);
    else if (digits == 2)
        dot_all(blocks, scales, rows, x, columns, 2, y);
    else
        dot_all(blocks, scales, rows, x, columns, 3, y);
}
