/* Products of 8-bit weights with AVX-512 VNNI. */
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PRAGMA(text) _Pragma(#text)
#define INLINE       static inline __attribute__((always_inline))
#define UNROLL(n)    PRAGMA(GCC unroll n)

typedef __m512i ints;
typedef __m512 reals;
typedef __m512i codes; /* q + 128 */
#define LANES       16
#define REALS(name) _mm512_##name

enum { TILE_BATCH = 6, TILE_PARTS = 2 };

INLINE codes load_codes(const uint8_t *from)
{
    return _mm512_load_si512(from);
}

/* -128 times the sum of the digits, from -12 times it: a multiple of 12, so that the product with
 * the inverse of 3 modulo 2^32 is its third. */
INLINE ints first_sum(const uint8_t *high)
{
    uint32_t value;
    memcpy(&value, high, sizeof value);
    return _mm512_set1_epi32((int32_t)(value * 0xaaaaaaabU * 32U));
}
INLINE ints add_products(ints sum, codes w, ints four)
{
    return _mm512_dpbusd_epi32(sum, w, four);
}
INLINE ints spread_word(const uint8_t *from)
{
    int32_t value;
    memcpy(&value, from, sizeof value);
    return _mm512_set1_epi32(value);
}
INLINE reals spread_real(const uint8_t *from)
{
    return _mm512_castsi512_ps(spread_word(from));
}
INLINE reals load_scales(const uint8_t *from)
{
    __m256i sixteen = _mm256_load_si256((const __m256i *)(const void *)from);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(sixteen), 16));
}

#include "kernel/x86/q8_tile_body.h"

void q8_overlay_vnni(q8_table *table)
{
    table->multiply = multiply;
}
