/* Fixed-point activations and their products with AVX2 and FMA. */
#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "base/number.h"

#define PRAGMA(text) _Pragma(#text)
#define INLINE       static inline __attribute__((always_inline))
#define UNROLL(n)    PRAGMA(GCC unroll n)

typedef __m256i ints;
typedef __m256 reals;
#define LANES       8
#define INTS(name)  _mm256_##name
#define REALS(name) _mm256_##name

INLINE ints ints_load(const void *from)
{
    return _mm256_load_si256((const __m256i *)from);
}
INLINE reals ints_as_reals(ints a)
{
    return _mm256_castsi256_ps(a);
}
INLINE __m128i load_sixteen(const uint8_t *from)
{
    return _mm_loadu_si128((const __m128i *)(const void *)from);
}
INLINE ints ints_rows(const uint8_t *from, size_t stride)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load_sixteen(from)),
                                   load_sixteen(from + stride), 1);
}
INLINE __m128i load_word(const uint8_t *from)
{
    return _mm_loadu_si32(from);
}
INLINE __m128i four_words(const uint8_t *from, size_t stride)
{
    __m128i a = _mm_unpacklo_epi32(load_word(from), load_word(from + stride));
    __m128i b = _mm_unpacklo_epi32(load_word(from + 2 * stride), load_word(from + 3 * stride));
    return _mm_unpacklo_epi64(a, b);
}
INLINE ints ints_words(const uint8_t *from, size_t stride)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(four_words(from, stride)),
                                   four_words(from + 4 * stride, stride), 1);
}
INLINE ints ints_full(ints words)
{
    return _mm256_cmpeq_epi8(words, _mm256_set1_epi8(-1));
}
INLINE reals reals_or_nan(reals y, ints where)
{
    __m256i good = _mm256_cmpeq_epi32(where, _mm256_setzero_si256());
    return _mm256_blendv_ps(_mm256_set1_ps(NAN), y, _mm256_castsi256_ps(good));
}

#include "kernel/x86/fixed_lanes_body.h"

/* ---- activations ----------------------------------------------------------------------------- */

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

/* Puts them down, even columns at `to` and odd ones 64 bytes on. */
INLINE void pop_digits(__m256i whole[4], uint8_t *to)
{
    __m256i digits = pop_columns(whole);
    _mm_storeu_si128((__m128i *)(void *)to, _mm256_castsi256_si128(digits));
    _mm_storeu_si128((__m128i *)(void *)(to + 64), _mm256_extracti128_si256(digits, 1));
}

static const float limits[FIXED_MAX_DIGITS] = {127.0F, 32639.0F, 8355711.0F};

/* Puts group `place` of a block down. */
static void store_group(const float *x, unsigned digits, size_t place, uint8_t *block)
{
    fixed_tail *tail = (fixed_tail *)(void *)(block + (size_t)FIXED_COLUMNS * digits);
    uint8_t *to = block + 16 * place;
    __m256i whole[4];
    tail->half_scale[place] = 0.5F * round_group(x, limits[digits - 1], whole);
    tail->low[place] = 0;
    if (digits == 3) {
        int32_t sum = sum_numbers(whole);
        pop_digits(whole, to + (size_t)2 * FIXED_COLUMNS);
        tail->low[place] = -FIXED_OFFSET * (sum - 256 * sum_numbers(whole));
    }
    tail->high[place] = -FIXED_OFFSET * sum_numbers(whole);
    tail->none[place] = 0;
    if (digits > 1)
        pop_digits(whole, to + FIXED_COLUMNS);
    pop_digits(whole, to);
}

static void quantise(const float *x, size_t n, unsigned digits, uint8_t *row)
{
    size_t groups = n / FIXED_GROUP;
    size_t bytes = fixed_block_bytes(digits);
    if (groups % FIXED_GROUPS != 0)
        memset(row + groups / FIXED_GROUPS * bytes, 0, bytes);
    for (size_t g = 0; g < groups; g++)
        store_group(x + g * FIXED_GROUP, digits, g % FIXED_GROUPS, row + g / FIXED_GROUPS * bytes);
}

