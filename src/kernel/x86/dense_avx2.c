/* The dense kernels with AVX2 and FMA. */
#include "kernel/dense.h"
#include "kernel/x86/part_avx2.h"

static inline part part_from_bf16(const uint8_t *in)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)in));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

static inline float part_fold(const part *sums)
{
    __m256 eight = _mm256_add_ps(_mm256_add_ps(sums[0], sums[2]), _mm256_add_ps(sums[1], sums[3]));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

typedef __m256i place_table;

static inline place_table table_load(const uint8_t *table)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
}

/* Bytes [0, 32) or [32, 64) of a block: the lower or upper eight of each sixteen columns. */
static inline void half_unpack(const uint8_t *low, __m256i places, place_table table, part *out)
{
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000U);
    __m256i lows = _mm256_loadu_si256((const __m256i *)(const void *)low);
    __m256i highs = _mm256_shuffle_epi8(table, _mm256_and_si256(places, _mm256_set1_epi8(15)));
    __m256i first = _mm256_unpacklo_epi8(lows, highs);
    __m256i second = _mm256_unpackhi_epi8(lows, highs);
    out[0] = _mm256_castsi256_ps(_mm256_slli_epi32(first, 16));
    out[2] = _mm256_castsi256_ps(_mm256_and_si256(first, upper));
    out[4] = _mm256_castsi256_ps(_mm256_slli_epi32(second, 16));
    out[6] = _mm256_castsi256_ps(_mm256_and_si256(second, upper));
}

static inline void block_unpack(const uint8_t *low, const uint8_t *pairs, place_table table,
                                part *out)
{
    __m256i both = _mm256_loadu_si256((const __m256i *)(const void *)pairs);
    half_unpack(low, both, table, out);
    half_unpack(low + 32, _mm256_srli_epi16(both, 4), table, out + 1);
}

#define PRAGMA(text)  _Pragma(#text)
#define INLINE        static inline __attribute__((always_inline))
#define UNROLL(n)     PRAGMA(GCC unroll n)
#define DENSE_OVERLAY dense_overlay_avx2
#include "kernel/dense_body.h"
