/* A vector of 16 floats with AVX2, FMA and F16C; kernel/body.h lists what it can do. */
#ifndef KERNEL_X86_VEC_AVX2_H
#define KERNEL_X86_VEC_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

typedef struct vec {
    __m256 low;
    __m256 high;
} vec;

/* Applies a two-operand intrinsic to both halves. */
#define BOTH(function, a, b)                                                                       \
    return (vec)                                                                                   \
    {                                                                                              \
        function((a).low, (b).low), function((a).high, (b).high)                                   \
    }

static inline vec vec_load(const float *from)
{
    return (vec){_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)};
}
/* Eight pairs. */
static inline void load_half_pairs(const float *from, __m256 *firsts, __m256 *seconds)
{
    __m256 a = _mm256_loadu_ps(from);
    __m256 b = _mm256_loadu_ps(from + 8);
    __m256 even = _mm256_shuffle_ps(a, b, 0x88);
    __m256 odd = _mm256_shuffle_ps(a, b, 0xdd);
    *firsts = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(even), 0xd8));
    *seconds = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(odd), 0xd8));
}
static inline void vec_load_pairs(const float *from, vec *firsts, vec *seconds)
{
    load_half_pairs(from, &firsts->low, &seconds->low);
    load_half_pairs(from + 16, &firsts->high, &seconds->high);
}
static inline void vec_store(float *to, vec a)
{
    _mm256_storeu_ps(to, a.low);
    _mm256_storeu_ps(to + 8, a.high);
}
static inline vec vec_set(float value)
{
    __m256 all = _mm256_set1_ps(value);
    return (vec){all, all};
}
static inline vec vec_add(vec a, vec b)
{
    BOTH(_mm256_add_ps, a, b);
}
static inline vec vec_sub(vec a, vec b)
{
    BOTH(_mm256_sub_ps, a, b);
}
static inline vec vec_mul(vec a, vec b)
{
    BOTH(_mm256_mul_ps, a, b);
}
static inline vec vec_div(vec a, vec b)
{
    BOTH(_mm256_div_ps, a, b);
}
static inline vec vec_min(vec a, vec b)
{
    BOTH(_mm256_min_ps, a, b);
}
static inline vec vec_max(vec a, vec b)
{
    BOTH(_mm256_max_ps, a, b);
}
static inline vec vec_fma(vec a, vec b, vec c)
{
    return (vec){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
static inline vec vec_round(vec a)
{
    return (vec){_mm256_round_ps(a.low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                 _mm256_round_ps(a.high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

/* A NaN stays one. */
static inline __m256 power_of_two(__m256 n)
{
    __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    __m256 power = _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
    return _mm256_blendv_ps(power, n, _mm256_cmp_ps(n, n, _CMP_UNORD_Q));
}
static inline vec vec_power_of_two(vec n)
{
    return (vec){power_of_two(n.low), power_of_two(n.high)};
}

static inline __m256 power_of_low_bits(__m256 a)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23));
}
static inline vec vec_power_of_low_bits(vec a)
{
    return (vec){power_of_low_bits(a.low), power_of_low_bits(a.high)};
}
static inline __m256 zero_below(__m256 x, __m256 limit, __m256 value)
{
    return _mm256_and_ps(value, _mm256_cmp_ps(x, limit, _CMP_NLT_UQ));
}
static inline vec vec_zero_below(vec x, vec limit, vec value)
{
    return (vec){zero_below(x.low, limit.low, value.low),
                 zero_below(x.high, limit.high, value.high)};
}

static inline __m256i words(const uint8_t *in)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)in);
}
static inline vec vec_low_bf16(const uint8_t *in)
{
    return (vec){_mm256_castsi256_ps(_mm256_slli_epi32(words(in), 16)),
                 _mm256_castsi256_ps(_mm256_slli_epi32(words(in + 32), 16))};
}
static inline vec vec_high_bf16(const uint8_t *in)
{
    const __m256i high = _mm256_set1_epi32((int)0xffff0000U);
    return (vec){_mm256_castsi256_ps(_mm256_and_si256(words(in), high)),
                 _mm256_castsi256_ps(_mm256_and_si256(words(in + 32), high))};
}

static inline __m256 from_bf16(const uint8_t *in)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)in));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
static inline vec vec_from_bf16(const uint8_t *in)
{
    return (vec){from_bf16(in), from_bf16(in + 16)};
}
static inline vec vec_from_f16(const uint8_t *in)
{
    return (vec){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)in)),
                 _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(in + 16)))};
}

/* Eight codes, one a byte: magnitude by table from the low three bits, sign from the fourth. */
static inline __m256 from_codes(__m128i codes)
{
    const __m256 magnitudes = _mm256_setr_ps(0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F);
    __m256i wide = _mm256_cvtepu8_epi32(codes);
    __m256i sign = _mm256_slli_epi32(_mm256_srli_epi32(wide, 3), 31);
    return _mm256_or_ps(_mm256_permutevar8x32_ps(magnitudes, wide), _mm256_castsi256_ps(sign));
}
static inline void vec_from_fp4(const uint8_t *in, vec *low, vec *high)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)in);
    __m128i even = _mm_and_si128(bytes, _mm_set1_epi8(15));
    __m128i odd = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(15));
    __m128i first = _mm_unpacklo_epi8(even, odd);
    __m128i second = _mm_unpackhi_epi8(even, odd);
    *low = (vec){from_codes(first), from_codes(_mm_srli_si128(first, 8))};
    *high = (vec){from_codes(second), from_codes(_mm_srli_si128(second, 8))};
}

static inline float vec_fold(vec s)
{
    __m256 eight = _mm256_add_ps(s.low, s.high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
static inline float vec_fold_max(vec s)
{
    __m256 eight = _mm256_max_ps(s.low, s.high);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

#define PRAGMA(text) _Pragma(#text)
#define INLINE       static inline __attribute__((always_inline))
#define UNROLL(n)    PRAGMA(GCC unroll n)

#endif
