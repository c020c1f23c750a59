/*
 * The sketch's product over vectors of 64 bytes, for files that first define
 *     digit(low, high, first, second, multipliers, sum)   the sum, with a digit's products of four
 *                                                         groups of codes times multipliers added
 */
#include <immintrin.h>

enum { WIDTH = 64, GROUPS = 4 };

/* Bytes of the plane that are asked for before they are needed. */
#define SKETCH_AHEAD 4096

/* Four multipliers, each in the 32-bit lanes of its group. */
static inline __m512i spread(uint32_t four)
{
    const __m512i lanes = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    const __m512i bytes = _mm512_or_si512(lanes, _mm512_set1_epi32((int32_t)0x80808000));
    return _mm512_shuffle_epi8(_mm512_set1_epi32((int32_t)four), bytes);
}

/* The lanes' sum modulo 2^32: the whole sum, its offset taken off, fits. */
static inline uint32_t fold(__m512i s)
{
    return (uint32_t)_mm512_reduce_add_epi32(s);
}

/* 8 * sum over groups of multiplier * digit sum, what the nibbles' offset adds, in lanes. */
static inline __m512i offsets(const uint8_t *multipliers, const int16_t *sums, size_t groups)
{
    __m512i total = _mm512_setzero_si512();
    for (size_t g = 0; g < groups; g += 32) {
        __mmask32 mask = groups - g < 32 ? (1U << (groups - g)) - 1 : UINT32_MAX;
        __m512i m = _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(mask, multipliers + g));
        __m512i s = _mm512_maskz_loadu_epi16(mask, sums + g);
        total = _mm512_add_epi32(total, _mm512_madd_epi16(m, s));
    }
    return _mm512_slli_epi32(total, 3);
}

static inline void add_codes(__m512i codes, __m512i multipliers, const __m512i digits[4],
                             __m512i sums[2])
{
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i low = _mm512_and_si512(codes, nibble);
    __m512i high = _mm512_and_si512(_mm512_srli_epi16(codes, 4), nibble);
    sums[0] = digit(low, high, digits[0], digits[1], multipliers, sums[0]);
    sums[1] = digit(low, high, digits[2], digits[3], multipliers, sums[1]);
}

static inline int64_t product_row(const uint8_t *codes, const uint8_t *multipliers,
                                  const sketch_vector *x)
{
    size_t half = x->groups * (SKETCH_GROUP / 2);
    __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    __m512i digits[4];
    size_t at = 0;
    for (; at + WIDTH <= half; at += WIDTH) {
        uint32_t four;
        memcpy(&four, multipliers + at / (WIDTH / GROUPS), sizeof four);
        for (size_t i = 0; i < 4; i++)
            digits[i] = _mm512_loadu_si512(x->digits + i * half + at);
        _mm_prefetch((const char *)codes + at + SKETCH_AHEAD, _MM_HINT_T0);
        add_codes(_mm512_loadu_si512(codes + at), spread(four), digits, sums);
    }
    if (at < half) {
        __mmask64 mask = (1ULL << (half - at)) - 1;
        uint32_t four = 0;
        for (size_t i = (half - at) / (WIDTH / GROUPS); i-- > 0;)
            four = four << 8 | multipliers[at / (WIDTH / GROUPS) + i];
        for (size_t i = 0; i < 4; i++)
            digits[i] = _mm512_maskz_loadu_epi8(mask, x->digits + i * half + at);
        add_codes(_mm512_maskz_loadu_epi8(mask, codes + at), spread(four), digits, sums);
    }
    for (size_t d = 0; d < 2; d++)
        sums[d] =
            _mm512_sub_epi32(sums[d], offsets(multipliers, x->sums + d * x->groups, x->groups));
    return 256 * (int64_t)(int32_t)fold(sums[0]) + (int32_t)fold(sums[1]);
}

static void product(const uint8_t *plane, const uint8_t *multipliers, size_t rows,
                    const sketch_vector *x, int64_t *sums)
{
    size_t half = x->groups * (SKETCH_GROUP / 2);
    for (size_t r = 0; r < rows; r++)
        sums[r] = product_row(plane + r * half, multipliers + r * x->groups, x);
}
