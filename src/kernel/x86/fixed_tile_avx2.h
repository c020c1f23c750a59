/* Tiles of four weight rows of MXFP4 with AVX2: how they are read, and their scales. */
#ifndef KERNEL_X86_FIXED_TILE_AVX2_H
#define KERNEL_X86_FIXED_TILE_AVX2_H

#include <stdbool.h>
#include <string.h>

#include "kernel/ahead.h"
#include "kernel/x86/fixed_avx2.h"

enum { TILE_ROWS = 4, PAIR_GROUPS = 2, PAIRS = FIXED_GROUPS / PAIR_GROUPS };

/* How far ahead scales are asked for. Codes are, line by line as they lie, AHEAD_TWICE. */
enum { AHEAD_SCALES = 768 };

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

/* Returns whether one of them is 0 or 255: their bits are not those of their values. */
INLINE bool turn_scales(const weight_rows *w, size_t g, size_t count, turned_scales *to)
{
    __m128i rows[TILE_ROWS];
    __m128i least = _mm_set1_epi8(-1);
    __m128i most = _mm_setzero_si128();
    for (size_t r = 0; r < TILE_ROWS; r++) {
        rows[r] = load_scales(w->scales + r * w->scales_stride, g, count);
        least = _mm_min_epu8(least, rows[r]);
        most = _mm_max_epu8(most, rows[r]);
    }
    __m128i pairs[] = {_mm_unpacklo_epi8(rows[0], rows[1]), _mm_unpacklo_epi8(rows[2], rows[3]),
                       _mm_unpackhi_epi8(rows[0], rows[1]), _mm_unpackhi_epi8(rows[2], rows[3])};
    __m128i *out = (__m128i *)(void *)to->bytes;
    for (size_t i = 0; i < 2; i++) {
        _mm_store_si128(out + 2 * i, _mm_unpacklo_epi16(pairs[2 * i], pairs[2 * i + 1]));
        _mm_store_si128(out + 2 * i + 1, _mm_unpackhi_epi16(pairs[2 * i], pairs[2 * i + 1]));
    }
    __m128i rare = _mm_or_si128(_mm_cmpeq_epi8(least, _mm_setzero_si128()),
                                _mm_cmpeq_epi8(most, _mm_set1_epi8(-1)));
    return (_mm_movemask_epi8(rare) & ((1 << count) - 1)) != 0;
}

/* 2^(scale - 127) of scales that may be `rare`: 0, but not 255. */
INLINE __m256 load_scale_values(const uint8_t *turned, bool rare)
{
    __m256i scales = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)turned));
    return rare ? scale_values(scales) : _mm256_castsi256_ps(_mm256_slli_epi32(scales, 23));
}

/* ---- sums ------------------------------------------------------------------------------------ */

/* The sums of groups: | row 0 | row 1 | row 0 | row 1 | of each of two groups, likewise rows 2
 * and 3. */
INLINE __m256i fold_halves(__m256i a, __m256i b)
{
    return _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}

/* y of a tile: lane 4 i + r of sums[pair] is group i of the pair, row r. */
INLINE __m128 fold_tile(const __m256 sums[PAIRS])
{
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(sums[0]), _mm256_extractf128_ps(sums[0], 1));
    y = _mm_add_ps(y, _mm256_castps256_ps128(sums[1]));
    return _mm_add_ps(y, _mm256_extractf128_ps(sums[1], 1));
}

/* ---- what is rare ---------------------------------------------------------------------------- */

/* Room for the last groups of a tile's rows. */
typedef uint8_t last_groups[TILE_ROWS][16 * FIXED_GROUPS];

/* The last groups of a tile, less than a block: where they lie or, when they end within a pair, in
 * `own`, so that the pair's other group is zeros. */
INLINE const uint8_t *whole_pairs(const uint8_t *tile, size_t *stride, size_t groups,
                                  last_groups own)
{
    if (groups % PAIR_GROUPS == 0)
        return tile;
    memset(own, 0, sizeof(last_groups));
    for (size_t r = 0; r < TILE_ROWS; r++)
        memcpy(own[r], tile + r * *stride, 16 * groups);
    *stride = sizeof own[0];
    return own[0];
}

/* y, but NaN for the rows of a tile that have a scale of 255. */
static inline __m128 set_nan(const weight_rows *w, size_t groups, __m128 y)
{
    float rows[TILE_ROWS];
    _mm_storeu_ps(rows, y);
    for (size_t r = 0; r < TILE_ROWS; r++)
        if (memchr(w->scales + r * w->scales_stride, 255, groups) != NULL)
            rows[r] = NAN;
    return _mm_loadu_ps(rows);
}

#endif
