/* What the kernels of bfloat.h with AVX-512 BF16 share. */
#ifndef KERNEL_X86_BFLOAT_STEPS_H
#define KERNEL_X86_BFLOAT_STEPS_H

#include <immintrin.h>
#include <string.h>

#include "kernel/bfloat.h"
#include "kernel/packed.h"
#include "kernel/x86/packed_avx512.h"

#define PRAGMA(text) _Pragma(#text)
#define INLINE       static inline __attribute__((always_inline))
#define UNROLL(n)    PRAGMA(GCC unroll n)

enum {
    STEP = BFLOAT_STEP,
    LANES = STEP / 2,
    BLOCK = BFLOAT_BLOCK,
    ROWS = DENSE_GROUP_ROWS,
};

/* ---- steps of rows as they are stored -------------------------------------------------------- */

/* A step of a row as it lies in memory, in its order. */
INLINE __m512i in_order(__m512i step)
{
    const __m512i places = _mm512_setr_epi32(
        16 << 16 | 0, 17 << 16 | 1, 18 << 16 | 2, 19 << 16 | 3, 20 << 16 | 4, 21 << 16 | 5,
        22 << 16 | 6, 23 << 16 | 7, 24 << 16 | 8, 25 << 16 | 9, 26 << 16 | 10, 27 << 16 | 11,
        28 << 16 | 12, 29 << 16 | 13, 30 << 16 | 14, 31 << 16 | 15);
    return _mm512_permutexvar_epi16(places, step);
}

/* What of n numbers lies behind number `first`. */
INLINE size_t behind(size_t n, size_t first)
{
    return first < n ? n - first : 0;
}

/* The mask of `count` words, at most 32. */
INLINE __mmask32 words(size_t count)
{
    return count < STEP ? (1U << count) - 1U : UINT32_MAX;
}

/* The two steps of a row of a block. */
INLINE void unpack_steps(const uint8_t *block, size_t row, place_table table, __m512i out[2])
{
    steps_unpack(block + 64 * row, block + 256 + 32 * row, table, out);
}

/* Where in its step of 32 the number of a column lies. */
INLINE size_t place_in_step(size_t column)
{
    return column % LANES * 2 + column % STEP / LANES;
}

/* ---- sixteen by sixteen ---------------------------------------------------------------------- */

/* Lane l of row b goes to lane b of row l. */
INLINE void transpose(__m512i rows[16])
{
    __m512i pairs[16]; /* of lanes 4 q + i of four rows, in quarter q */
    UNROLL(4)
    for (size_t b = 0; b < 16; b += 4) {
        __m512i low = _mm512_unpacklo_epi32(rows[b], rows[b + 1]);
        __m512i high = _mm512_unpackhi_epi32(rows[b], rows[b + 1]);
        __m512i next_low = _mm512_unpacklo_epi32(rows[b + 2], rows[b + 3]);
        __m512i next_high = _mm512_unpackhi_epi32(rows[b + 2], rows[b + 3]);
        pairs[b] = _mm512_unpacklo_epi64(low, next_low);
        pairs[b + 1] = _mm512_unpackhi_epi64(low, next_low);
        pairs[b + 2] = _mm512_unpacklo_epi64(high, next_high);
        pairs[b + 3] = _mm512_unpackhi_epi64(high, next_high);
    }
    UNROLL(4)
    for (size_t i = 0; i < 4; i++) {
        __m512i even = _mm512_shuffle_i32x4(pairs[i], pairs[4 + i], 0x88);
        __m512i odd = _mm512_shuffle_i32x4(pairs[i], pairs[4 + i], 0xdd);
        __m512i next_even = _mm512_shuffle_i32x4(pairs[8 + i], pairs[12 + i], 0x88);
        __m512i next_odd = _mm512_shuffle_i32x4(pairs[8 + i], pairs[12 + i], 0xdd);
        rows[i] = _mm512_shuffle_i32x4(even, next_even, 0x88);
        rows[8 + i] = _mm512_shuffle_i32x4(even, next_even, 0xdd);
        rows[4 + i] = _mm512_shuffle_i32x4(odd, next_odd, 0x88);
        rows[12 + i] = _mm512_shuffle_i32x4(odd, next_odd, 0xdd);
    }
}

/* ---- MXFP4 ----------------------------------------------------------------------------------- */

enum { CODED_GROUPS = 4 };

/* Whether all scales may multiply sums, and be added to exponents of weights. */
static inline bool scales_are_plain(const uint8_t *scales, size_t groups)
{
    const __m512i least = _mm512_set1_epi8(BFLOAT_LEAST_SCALE);
    const __m512i span = _mm512_set1_epi8(BFLOAT_MOST_SCALE - BFLOAT_LEAST_SCALE);
    __mmask64 odd = 0;
    for (size_t g = 0; g < groups; g += 64) {
        __mmask64 inside = groups - g < 64 ? (1ULL << (groups - g)) - 1 : UINT64_MAX;
        __m512i above = _mm512_sub_epi8(_mm512_maskz_loadu_epi8(inside, scales + g), least);
        odd |= _mm512_mask_cmpgt_epu8_mask(inside, above, span);
    }
    return odd == 0;
}

/* The codes of a block of 128 columns, of which `groups` groups of 32 are there. */
INLINE __m512i load_codes(const uint8_t *codes, size_t groups)
{
    return groups == CODED_GROUPS
               ? _mm512_loadu_si512(codes)
               : _mm512_maskz_loadu_epi32((__mmask16)((1U << 4 * groups) - 1U), codes);
}

/* The scales of a block's groups in every lane, the first in the lowest byte; 0 past the last. */
INLINE __m512i four_scales(const uint8_t *scales, size_t groups)
{
    int32_t four;
    if (groups < CODED_GROUPS)
        return _mm512_broadcastd_epi32(
            _mm_maskz_loadu_epi8((__mmask16)((1U << groups) - 1U), scales));
    memcpy(&four, scales, CODED_GROUPS);
    return _mm512_set1_epi32(four);
}

/* ---- what lies ahead ------------------------------------------------------------------------- */

/* Asks for some lines of it. */
INLINE void fetch(bfloat_ahead *ahead, size_t lines)
{
    for (size_t i = 0; i < lines && ahead->bytes > 0; i++) {
        size_t bytes = ahead->bytes < 64 ? ahead->bytes : 64;
        _mm_prefetch((const char *)ahead->at, _MM_HINT_T1);
        ahead->at += bytes;
        ahead->bytes -= bytes;
    }
}

#endif
