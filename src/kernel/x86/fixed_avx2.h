/* What the AVX2 kernels of fixed.h share. */
#ifndef KERNEL_X86_FIXED_AVX2_H
#define KERNEL_X86_FIXED_AVX2_H

#include <immintrin.h>
#include <math.h>

#include "base/number.h"
#include "kernel/fixed.h"

#define PRAGMA(text) _Pragma(#text)
#define INLINE       static inline __attribute__((always_inline))
#define UNROLL(n)    PRAGMA(GCC unroll n)

/* The value is in a register here, wherever it came from, and what is below stays below. */
#define KEEP(a) __asm__ volatile("" : "+x"(a))

/* 16 numbers that vpshufb chooses from, in both halves. */
#define TABLE(...) _mm256_broadcastsi128_si256(_mm_setr_epi8(__VA_ARGS__))

/* What stands in `table` for the low nibbles, then for the high ones. */
INLINE void decode_nibbles(__m256i bytes, __m256i table, __m256i values[2])
{
    const __m256i nibble = _mm256_set1_epi8(15);
    values[0] = _mm256_shuffle_epi8(table, bytes & nibble);
    values[1] = _mm256_shuffle_epi8(table, _mm256_srli_epi16(bytes, 4) & nibble);
}

/* w2 + 12 of every code. */
INLINE void decode_offset(__m256i bytes, __m256i codes[2])
{
    decode_nibbles(bytes, TABLE(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0), codes);
}

/* w2 of every code. */
INLINE void decode_signed(__m256i bytes, __m256i numbers[2])
{
    decode_nibbles(bytes, TABLE(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12), numbers);
}

/* The even and the odd bytes, which have signs, as words; by vpmaddubsw, since shifts wait for the
 * units that shuffles need. */
INLINE __m256i low_bytes(__m256i bytes)
{
    return _mm256_maddubs_epi16(_mm256_set1_epi16(0x0001), bytes);
}
INLINE __m256i high_bytes(__m256i bytes)
{
    return _mm256_maddubs_epi16(_mm256_set1_epi16(0x0100), bytes);
}

/* 2^(scale - 127), but for scale 255. */
INLINE __m256 scale_values(__m256i scales)
{
    __m256i bits = _mm256_slli_epi32(scales, 23);
    return _mm256_castsi256_ps(_mm256_max_epi32(bits, _mm256_set1_epi32(0x00400000))); /* of 0 */
}

/* ---- activations ----------------------------------------------------------------------------- */

/* The greatest |N|. */
INLINE float limit_of(unsigned digits)
{
    return digits == 1 ? 127.0F : digits == 2 ? 32639.0F : 8355711.0F;
}

/* The largest magnitude of 32 numbers by its bits. */
INLINE uint32_t largest_bits(const float *x)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i largest = _mm256_setzero_si256();
    for (size_t i = 0; i < FIXED_GROUP; i += 8) {
        __m256i bits = _mm256_castps_si256(_mm256_loadu_ps(x + i)) & magnitude;
        largest = _mm256_max_epi32(largest, bits);
    }
    __m128i four =
        _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(four);
}

/* The whole numbers of a group; returns its scale. */
INLINE float round_group(const float *x, float limit, __m256i whole[4])
{
    uint32_t bits = largest_bits(x);
    float largest = float_from_bits(bits);
    for (size_t i = 0; i < 4; i++)
        whole[i] = _mm256_setzero_si256();
    if (bits >= 0x7f800000U)
        return NAN;
    if (largest < 0x1p-96F)
        return 0.0F;
    __m256 inverse = _mm256_set1_ps(limit / largest);
    for (size_t i = 0; i < 4; i++) {
        __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), inverse);
        scaled = _mm256_min_ps(scaled, _mm256_set1_ps(limit));
        scaled = _mm256_max_ps(scaled, _mm256_set1_ps(-limit));
        whole[i] = _mm256_cvtps_epi32(
            _mm256_round_ps(scaled, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    return largest / limit;
}

/* Their sum. */
INLINE int32_t sum_numbers(const __m256i whole[4])
{
    __m256i eight = _mm256_add_epi32(_mm256_add_epi32(whole[0], whole[1]),
                                     _mm256_add_epi32(whole[2], whole[3]));
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    return _mm_cvtsi128_si32(four);
}

/* Takes the lowest digits off: those of the even columns, then those of the odd ones. */
INLINE __m256i pop_columns(__m256i whole[4])
{
    const __m256i byte = _mm256_set1_epi32(255);
    __m256i shorts[2];
    for (size_t i = 0; i < 2; i++)
        shorts[i] = _mm256_packus_epi32(whole[2 * i] & byte, whole[2 * i + 1] & byte);
    /* columns 0-3 8-11 16-19 24-27 | 4-7 12-15 20-23 28-31 */
    __m256i bytes = _mm256_packus_epi16(shorts[0], shorts[1]);
    bytes = _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(_mm_setr_epi8(
                                           0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15)));
    for (size_t i = 0; i < 4; i++)
        whole[i] = _mm256_srai_epi32(_mm256_add_epi32(whole[i], _mm256_set1_epi32(128)), 8);
    __m128i low = _mm256_castsi256_si128(bytes);
    __m128i high = _mm256_extracti128_si256(bytes, 1);
    return _mm256_set_m128i(_mm_unpackhi_epi16(low, high), _mm_unpacklo_epi16(low, high));
}

/* ---- functions of fixed_table ---------------------------------------------------------------- */

void fixed_quantise_tile_avx2(const float *const rows[], size_t count, size_t batch,
                              fixed_columns columns, unsigned digits, uint8_t *tile);

void fixed_multiply_avx2(const uint8_t *blocks, const uint8_t *scales, size_t rows, size_t columns,
                         fixed_batch batch, unsigned digits, void *scratch, fixed_ahead ahead,
                         float *y, size_t y_stride);

#endif
