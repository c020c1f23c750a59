/* What the AVX-512 overlays of fixed.h share. */
#ifndef KERNEL_X86_FIXED_SPLIT_H
#define KERNEL_X86_FIXED_SPLIT_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define FIXED_PRAGMA(text) _Pragma(#text)
#define FIXED_INLINE       static inline __attribute__((always_inline))
#define FIXED_UNROLL(n)    FIXED_PRAGMA(GCC unroll n)

/* 128 weights as bytes w2 + 12. */
typedef struct fixed_codes {
    __m512i even; /* of the low nibbles */
    __m512i odd;  /* of the high nibbles */
} fixed_codes;

/* w2 + 12 of the 16 codes, four times. */
FIXED_INLINE __m512i fixed_table_of_codes(void)
{
    return _mm512_broadcast_i32x4(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
}

#endif
