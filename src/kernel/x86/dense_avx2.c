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
#define DENSE_OVERLAY dense_overlay_body
static void dense_overlay_body(dense_kernels *table, cpu_fetching fetching);
#include "kernel/dense_body.h"

/* Eight numbers of one sixteen and of the next, as they lie in 32-bit lanes of half_unpack. */
static __m256i two_eights(const uint8_t *numbers)
{
    __m256i even = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)numbers));
    __m256i odd =
        _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(numbers + 32)));
    return _mm256_or_si256(even, _mm256_slli_epi32(odd, 16));
}

/* The steps of half_unpack backwards; places are found by comparing with all of them. */
static __m256i half_pack(const uint8_t *numbers, const uint8_t *table, uint8_t *low)
{
    const __m256i low_bytes = _mm256_set1_epi16(0x00ff);
    __m256i first = two_eights(numbers);
    __m256i second = two_eights(numbers + 64);
    __m256i lows = _mm256_packus_epi16(_mm256_and_si256(first, low_bytes),
                                       _mm256_and_si256(second, low_bytes));
    __m256i highs = _mm256_packus_epi16(_mm256_srli_epi16(first, 8), _mm256_srli_epi16(second, 8));
    __m256i places = _mm256_set1_epi8(15);
    for (int i = 14; i >= 0; i--) { /* the first of equal bytes counts */
        __m256i same = _mm256_cmpeq_epi8(highs, _mm256_set1_epi8((char)table[i]));
        places = _mm256_blendv_epi8(places, _mm256_set1_epi8((char)i), same);
    }
    _mm256_storeu_si256((__m256i *)(void *)low, lows);
    return places;
}

static int pack(const uint8_t *numbers, const uint8_t *place, const uint8_t *table, uint8_t *low,
                uint8_t *pairs)
{
    const __m256i none = _mm256_set1_epi8(15);
    __m256i first = half_pack(numbers, table, low);
    __m256i second = half_pack(numbers + 16, table, low + 32);
    (void)place;
    _mm256_storeu_si256((__m256i *)(void *)pairs,
                        _mm256_or_si256(first, _mm256_slli_epi16(second, 4)));
    return _mm256_movemask_epi8(_mm256_or_si256(_mm256_cmpeq_epi8(first, none),
                                                _mm256_cmpeq_epi8(second, none))) != 0;
}

void dense_overlay_avx2(dense_kernels *table)
{
    dense_overlay_body(table, CPU_FETCHES_TWICE);
    table->pack = pack;
}
