/* Preparing fixed-point activations and unpacking MXFP4 panels with AVX-512 F, BW, DQ and VL. */
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "kernel/fixed.h"
#include "kernel/x86/fixed_split_avx512.h"

/* ---- activations ----------------------------------------------------------------------------- */

/* 32 whole numbers. */
typedef struct group_numbers {
    __m512i first;
    __m512i second;
} group_numbers;

FIXED_INLINE __m512i round_half(__m512 x, float inverse, float limit)
{
    __m512 scaled = _mm512_mul_ps(x, _mm512_set1_ps(inverse));
    scaled = _mm512_min_ps(scaled, _mm512_set1_ps(limit));
    scaled = _mm512_max_ps(scaled, _mm512_set1_ps(-limit));
    return _mm512_cvt_roundps_epi32(scaled, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* The whole numbers of a group; returns its scale. */
FIXED_INLINE float round_group(const float *x, float limit, group_numbers *whole)
{
    __m512 first = _mm512_loadu_ps(x);
    __m512 second = _mm512_loadu_ps(x + 16);
    __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    uint32_t bits = _mm512_reduce_max_epu32(
        _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(first), magnitude),
                         _mm512_and_si512(_mm512_castps_si512(second), magnitude)));
    float largest = float_from_bits(bits);
    whole->first = whole->second = _mm512_setzero_si512();
    if (bits >= 0x7f800000U)
        return NAN;
    if (largest < 0x1p-96F)
        return 0.0F;
    float inverse = limit / largest;
    whole->first = round_half(first, inverse, limit);
    whole->second = round_half(second, inverse, limit);
    return largest / limit;
}

/* Takes the lowest digits off, as whole numbers. */
FIXED_INLINE __m512i pop_half(__m512i *whole)
{
    __m512i digit = _mm512_srai_epi32(_mm512_slli_epi32(*whole, 24), 24);
    *whole = _mm512_srai_epi32(_mm512_sub_epi32(*whole, digit), 8);
    return digit;
}

FIXED_INLINE int32_t sum_numbers(group_numbers whole)
{
    return _mm512_reduce_add_epi32(_mm512_add_epi32(whole.first, whole.second));
}

/* Puts 32 digits down, even columns at `to`, odd ones 64 bytes on. */
FIXED_INLINE void store_digits(group_numbers digits, uint8_t *to)
{
    const __m256i parts = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
    __m256i bytes =
        _mm256_set_m128i(_mm512_cvtepi32_epi8(digits.second), _mm512_cvtepi32_epi8(digits.first));
    bytes = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(bytes, parts), 0xd8);
    _mm_storeu_si128((__m128i *)(void *)to, _mm256_castsi256_si128(bytes));
    _mm_storeu_si128((__m128i *)(void *)(to + 64), _mm256_extracti128_si256(bytes, 1));
}

/* Puts group `place` of a block down. */
FIXED_INLINE void store_group(const float *x, unsigned digits, size_t place, uint8_t *block)
{
    const float limit = digits == 1 ? 127.0F : digits == 2 ? 32639.0F : 8355711.0F;
    fixed_tail *tail = (fixed_tail *)(void *)(block + (size_t)FIXED_COLUMNS * digits);
    group_numbers whole;
    int32_t low = 0;
    tail->half_scale[place] = 0.5F * round_group(x, limit, &whole);
    if (digits == 3) {
        group_numbers popped = {pop_half(&whole.first), pop_half(&whole.second)};
        low = sum_numbers(popped);
        store_digits(popped, block + (size_t)2 * FIXED_COLUMNS + 16 * place);
    }
    tail->high[place] = -FIXED_OFFSET * sum_numbers(whole);
    tail->low[place] = -FIXED_OFFSET * low;
    if (digits > 1) {
        group_numbers popped = {pop_half(&whole.first), pop_half(&whole.second)};
        store_digits(popped, block + FIXED_COLUMNS + 16 * place);
    }
    store_digits(whole, block + 16 * place);
}

FIXED_INLINE void quantise_row(const float *x, size_t n, unsigned digits, uint8_t *row)
{
    size_t groups = n / FIXED_GROUP;
    size_t bytes = fixed_block_bytes(digits);
    if (groups % FIXED_GROUPS != 0)
        memset(row + groups / FIXED_GROUPS * bytes, 0, bytes);
    for (size_t g = 0; g < groups; g++) {
        uint8_t *block = row + g / FIXED_GROUPS * bytes;
        fixed_tail *tail = (fixed_tail *)(void *)(block + (size_t)FIXED_COLUMNS * digits);
        tail->none[g % FIXED_GROUPS] = 0;
        store_group(x + g * FIXED_GROUP, digits, g % FIXED_GROUPS, block);
    }
}

static void quantise(const float *x, size_t n, unsigned digits, uint8_t *row)
{
    if (digits == 1)
        quantise_row(x, n, 1, row);
    else if (digits == 2)
        quantise_row(x, n, 2, row);
    else
        quantise_row(x, n, 3, row);
}

#include "kernel/x86/fixed_unpack_body.h"

void fixed_overlay_avx512(fixed_table *table)
{
    table->quantise = quantise;
    table->unpack = unpack;
}
