/* The sketch's kernels with AVX2. */
#include "kernel/sketch.h"

#include <immintrin.h>

#include "kernel/sketch_build_body.h"

static inline __m256i load(const void *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

/* The 16 bytes of one group, the upper half zero. */
static inline __m256i load_half(const void *from)
{
    return _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)from));
}

/* The lanes' sum, which fits. */
static inline uint32_t fold(__m256i s)
{
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return (uint32_t)_mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}

/* A digit's sum over two groups of codes, times their multipliers. A pair's products are at most
 * 2 * 2 * 15 * 128 and, with the centre of four columns, fit in 16 bits. */
static inline __m256i digit(__m256i low, __m256i high, __m256i first, __m256i second,
                            __m256i centre, __m256i multipliers, __m256i sum)
{
    __m256i pairs =
        _mm256_add_epi16(_mm256_maddubs_epi16(low, first), _mm256_maddubs_epi16(high, second));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_add_epi16(pairs, centre), multipliers));
}

static inline int64_t product_row(const uint8_t *codes, const uint8_t *multipliers,
                                  const sketch_vector *x, const uint8_t *next)
{
    const __m256i nibble = _mm256_set1_epi8(15);
    size_t half = x->groups * HALF;
    const int8_t *d = x->digits;
    const int8_t *centre = (const int8_t *)x->centre;
    __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    size_t at = 0;
    for (; at + 32 <= half; at += 32) {
        __m256i both = load(codes + at);
        __m256i low = _mm256_and_si256(both, nibble);
        __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
        const uint8_t *m = multipliers + at / HALF;
        __m256i scales = _mm256_set_m128i(_mm_set1_epi16(m[1]), _mm_set1_epi16(m[0]));
        if (at % 64 == 0)
            _mm_prefetch((const char *)next + at, _MM_HINT_T1);
        sums[0] =
            digit(low, high, load(d + at), load(d + half + at), load(centre + at), scales, sums[0]);
        sums[1] = digit(low, high, load(d + 2 * half + at), load(d + 3 * half + at),
                        load(centre + half + at), scales, sums[1]);
    }
    if (at < half) { /* one group more */
        __m256i both = load_half(codes + at);
        __m256i low = _mm256_and_si256(both, nibble);
        __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
        __m256i scales = _mm256_set1_epi16(multipliers[at / HALF]);
        sums[0] = digit(low, high, load_half(d + at), load_half(d + half + at),
                        load_half(centre + at), scales, sums[0]);
        sums[1] = digit(low, high, load_half(d + 2 * half + at), load_half(d + 3 * half + at),
                        load_half(centre + half + at), scales, sums[1]);
    }
    return 256 * (int64_t)(int32_t)fold(sums[0]) + (int32_t)fold(sums[1]);
}

static void product(const sketch_rows *rows, const sketch_vector *x, int64_t *sums)
{
    size_t all = rows->count + rows->next;
    for (size_t i = 0; i < rows->count; i++) {
        size_t next = i + SKETCH_AHEAD < all ? i + SKETCH_AHEAD : i;
        sums[i] = product_row(rows->plane + rows->ids[i] * x->groups * HALF,
                              rows->multipliers + rows->ids[i] * x->groups, x,
                              rows->plane + rows->ids[next] * x->groups * HALF);
    }
}

void sketch_overlay_avx2(sketch_table *table)
{
    table->product = product;
    table->build = build_row;
}
