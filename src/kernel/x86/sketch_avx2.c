/* The sketch's kernels with AVX2. */
#include "kernel/sketch.h"

#include <immintrin.h>
#include <string.h>

#include "kernel/sketch_build.h"
#include "kernel/sketch_estimate.h"

#define PRAGMA(text) _Pragma(#text)
#define INLINE       static inline __attribute__((always_inline))
#define UNROLL(n)    PRAGMA(GCC unroll n)

/* ---- products -------------------------------------------------------------------------------- */

enum { ROWS = 2 };

typedef __m256i sums_vector;

INLINE sums_vector no_sums(void)
{
    return _mm256_setzero_si256();
}
INLINE int32_t total_of(sums_vector sums)
{
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}

/* Where the digits' halves and what centres their products are; there are too few registers. */
typedef struct x_groups {
    const int8_t *halves[2][2];
    const int8_t *centre[2];
} x_groups;

INLINE x_groups load_x(const sketch_vector *x, size_t digits, size_t at, size_t groups)
{
    size_t half = x->groups * (SKETCH_GROUP / 2);
    x_groups v = {0};
    (void)groups;
    for (size_t d = 0; d < digits; d++) {
        v.halves[d][0] = x->digits + 2 * d * half + at;
        v.halves[d][1] = x->digits + (2 * d + 1) * half + at;
        v.centre[d] = (const int8_t *)x->centre + d * half + at;
    }
    return v;
}

/* The bytes of two groups, or of one and zeros. */
INLINE __m256i load_groups(const void *from, size_t groups)
{
    if (groups == 1)
        return _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)from));
    return _mm256_loadu_si256((const __m256i *)from);
}

/* Multipliers g and g + 1 of four, in the 16-bit lanes of their groups. */
INLINE __m256i spread(uint32_t four, size_t g)
{
    __m256i bytes = _mm256_set_m128i(_mm_set1_epi16((int16_t)(0x8001 + g)),
                                     _mm_set1_epi16((int16_t)(0x8000 + g)));
    return _mm256_shuffle_epi8(_mm256_set1_epi32((int32_t)four), bytes);
}

/* One or two groups, from group g of the four on. A pair's products are at most 2 * 2 * 15 * 128
 * and, with the centre of four columns, fit in 16 bits. */
INLINE void add_pair(const uint8_t *codes, uint32_t four, const x_groups *x, size_t g,
                     size_t groups, size_t digits, sums_vector sums[2])
{
    const __m256i nibble = _mm256_set1_epi8(15);
    size_t at = g * (SKETCH_GROUP / 2);
    __m256i both = load_groups(codes + at, groups);
    __asm__("" : "+x"(both)); /* or it is loaded twice */
    __m256i low = _mm256_and_si256(both, nibble);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
    __m256i multipliers = spread(four, g);
    UNROLL(2)
    for (size_t d = 0; d < digits; d++) {
        __m256i first = _mm256_maddubs_epi16(low, load_groups(x->halves[d][0] + at, groups));
        __m256i second = _mm256_maddubs_epi16(high, load_groups(x->halves[d][1] + at, groups));
        __m256i pairs = _mm256_add_epi16(_mm256_add_epi16(first, second),
                                         load_groups(x->centre[d] + at, groups));
        sums[d] = _mm256_add_epi32(sums[d], _mm256_madd_epi16(pairs, multipliers));
    }
}

INLINE void add_groups(const uint8_t *codes, uint32_t four, const x_groups *x, size_t groups,
                       size_t digits, sums_vector sums[2])
{
    size_t g = 0;
    UNROLL(2)
    for (; g + 2 <= groups; g += 2)
        add_pair(codes, four, x, g, 2, digits, sums);
    if (g < groups)
        add_pair(codes, four, x, g, 1, digits, sums);
}

#include "kernel/x86/sketch_product_body.h"

static void product(const sketch_rows *rows, const sketch_vector *x, int64_t *sums)
{
    product_ahead(rows, x, AHEAD_TWICE, sums);
}

/* ---- building -------------------------------------------------------------------------------- */

enum { HALF_VECTORS = HALF / 8 };

/* Running sums of squares as in square_sums. */
typedef struct square_vectors {
    __m256 weights[HALF_VECTORS];
    __m256 high[HALF_VECTORS];
    __m256 both[HALF_VECTORS];
} square_vectors;

static inline __m256 add_square(__m256 sum, __m256 x)
{
    return _mm256_add_ps(sum, _mm256_mul_ps(x, x));
}

/* quantise_half of vectors: the bytes are the low ones of `bits`. What is multiplied by the step is
 * exact, so that it may be fused. */
