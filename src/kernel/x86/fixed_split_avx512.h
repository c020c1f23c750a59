/* Codes to bytes with AVX-512 BW. */
#ifndef KERNEL_X86_FIXED_SPLIT_AVX512_H
#define KERNEL_X86_FIXED_SPLIT_AVX512_H

#include "kernel/x86/fixed_split.h"

FIXED_INLINE fixed_codes fixed_split(__m512i v)
{
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i even = _mm512_and_si512(v, nibble);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble);
    return (fixed_codes){_mm512_shuffle_epi8(fixed_table_of_codes(), even),
                         _mm512_shuffle_epi8(fixed_table_of_codes(), odd)};
}

#endif