/* ---- a batch --------------------------------------------------------------------------------- */

/* 16 registers: 2 x 4 sums, four of weights, one of activations, one of products. */
enum { BATCH_ROWS = 2, BATCH_PARTS = 4 };

#define KEEP(a) __asm__ volatile("" : "+x"(a))

INLINE void ints_store(void *to, ints a)
{
    _mm256_store_si256((__m256i *)to, a);
}

#include "kernel/x86/fixed_batch_body.h"

/* Puts 32 whole numbers down as pairs. */
INLINE void put_pairs(const __m256i whole[4], uint8_t *to)
{
    for (size_t i = 0; i < 2; i++) {
        /* columns 0-3 8-11 | 4-7 12-15 */
        __m256i words = _mm256_packs_epi32(whole[2 * i], whole[2 * i + 1]);
        __m128i low = _mm256_castsi256_si128(words);
        __m128i high = _mm256_extracti128_si256(words, 1);
        _mm_storeu_si128((__m128i *)(void *)(to + 32 * i), _mm_unpacklo_epi16(low, high));
        _mm_storeu_si128((__m128i *)(void *)(to + 32 * i + 16), _mm_unpackhi_epi16(low, high));
    }
}

/* Takes the lowest digits off and puts them down as quads; returns -12 * their sums, two of 16
 * bits. */
INLINE int32_t pop_quads(__m256i whole[4], uint8_t *to)
{
    __m256i digits = pop_columns(whole);
    __m128i even = _mm256_castsi256_si128(digits);
    __m128i odd = _mm256_extracti128_si256(digits, 1);
    __m128i first = _mm_unpacklo_epi32(even, odd);
    __m128i second = _mm_unpackhi_epi32(even, odd);
    _mm_storeu_si128((__m128i *)(void *)to, first);
    _mm_storeu_si128((__m128i *)(void *)(to + 16), second);
    const __m128i ones = _mm_set1_epi8(1);
    __m128i sums = _mm_add_epi16(_mm_maddubs_epi16(ones, first), _mm_maddubs_epi16(ones, second));
    sums = _mm_add_epi16(sums, _mm_shuffle_epi32(sums, 0x4e));
    sums = _mm_add_epi16(sums, _mm_shuffle_epi32(sums, 0xb1));
    return _mm_cvtsi128_si32(_mm_mullo_epi16(sums, _mm_set1_epi16(-FIXED_OFFSET)));
}

/* Puts a group of a batch down. */
INLINE void store_batch_group(const float *x, unsigned digits, uint8_t *to)
{
    __m256i whole[4];
    float half_scale = 0.5F * round_group(x, limits[digits - 1], whole);
    int32_t sums = 0;
    if (digits != 2)
        sums = pop_quads(whole, to + 4 * fixed_pairs_of(digits));
    if (digits > 1)
        put_pairs(whole, to);
    memcpy(to + fixed_batch_tail(digits), &half_scale, sizeof half_scale);
    memcpy(to + fixed_batch_tail(digits) + 4, &sums, sizeof sums);
}

void fixed_batch_quantise_avx2(const float *const rows[], size_t count, size_t n, unsigned digits,
                               uint8_t *tile)
{
    for (size_t b = 0; b < count; b++)
        for (size_t g = 0; g < n / FIXED_GROUP; g++)
            store_batch_group(rows[b] + g * FIXED_GROUP, digits,
                              tile + b * fixed_row_bytes(n, digits) +
                                  g * fixed_batch_bytes(digits));
}

void fixed_overlay_avx2(fixed_table *table)
{
    *table = (fixed_table){quantise, fixed_batch_quantise_avx2, dot_rows, multiply};
}
