/* Factors of sums (fixed.h: f_g) as products. */
#ifndef KERNEL_X86_FIXED_FACTOR_PRODUCT_H
#define KERNEL_X86_FIXED_FACTOR_PRODUCT_H

#include "kernel/x86/fixed_split.h"

/* What a panel keeps of 16 scales: 2^(scale - 127). */
FIXED_INLINE __m512 kept_scales(__m512i scales)
{
    __m512i bits = _mm512_slli_epi32(scales, 23);
    bits = _mm512_max_epu32(bits, _mm512_set1_epi32(0x00400000)); /* of scale 0 */
    __mmask16 nan = _mm512_cmpeq_epi32_mask(scales, _mm512_set1_epi32(255));
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(bits, nan, _mm512_set1_epi32(0x7fc00000)));
}

FIXED_INLINE __m512 factors(__m512 kept, __m512 half_scale)
{
    return _mm512_mul_ps(kept, half_scale);
}

#endif