static inline void quantise_vectors(const float *from, group_step s, __m256i bits[HALF_VECTORS],
                                    square_vectors *sums)
{
    const __m256 magic = _mm256_set1_ps(12582912.0F + CENTRE);
    const __m256 step = _mm256_set1_ps(s.step);
    for (size_t i = 0; i < HALF_VECTORS; i++) {
        __m256 w = _mm256_loadu_ps(from + 8 * i);
        __m256 t = _mm256_mul_ps(w, _mm256_set1_ps(s.inverse));
        t = _mm256_min_ps(t, _mm256_set1_ps((float)TOP));
        t = _mm256_max_ps(t, _mm256_set1_ps((float)-TOP));
        __m256 shifted = _mm256_add_ps(t, magic);
        bits[i] = _mm256_castps_si256(shifted);
        __m256i coarse = _mm256_sub_epi32(_mm256_and_si256(bits[i], _mm256_set1_epi32(240)),
                                          _mm256_set1_epi32(128));
        __m256 both = _mm256_fnmadd_ps(step, _mm256_sub_ps(shifted, magic), w);
        __m256 high = _mm256_fnmadd_ps(step, _mm256_cvtepi32_ps(coarse), w);
        sums->weights[i] = add_square(sums->weights[i], w);
        sums->both[i] = add_square(sums->both[i], both);
        sums->high[i] = add_square(sums->high[i], high);
    }
}

/* 16 numbers below 256 as bytes. */
static inline void store_bytes(const __m256i numbers[HALF_VECTORS], uint8_t *to)
{
    __m256i words = _mm256_packus_epi32(numbers[0], numbers[1]); /* 0-3 8-11 | 4-7 12-15 */
    __m256i bytes = _mm256_packus_epi16(words, words);
    _mm_storeu_si128((__m128i *)to, _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes),
                                                       _mm256_extracti128_si256(bytes, 1)));
}

/* The upper and the lower nibbles of both halves' bytes, as the planes have them. */
static inline void store_nibbles(const __m256i first[HALF_VECTORS],
                                 const __m256i second[HALF_VECTORS], uint8_t *high, uint8_t *low)
{
    const __m256i upper = _mm256_set1_epi32(240);
    const __m256i lower = _mm256_set1_epi32(15);
    __m256i highs[HALF_VECTORS];
    __m256i lows[HALF_VECTORS];
    for (size_t i = 0; i < HALF_VECTORS; i++) {
        highs[i] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi32(first[i], 4), lower),
                                   _mm256_and_si256(second[i], upper));
        lows[i] = _mm256_or_si256(_mm256_and_si256(first[i], lower),
                                  _mm256_and_si256(_mm256_slli_epi32(second[i], 4), upper));
    }
    store_bytes(highs, high);
    store_bytes(lows, low);
}

static inline uint32_t largest_lane(__m256i a)
{
    __m128i four = _mm_max_epu32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(four, _mm_shuffle_epi32(four, 0xb1)));
}

/* The bits of the largest magnitude of each group, and of the row. */
static inline uint32_t find_tops(const float *w, size_t groups, uint32_t *tops)
{
    const __m256i magnitude = _mm256_set1_epi32(INT32_MAX);
    __m256i largest = _mm256_setzero_si256();
    for (size_t g = 0; g < groups; g++) {
        __m256i top = _mm256_setzero_si256();
        for (size_t i = 0; i < SKETCH_GROUP; i += 8) {
            __m256i eight =
                _mm256_loadu_si256((const __m256i *)(const void *)(w + g * SKETCH_GROUP + i));
            top = _mm256_max_epu32(top, _mm256_and_si256(eight, magnitude));
        }
        tops[g] = largest_lane(top);
        largest = _mm256_max_epu32(largest, top);
    }
    return largest_lane(largest);
}

static void build_vectors(const float *w, size_t groups, uint8_t *high, uint8_t *low,
                          uint8_t *multipliers, sketch_row *row)
{
    uint32_t tops[SKETCH_MAX_COLUMNS / SKETCH_GROUP];
    float largest = float_from_bits(find_tops(w, groups, tops));
    if (!(largest <= FLT_MAX)) {
        build_zeros(groups, high, low, multipliers, row);
        return;
    }
    square_vectors vectors;
    square_sums sums = {{0.0F}, {0.0F}, {0.0F}};
    memset(&vectors, 0, sizeof vectors);
    float scale = choose_scale(largest);
    for (size_t g = 0; g < groups; g++) {
        const float *from = w + g * SKETCH_GROUP;
        group_step s = choose_step(float_from_bits(tops[g]), scale);
        __m256i first[HALF_VECTORS];
        __m256i second[HALF_VECTORS];
        quantise_vectors(from, s, first, &vectors);
        quantise_vectors(from + HALF, s, second, &vectors);
        store_nibbles(first, second, high + g * HALF, low + g * HALF);
        multipliers[g] = s.multiplier;
    }
    for (size_t i = 0; i < HALF_VECTORS; i++) {
        _mm256_storeu_ps(sums.weights + 8 * i, vectors.weights[i]);
        _mm256_storeu_ps(sums.high + 8 * i, vectors.high[i]);
        _mm256_storeu_ps(sums.both + 8 * i, vectors.both[i]);
    }
    row->scale = scale;
    set_norms(&sums, groups, row);
}

void sketch_overlay_avx2(sketch_table *table)
{
    table->product = product;
    table->estimate = estimate;
    table->build = build_vectors;
}
