/* MXFP4 weight rows, 16 of them turned to the lanes of registers, with AVX-512 F. */
#ifndef KERNEL_X86_FIXED_TURN_H
#define KERNEL_X86_FIXED_TURN_H

#include <stdbool.h>
#include <string.h>

#include "kernel/fixed.h"
#include "kernel/x86/fixed_split.h"

enum { FIXED_LANES = 16 };

/* Weight rows as they lie in a checkpoint. */
typedef struct panel_rows {
    const uint8_t *blocks;
    const uint8_t *scales;
    size_t rows;
    size_t groups;
} panel_rows;

/* A block of 16 rows: codes and scales so many bytes apart. */
typedef struct row_block {
    const uint8_t *codes;
    size_t stride;
    const uint8_t *scales;
    size_t scales_stride;
} row_block;

/* Where rows past the end, and groups past the end, are zeros. */
typedef struct padded_block {
    uint8_t codes[FIXED_LANES][16 * FIXED_GROUPS];
    uint8_t scales[FIXED_LANES][FIXED_GROUPS];
} padded_block;

/* The block at group g of rows [row, row + 16), and whether nothing of it is past the end. */
FIXED_INLINE row_block block_at(const panel_rows *w, size_t row, size_t g)
{
    return (row_block){w->blocks + 16 * (row * w->groups + g), 16 * w->groups,
                       w->scales + row * w->groups + g, w->groups};
}
FIXED_INLINE bool block_is_whole(const panel_rows *w, size_t row, size_t g)
{
    return row + FIXED_LANES <= w->rows && g + FIXED_GROUPS <= w->groups;
}

/* The same, copied to `own`. */
static inline row_block pad_block(const panel_rows *w, size_t row, size_t g, padded_block *own)
{
    row_block from = block_at(w, row, g);
    size_t groups = w->groups - g < FIXED_GROUPS ? w->groups - g : FIXED_GROUPS;
    memset(own, 0, sizeof *own);
    for (size_t r = 0; r < FIXED_LANES && row + r < w->rows; r++) {
        memcpy(own->codes[r], from.codes + r * from.stride, 16 * groups);
        memcpy(own->scales[r], from.scales + r * from.scales_stride, groups);
    }
    return (row_block){own->codes[0], sizeof own->codes[0], own->scales[0], FIXED_GROUPS};
}

/* In every lane a row's four scales. */
FIXED_INLINE __m512i gather_scales(const row_block *of)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i places = _mm512_mullo_epi32(lane, _mm512_set1_epi32((int)of->scales_stride));
    return _mm512_i32gather_epi32(places, of->scales, 1);
}

/* Those of group m. */
FIXED_INLINE __m512i scales_of(__m512i scales, size_t m)
{
    return _mm512_and_si512(_mm512_srli_epi32(scales, 8 * (unsigned)m), _mm512_set1_epi32(255));
}

/* Rows k, k + 4, k + 8 and k + 12 of 16 bytes become words k of all rows, in order. */
FIXED_INLINE void turn_words(__m512i rows[4])
{
    __m512i a = _mm512_unpacklo_epi32(rows[0], rows[1]);
    __m512i b = _mm512_unpacklo_epi32(rows[2], rows[3]);
    __m512i c = _mm512_unpackhi_epi32(rows[0], rows[1]);
    __m512i d = _mm512_unpackhi_epi32(rows[2], rows[3]);
    rows[0] = _mm512_unpacklo_epi64(a, b);
    rows[1] = _mm512_unpackhi_epi64(a, b);
    rows[2] = _mm512_unpacklo_epi64(c, d);
    rows[3] = _mm512_unpackhi_epi64(c, d);
}

/* 16 bytes of each of four rows. */
FIXED_INLINE __m512i load_four(const uint8_t *row, size_t stride)
{
    const uint8_t *rows[] = {row, row + stride, row + 2 * stride, row + 3 * stride};
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)rows[0]));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)rows[1]), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)rows[2]), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)rows[3]), 3);
}

/* The codes of group m: lane r of words[k] has bytes 4 k .. 4 k + 3 of row r. */
FIXED_INLINE void turn_group(const row_block *of, size_t m, __m512i words[4])
{
    FIXED_UNROLL(4)
    for (size_t k = 0; k < 4; k++)
        words[k] = load_four(of->codes + 16 * m + k * of->stride, 4 * of->stride);
    turn_words(words);
}

/* The same of all groups, with fewer loads. Where much is stored it is the faster way: loads among
 * stores wait for those at the same place of another page. */
FIXED_INLINE void turn_block(const row_block *of, __m512i words[FIXED_GROUPS][4])
{
    FIXED_UNROLL(4)
    for (size_t k = 0; k < 4; k++) {
        const uint8_t *row = of->codes + k * of->stride;
        __m512i a = _mm512_loadu_si512(row);
        __m512i b = _mm512_loadu_si512(row + 4 * of->stride);
        __m512i c = _mm512_loadu_si512(row + 8 * of->stride);
        __m512i d = _mm512_loadu_si512(row + 12 * of->stride);
        __m512i ab = _mm512_shuffle_i32x4(a, b, 0x44);
        __m512i cd = _mm512_shuffle_i32x4(c, d, 0x44);
        __m512i ab_high = _mm512_shuffle_i32x4(a, b, 0xee);
        __m512i cd_high = _mm512_shuffle_i32x4(c, d, 0xee);
        words[0][k] = _mm512_shuffle_i32x4(ab, cd, 0x88);
        words[1][k] = _mm512_shuffle_i32x4(ab, cd, 0xdd);
        words[2][k] = _mm512_shuffle_i32x4(ab_high, cd_high, 0x88);
        words[3][k] = _mm512_shuffle_i32x4(ab_high, cd_high, 0xdd);
    }
    FIXED_UNROLL(4)
    for (size_t m = 0; m < FIXED_GROUPS; m++)
        turn_words(words[m]);
}

#endif
