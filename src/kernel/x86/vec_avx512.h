/* A vector of 16 floats with AVX-512 F, BW, DQ and VL; kernel/body.h lists what it can do. */
#ifndef KERNEL_X86_VEC_AVX512_H
#define KERNEL_X86_VEC_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

typedef __m512 vec;

static inline vec vec_load(const float *from)
{
    return _mm512_loadu_ps(from);
}
static inline void vec_load_pairs(const float *from, vec *firsts, vec *seconds)
{
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    __m512 a = _mm512_loadu_ps(from);
    __m512 b = _mm512_loadu_ps(from + 16);
    *firsts = _mm512_permutex2var_ps(a, even, b);
    *seconds = _mm512_permutex2var_ps(a, _mm512_add_epi32(even, _mm512_set1_epi32(1)), b);
}
static inline void vec_store(float *to, vec a)
{
    _mm512_storeu_ps(to, a);
}
static inline vec vec_set(float value)
{
    return _mm512_set1_ps(value);
}
static inline vec vec_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}
static inline vec vec_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}
static inline vec vec_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}
static inline vec vec_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}
static inline vec vec_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}
static inline vec vec_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}
static inline vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
static inline vec vec_round(vec a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline vec vec_power_of_two(vec n)
{
    __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    __m512 power = _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
    return _mm512_mask_mov_ps(power, _mm512_cmp_ps_mask(n, n, _CMP_UNORD_Q), n);
}

static inline vec vec_power_of_low_bits(vec a)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 23));
}
static inline vec vec_zero_below(vec x, vec limit, vec value)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, limit, _CMP_NLT_UQ), value);
}

static inline vec vec_low_bf16(const uint8_t *in)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(in), 16));
}
static inline vec vec_high_bf16(const uint8_t *in)
{
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_loadu_si512(in), _mm512_set1_epi32((int)0xffff0000U)));
}

static inline vec vec_from_bf16(const uint8_t *in)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)in));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
static inline vec vec_from_f16(const uint8_t *in)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)in));
}

static inline void vec_from_fp4(const uint8_t *in, vec *low, vec *high)
{
    const __m512 values = _mm512_setr_ps(0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F, -0.0F,
                                         -0.5F, -1.0F, -1.5F, -2.0F, -3.0F, -4.0F, -6.0F);
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)in);
    __m128i even = _mm_and_si128(bytes, _mm_set1_epi8(15));
    __m128i odd = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(15));
    __m512i first = _mm512_cvtepu8_epi32(_mm_unpacklo_epi8(even, odd));
    __m512i second = _mm512_cvtepu8_epi32(_mm_unpackhi_epi8(even, odd));
    *low = _mm512_permutexvar_ps(first, values);
    *high = _mm512_permutexvar_ps(second, values);
}

static inline float vec_fold(vec s)
{
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps(s, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
static inline float vec_fold_max(vec s)
{
    __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps(s, 1));
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

#define PRAGMA(text) _Pragma(#text)
#define INLINE       static inline __attribute__((always_inline))
#define UNROLL(n)    PRAGMA(GCC unroll n)

#endif
