/* The whole numbers of a group of activations, with AVX-512 F and DQ. */
#ifndef KERNEL_X86_FIXED_ROUND_AVX512_H
#define KERNEL_X86_FIXED_ROUND_AVX512_H

#include <math.h>

#include "base/number.h"
#include "kernel/x86/fixed_split.h"

/* 32 whole numbers. */
typedef struct group_numbers {
    __m512i first;
    __m512i second;
} group_numbers;

FIXED_INLINE __m512i round_half(__m512 x, float inverse, float limit)
{
    __m512 scaled = _mm512_mul_ps(x, _mm512_set1_ps(inverse));
    scaled = _mm512_min_ps(scaled, _mm512_set1_ps(limit));
    scaled = _mm512_max_ps(scaled, _mm512_set1_ps(-limit));
    return _mm512_cvt_roundps_epi32(scaled, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* The whole numbers of a group; returns its scale. */
FIXED_INLINE float round_group(const float *x, float limit, group_numbers *whole)
{
    __m512 first = _mm512_loadu_ps(x);
    __m512 second = _mm512_loadu_ps(x + 16);
    __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    uint32_t bits = _mm512_reduce_max_epu32(
        _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(first), magnitude),
                         _mm512_and_si512(_mm512_castps_si512(second), magnitude)));
    float largest = float_from_bits(bits);
    whole->first = whole->second = _mm512_setzero_si512();
    if (bits >= 0x7f800000U)
        return NAN;
    if (largest < 0x1p-96F)
        return 0.0F;
    float inverse = limit / largest;
    whole->first = round_half(first, inverse, limit);
    whole->second = round_half(second, inverse, limit);
    return largest / limit;
}

#endif
