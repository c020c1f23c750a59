/* The sketch's kernels with AVX-512 F, BW, DQ and VL. */
#include "kernel/sketch.h"

#include <immintrin.h>
#include <string.h>

#include "kernel/sketch_build_body.h"

/* A pair's products are at most 2 * 2 * 15 * 128 and fit in 16 bits. */
static inline __m512i digit(__m512i low, __m512i high, __m512i first, __m512i second,
                            __m512i multipliers, __m512i sum)
{
    __m512i pairs =
        _mm512_add_epi16(_mm512_maddubs_epi16(low, first), _mm512_maddubs_epi16(high, second));
    __m512i both = _mm512_or_si512(multipliers, _mm512_slli_epi32(multipliers, 16));
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, both));
}

#include "kernel/x86/sketch_product_body.h"

void sketch_overlay_avx512(sketch_table *table)
{
    table->product = product;
    table->build = build_row;
}
