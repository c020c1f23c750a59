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

/* The lanes' sum modulo 2^32: the whole sum, its offset taken off, fits. */
static inline uint32_t fold(__m256i s)
{
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return (uint32_t)_mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}

/* A digit's sum over two groups of codes, times their multipliers. A pair's products are at most
 * 2 * 2 * 15 * 128 and fit in 16 bits. */
static inline __m256i digit(__m256i low, __m256i high, __m256i first, __m256i second,
                            __m256i multipliers, __m256i sum)
{
    __m256i pairs =
        _mm256_add_epi16(_mm256_maddubs_epi16(low, first), _mm256_maddubs_epi16(high, second));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, multipliers));
}

/* 8 * sum over groups of multiplier * digit sum: what the nibbles' offset adds. */
static inline uint32_t offset(const uint8_t *multipliers, const int16_t *sums, size_t groups)
{
    __m256i total = _mm256_setzero_si256();
    uint32_t rest = 0;
    size_t g = 0;
    for (; g + 16 <= groups; g += 16) {
        __m256i m = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(multipliers + g)));
        total = _mm256_add_epi32(total, _mm256_madd_epi16(m, load(sums + g)));
    }
    for (; g < groups; g++)
        rest += (uint32_t)(multipliers[g] * sums[g]);
    return 8 * (fold(total) + rest);
}

static inline int64_t product_row(const uint8_t *codes, const uint8_t *multipliers,
                                  const sketch_vector *x)
{
    const __m256i nibble = _mm256_set1_epi8(15);
    size_t half = x->groups * HALF;
    const int8_t *d = x->digits;
    __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    size_t at = 0;
    for (; at + 32 <= half; at += 32) {
        __m256i both = load(codes + at);
        __m256i low = _mm256_and_si256(both, nibble);
        __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
        const uint8_t *m = multipliers + at / HALF;
        __m256i scales = _mm256_set_m128i(_mm_set1_epi16(m[1]), _mm_set1_epi16(m[0]));
        sums[0] = digit(low, high, load(d + at), load(d + half + at), scales, sums[0]);
        sums[1] =
            digit(low, high, load(d + 2 * half + at), load(d + 3 * half + at), scales, sums[1]);
    }
    if (at < half) { /* one group more */
        __m256i both = load_half(codes + at);
        __m256i low = _mm256_and_si256(both, nibble);
        __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
        __m256i scales = _mm256_set1_epi16(multipliers[at / HALF]);
        sums[0] = digit(low, high, load_half(d + at), load_half(d + half + at), scales, sums[0]);
        sums[1] = digit(low, high, load_half(d + 2 * half + at), load_half(d + 3 * half + at),
                        scales, sums[1]);
    }
    int32_t first = (int32_t)(fold(sums[0]) - offset(multipliers, x->sums, x->groups));
    int32_t second = (int32_t)(fold(sums[1]) - offset(multipliers, x->sums + x->groups, x->groups));
    return 256 * (int64_t)first + second;
}

static void product(const uint8_t *plane, const uint8_t *multipliers, size_t rows,
                    const sketch_vector *x, int64_t *sums)
{
    for (size_t r = 0; r < rows; r++)
        sums[r] = product_row(plane + r * x->groups * HALF, multipliers + r * x->groups, x);
}

void sketch_overlay_avx2(sketch_table *table)
{
    table->product = product;
    table->build = build_row;
}
