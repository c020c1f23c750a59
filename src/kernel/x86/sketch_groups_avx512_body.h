/*
 * Four groups of the sketch at a time with AVX-512, for files that first define
 *     digit(low, high, first, second, centre, multipliers, sum)
 *         the sum, with a digit's centred products of four groups of codes times multipliers added
 */
#include <immintrin.h>

#include "kernel/sketch.h"

enum { ROWS = 2 };

#define INLINE static inline __attribute__((always_inline))

typedef __m512i sums_vector;

INLINE sums_vector no_sums(void)
{
    return _mm512_setzero_si512();
}
INLINE int32_t total_of(sums_vector sums)
{
    return _mm512_reduce_add_epi32(sums);
}

/* Four multipliers, each in the 32-bit lanes of its group. */
INLINE __m512i spread(uint32_t four)
{
    const __m512i lanes = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    const __m512i bytes = _mm512_or_si512(lanes, _mm512_set1_epi32((int32_t)0x80808000));
    return _mm512_shuffle_epi8(_mm512_set1_epi32((int32_t)four), bytes);
}

/* The digits of x for up to four groups, and what centres their products. */
typedef struct x_groups {
    __m512i digits[2][2]; /* of each digit the halves */
    __m512i centre[2];
} x_groups;

/* The bytes of up to four groups, then zeros: loaded once, not wherever they are used. */
INLINE __m512i load_groups(const void *from, size_t groups)
{
    __m512i bytes = groups == 4 ? _mm512_loadu_si512(from)
                                : _mm512_maskz_loadu_epi8((1ULL << 16 * groups) - 1, from);
    __asm__("" : "+v"(bytes));
    return bytes;
}

INLINE x_groups load_x(const sketch_vector *x, size_t digits, size_t at, size_t groups)
{
    size_t half = x->groups * (SKETCH_GROUP / 2);
    x_groups v = {0};
    for (size_t d = 0; d < digits; d++) {
        v.digits[d][0] = load_groups(x->digits + 2 * d * half + at, groups);
        v.digits[d][1] = load_groups(x->digits + (2 * d + 1) * half + at, groups);
        v.centre[d] = load_groups((const int8_t *)x->centre + d * half + at, groups);
    }
    return v;
}

INLINE void add_groups(const uint8_t *at, uint32_t multipliers, const x_groups *x, size_t groups,
                       size_t digits, sums_vector sums[2])
{
    __m512i codes = load_groups(at, groups);
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i low = _mm512_and_si512(codes, nibble);
    __m512i high = _mm512_and_si512(_mm512_srli_epi16(codes, 4), nibble);
    __m512i spread_out = spread(multipliers);
    for (size_t d = 0; d < digits; d++)
        sums[d] =
            digit(low, high, x->digits[d][0], x->digits[d][1], x->centre[d], spread_out, sums[d]);
}
