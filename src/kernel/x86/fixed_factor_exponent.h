/* Factors of sums (fixed.h: f_g) by exponents, which give the same numbers: beyond the least normal
 * ones they are rounded once as well. */
#ifndef KERNEL_X86_FIXED_FACTOR_EXPONENT_H
#define KERNEL_X86_FIXED_FACTOR_EXPONENT_H

#include <math.h>

#include "kernel/x86/fixed_split.h"

/* What a panel keeps of 16 scales: scale - 127. */
FIXED_INLINE __m512 kept_scales(__m512i scales)
{
    __m512 exponents = _mm512_cvtepi32_ps(_mm512_sub_epi32(scales, _mm512_set1_epi32(127)));
    __mmask16 nan = _mm512_cmpeq_epi32_mask(scales, _mm512_set1_epi32(255));
    return _mm512_mask_mov_ps(exponents, nan, _mm512_set1_ps(NAN));
}

FIXED_INLINE __m512 factors(__m512 kept, __m512 half_scale)
{
    return _mm512_scalef_ps(half_scale, kept);
}

#endif
