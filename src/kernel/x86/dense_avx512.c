/* The dense kernels with AVX-512 F, BW, DQ and VL. */
#include "kernel/dense.h"
#include "kernel/x86/packed_avx512.h"
#include "kernel/x86/part_avx512.h"

static inline part part_from_bf16(const uint8_t *in)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)in));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

static inline float part_fold(const part *sums)
{
    __m512 all = _mm512_add_ps(sums[0], sums[1]);
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

static inline void block_unpack(const uint8_t *low, const uint8_t *pairs, place_table table,
                                part *out)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000U);
    __m512i steps[2];
    steps_unpack(low, pairs, table, steps);
    for (size_t i = 0; i < 2; i++) {
        out[2 * i] = _mm512_castsi512_ps(_mm512_slli_epi32(steps[i], 16));
        out[2 * i + 1] = _mm512_castsi512_ps(_mm512_and_si512(steps[i], upper));
    }
}

#define PRAGMA(text)  _Pragma(#text)
#define INLINE        static inline __attribute__((always_inline))
#define UNROLL(n)     PRAGMA(GCC unroll n)
#define DENSE_OVERLAY dense_overlay_body
static void dense_overlay_body(dense_kernels *table, cpu_fetching fetching);
#include "kernel/dense_body.h"

/* Sixteen numbers, widened. */
static __m512i sixteen(const uint8_t *numbers)
{
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)numbers));
}

/* The steps of block_unpack backwards; places are found by comparing with all of them. */
static int pack(const uint8_t *numbers, const uint8_t *place, const uint8_t *table, uint8_t *low,
                uint8_t *pairs)
{
    const __m512i low_bytes = _mm512_set1_epi16(0x00ff);
    const __m512i none = _mm512_set1_epi8(15);
    __m512i first = _mm512_or_si512(sixteen(numbers), _mm512_slli_epi32(sixteen(numbers + 32), 16));
    __m512i second =
        _mm512_or_si512(sixteen(numbers + 64), _mm512_slli_epi32(sixteen(numbers + 96), 16));
    __m512i lows = _mm512_packus_epi16(_mm512_and_si512(first, low_bytes),
                                       _mm512_and_si512(second, low_bytes));
    __m512i highs = _mm512_packus_epi16(_mm512_srli_epi16(first, 8), _mm512_srli_epi16(second, 8));
    __m512i places = none;
    (void)place;
    for (int i = 14; i >= 0; i--) { /* the first of equal bytes counts */
        __mmask64 same = _mm512_cmpeq_epi8_mask(highs, _mm512_set1_epi8((char)table[i]));
        places = _mm512_mask_mov_epi8(places, same, _mm512_set1_epi8((char)i));
    }
    _mm512_storeu_si512(low, lows);
    _mm256_storeu_si256(
        (__m256i *)(void *)pairs,
        _mm256_or_si256(_mm512_castsi512_si256(places),
                        _mm256_slli_epi16(_mm512_extracti64x4_epi64(places, 1), 4)));
    return _mm512_cmpeq_epi8_mask(places, none) != 0;
}

void dense_overlay_avx512(dense_kernels *table, cpu_fetching fetching)
{
    dense_overlay_body(table, fetching);
    table->pack = pack;
}
