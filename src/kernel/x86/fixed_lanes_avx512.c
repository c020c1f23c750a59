/* Products with fixed-point activations with AVX-512 F, BW, DQ and VL, for processors without VNNI.
 */
#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#define PRAGMA(text) _Pragma(#text)
#define INLINE       static inline __attribute__((always_inline))
#define UNROLL(n)    PRAGMA(GCC unroll n)

typedef __m512i ints;
typedef __m512 reals;
#define LANES       16
#define INTS(name)  _mm512_##name
#define REALS(name) _mm512_##name

INLINE ints ints_load(const void *from)
{
    return _mm512_load_si512(from);
}
INLINE reals ints_as_reals(ints a)
{
    return _mm512_castsi512_ps(a);
}
INLINE __m128i load_sixteen(const uint8_t *from)
{
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}
INLINE ints ints_rows(const uint8_t *from, size_t stride)
{
    __m512i rows = _mm512_castsi128_si512(load_sixteen(from));
    rows = _mm512_inserti32x4(rows, load_sixteen(from + stride), 1);
    rows = _mm512_inserti32x4(rows, load_sixteen(from + 2 * stride), 2);
    return _mm512_inserti32x4(rows, load_sixteen(from + 3 * stride), 3);
}
INLINE __m128i four_words(const uint8_t *from, size_t stride)
{
    __m128i a = _mm_unpacklo_epi32(_mm_loadu_si32(from), _mm_loadu_si32(from + stride));
    __m128i b =
        _mm_unpacklo_epi32(_mm_loadu_si32(from + 2 * stride), _mm_loadu_si32(from + 3 * stride));
    return _mm_unpacklo_epi64(a, b);
}
INLINE ints ints_words(const uint8_t *from, size_t stride)
{
    __m512i words = _mm512_castsi128_si512(four_words(from, stride));
    words = _mm512_inserti32x4(words, four_words(from + 4 * stride, stride), 1);
    words = _mm512_inserti32x4(words, four_words(from + 8 * stride, stride), 2);
    return _mm512_inserti32x4(words, four_words(from + 12 * stride, stride), 3);
}
INLINE ints ints_full(ints words)
{
    return _mm512_movm_epi8(_mm512_cmpeq_epi8_mask(words, _mm512_set1_epi8(-1)));
}
INLINE reals reals_or_nan(reals y, ints where)
{
    return _mm512_mask_mov_ps(y, _mm512_test_epi32_mask(where, where), _mm512_set1_ps(NAN));
}

#include "kernel/x86/fixed_lanes_body.h"

/* 4 x 2 sums, two registers of weights, one of activations, one of products. */
enum { BATCH_ROWS = 4, BATCH_PARTS = 2 };

#define KEEP(a) __asm__ volatile("" : "+v"(a))

INLINE void ints_store(void *to, ints a)
{
    _mm512_store_si512(to, a);
}

#include "kernel/x86/fixed_batch_body.h"

void fixed_overlay_lanes_avx512(fixed_table *table)
{
    table->quantise_tile = fixed_batch_quantise_avx2;
    table->dot_rows = dot_rows;
    table->multiply = multiply;
}
