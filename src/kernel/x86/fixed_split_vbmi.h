/* Codes to bytes with AVX-512 VBMI, whose permutation looks at six bits of an index: with the table
 * four times over, the two above a code do not matter. */
#ifndef KERNEL_X86_FIXED_SPLIT_VBMI_H
#define KERNEL_X86_FIXED_SPLIT_VBMI_H

#include "kernel/x86/fixed_split.h"

FIXED_INLINE fixed_codes fixed_split(__m512i v)
{
    return (fixed_codes){_mm512_permutexvar_epi8(v, fixed_table_of_codes()),
                         _mm512_permutexvar_epi8(_mm512_srli_epi16(v, 4), fixed_table_of_codes())};
}

#endif
