/* Weights in 8 bits, their rounding and their products, with AVX2 and FMA. */
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/q8_pack_body.h"
#include "kernel/x86/q8_batch.h"

#define PRAGMA(text) _Pragma(#text)
#define INLINE       static inline __attribute__((always_inline))
#define UNROLL(n)    PRAGMA(GCC unroll n)

typedef __m256i ints;
typedef __m256 reals;
#define LANES       8
#define REALS(name) _mm256_##name

/* One row; batches are for q8_batch_avx2.c. A tile is as wide as a panel, which is then read in
 * order: AMD's prefetchers do better alone with that. */
enum { TILE_BATCH = 1, TILE_PARTS = 4 };

#define PANEL_AHEAD ((distance){0, 0})

/* vpmaddubsw adds pairs of products in 16 bits: magnitudes of weights, at most 127, times digits
 * that were given the weights' signs, at most 127, fit; bytes of q + 128 would not. */
typedef struct codes {
    __m256i signs;
    __m256i magnitudes;
} codes;

INLINE codes load_codes(const uint8_t *from)
{
    __m256i q = _mm256_xor_si256(_mm256_load_si256((const __m256i *)(const void *)from),
                                 _mm256_set1_epi8((char)128));
    return (codes){q, _mm256_abs_epi8(q)};
}
INLINE ints first_sum(const uint8_t *high)
{
    (void)high;
    return _mm256_setzero_si256();
}
INLINE ints add_products(ints sum, codes w, ints four)
{
    __m256i pairs = _mm256_maddubs_epi16(w.magnitudes, _mm256_sign_epi8(four, w.signs));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
INLINE ints spread_word(const uint8_t *from)
{
    int32_t value;
    memcpy(&value, from, sizeof value);
    return _mm256_set1_epi32(value);
}
INLINE reals spread_real(const uint8_t *from)
{
    return _mm256_castsi256_ps(spread_word(from));
}
INLINE reals load_scales(const uint8_t *from)
{
    __m128i eight = _mm_load_si128((const __m128i *)(const void *)from);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(eight), 16));
}

#include "kernel/x86/q8_tile_body.h"

static void multiply(const uint8_t *panels, size_t rows, size_t columns, const uint8_t *x,
                     size_t batch, float *y, size_t y_stride)
{
    if (batch == 1)
        multiply_row(panels, rows, columns, x, y);
    else
        q8_multiply_batch_avx2(panels, rows, columns, x, batch, y, y_stride);
}

void q8_overlay_avx2(q8_table *table)
{
    *table = (q8_table){pack, multiply};
}
