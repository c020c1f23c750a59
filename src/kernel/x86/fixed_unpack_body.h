/*
 * Unpacking MXFP4 panels with AVX-512 F, BW, DQ and VL. The including file first includes one of
 * fixed_split_avx512.h and fixed_split_vbmi.h, and one of fixed_factor_product.h and
 * fixed_factor_exponent.h, which says what is kept of a scale.
 */
#include <string.h>

#include "kernel/fixed.h"

/*
 * A panel holds 32 weight rows as bytes w2 + 12, group after group, padded with zeros to whole
 * blocks and to 32 rows:
 *
 *     | quad 0: 32 rows x 4 | quad 1 | ... | quad 7: 32 rows x 4 | of their scales: 32 floats |
 *
 * Quads 0 to 3 are columns 0 2 4 6, 8 10 12 14, ... of the group; 4 to 7 columns 1 3 5 7, ...
 */
#define FIXED_PANEL_ROWS  32
#define FIXED_QUAD_BYTES  (FIXED_PANEL_ROWS * 4)
#define FIXED_GROUP_BYTES (9 * FIXED_QUAD_BYTES)

static inline size_t fixed_panel_bytes(size_t columns)
{
    return fixed_blocks(columns) * FIXED_GROUPS * FIXED_GROUP_BYTES;
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

/* The quads of a group of 16 rows, `stride` bytes apart, to the panel's group at `to`. Register k
 * holds rows k, k + 4, k + 8, k + 12, so that turning 4 x 4 words within its quarters puts the rows
 * in order. */
FIXED_INLINE void unpack_group(const uint8_t *codes, size_t stride, uint8_t *to)
{
    __m512i rows[4];
    __m512i words[4];
    for (size_t k = 0; k < 4; k++)
        rows[k] = load_four(codes + k * stride, 4 * stride);
    for (size_t k = 0; k < 2; k++) {
        __m512i a = k == 0 ? _mm512_unpacklo_epi32(rows[0], rows[1])
                           : _mm512_unpackhi_epi32(rows[0], rows[1]);
        __m512i b = k == 0 ? _mm512_unpacklo_epi32(rows[2], rows[3])
                           : _mm512_unpackhi_epi32(rows[2], rows[3]);
        words[2 * k] = _mm512_unpacklo_epi64(a, b);
        words[2 * k + 1] = _mm512_unpackhi_epi64(a, b);
    }
    for (size_t k = 0; k < 4; k++) {
        fixed_codes codes_of = fixed_split(words[k]);
        _mm512_store_si512(to + k * FIXED_QUAD_BYTES, codes_of.even);
        _mm512_store_si512(to + (4 + k) * FIXED_QUAD_BYTES, codes_of.odd);
    }
}

/* The scales of a whole block of 16 rows, `groups` bytes apart. */
FIXED_INLINE void unpack_scales(const uint8_t *scales, size_t groups, uint8_t *to)
{
    const __m512i row = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i places = _mm512_mullo_epi32(row, _mm512_set1_epi32((int)groups));
    __m512i four = _mm512_i32gather_epi32(places, scales, 1);
    for (size_t g = 0; g < FIXED_GROUPS; g++) {
        __m512i one = _mm512_and_si512(four, _mm512_set1_epi32(255));
        _mm512_store_ps((float *)(void *)(to + g * FIXED_GROUP_BYTES), kept_scales(one));
        four = _mm512_srli_epi32(four, 8);
    }
}

/* 16 rows to one half of a panel. */
static void unpack_half(const uint8_t *blocks, const uint8_t *scales, size_t groups, uint8_t *panel)
{
    size_t stride = 16 * groups;
    size_t whole = groups / FIXED_GROUPS * FIXED_GROUPS;
    uint8_t *to_scales = panel + 8 * FIXED_QUAD_BYTES;
    for (size_t g = 0; g < groups; g++)
        unpack_group(blocks + 16 * g, stride, panel + g * FIXED_GROUP_BYTES);
    for (size_t g = 0; g < whole; g += FIXED_GROUPS)
        unpack_scales(scales + g, groups, to_scales + g * FIXED_GROUP_BYTES);
    for (size_t g = whole; g < groups; g++) {
        for (size_t r = 0; r < 16; r++) {
            float value = kept_scale(scales[r * groups + g]);
            memcpy(to_scales + g * FIXED_GROUP_BYTES + 4 * r, &value, sizeof value);
        }
    }
}

/* One row, a number at a time: where there are fewer than 16. */
static void unpack_row(const uint8_t *blocks, const uint8_t *scales, size_t groups, uint8_t *panel)
{
    static const uint8_t table[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
    for (size_t g = 0; g < groups; g++) {
        uint8_t *to = panel + g * FIXED_GROUP_BYTES;
        float scale = kept_scale(scales[g]);
        for (size_t i = 0; i < 16; i++) {
            to[i / 4 * FIXED_QUAD_BYTES + i % 4] = table[blocks[16 * g + i] & 15];
            to[(4 + i / 4) * FIXED_QUAD_BYTES + i % 4] = table[blocks[16 * g + i] >> 4];
        }
        memcpy(to + 8 * FIXED_QUAD_BYTES, &scale, sizeof scale);
    }
}

/* Zeros in groups [first, last). */
static void clear_groups(uint8_t *panel, size_t first, size_t last)
{
    for (size_t g = first; g < last; g++) {
        memset(panel + g * FIXED_GROUP_BYTES, FIXED_OFFSET, 8 * FIXED_QUAD_BYTES);
        memset(panel + g * FIXED_GROUP_BYTES + 8 * FIXED_QUAD_BYTES, 0, FIXED_QUAD_BYTES);
    }
}

static void unpack(const uint8_t *blocks, const uint8_t *scales, size_t rows, size_t columns,
                   uint8_t *panel)
{
    size_t groups = columns / FIXED_GROUP;
    clear_groups(panel, rows == FIXED_PANEL_ROWS ? groups : 0,
                 fixed_blocks(columns) * FIXED_GROUPS);
    size_t r = 0;
    for (; r + 16 <= rows; r += 16)
        unpack_half(blocks + r * 16 * groups, scales + r * groups, groups, panel + 4 * r);
    for (; r < rows; r++)
        unpack_row(blocks + r * 16 * groups, scales + r * groups, groups, panel + 4 * r);
}
