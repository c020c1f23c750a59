/* The sketch's kernels with AVX2. */
#include "kernel/sketch.h"

#include <immintrin.h>
#include <string.h>

#include "kernel/sketch_build.h"

/* The bytes of two groups, or of one and zeros. */
static inline __m256i load_groups(const void *from, size_t groups)
{
    if (groups == 1)
        return _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)from));
    return _mm256_loadu_si256((const __m256i *)from);
}

/* The lanes' sum, which fits. */
static inline uint32_t fold(__m256i s)
{
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return (uint32_t)_mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}

/* One or two groups of codes in nibbles, and what each 16-bit lane is multiplied by. */
typedef struct two_groups {
    __m256i low;
    __m256i high;
    __m256i multipliers;
} two_groups;

static inline two_groups open_groups(__m256i codes, __m256i multipliers)
{
    const __m256i nibble = _mm256_set1_epi8(15);
    return (two_groups){_mm256_and_si256(codes, nibble),
                        _mm256_and_si256(_mm256_srli_epi16(codes, 4), nibble), multipliers};
}

/* A digit's centred products times their multipliers. A pair's are at most 2 * 2 * 15 * 128 and,
 * with the centre of four columns, fit in 16 bits. */
static inline __m256i digit(two_groups codes, __m256i first, __m256i second, __m256i centre)
{
    __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(codes.low, first),
                                     _mm256_maddubs_epi16(codes.high, second));
    return _mm256_madd_epi16(_mm256_add_epi16(pairs, centre), codes.multipliers);
}

/* The digits of x. `groups`, 1 or 2, and `digits`, which is x->count, are constants after inlining,
 * here and below. */
static inline void add_groups(two_groups codes, const sketch_vector *x, size_t groups,
                              size_t digits, size_t at, __m256i sums[2])
{
    size_t half = x->groups * HALF;
    for (size_t d = 0; d < digits; d++) {
        const int8_t *first = x->digits + 2 * d * half + at;
        const int8_t *centre = (const int8_t *)x->centre + d * half + at;
        __m256i product = digit(codes, load_groups(first, groups),
                                load_groups(first + half, groups), load_groups(centre, groups));
        sums[d] = _mm256_add_epi32(sums[d], product);
    }
}

/* Four multipliers, one for each of the 16-bit lanes of two registers' halves. */
static inline void spread(const uint8_t *four, __m256i out[2])
{
    int32_t bytes;
    memcpy(&bytes, four, sizeof bytes);
    __m256i all = _mm256_set1_epi32(bytes);
    const __m256i first =
        _mm256_set_m128i(_mm_set1_epi16((int16_t)0x8001), _mm_set1_epi16((int16_t)0x8000));
    const __m256i second =
        _mm256_set_m128i(_mm_set1_epi16((int16_t)0x8003), _mm_set1_epi16((int16_t)0x8002));
    out[0] = _mm256_shuffle_epi8(all, first);
    out[1] = _mm256_shuffle_epi8(all, second);
}

static inline int64_t product_row(const uint8_t *codes, const uint8_t *multipliers,
                                  const sketch_vector *x, size_t digits, const uint8_t *next)
{
    size_t half = x->groups * HALF;
    __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    size_t at = 0;
    for (; at + 64 <= half; at += 64) {
        __m256i scales[2];
        spread(multipliers + at / HALF, scales);
        _mm_prefetch((const char *)next + at, _MM_HINT_T1);
        add_groups(open_groups(load_groups(codes + at, 2), scales[0]), x, 2, digits, at, sums);
        add_groups(open_groups(load_groups(codes + at + 32, 2), scales[1]), x, 2, digits, at + 32,
                   sums);
    }
    for (; at < half; at += HALF) { /* up to three groups more */
        __m256i scales = _mm256_set1_epi16(multipliers[at / HALF]);
        add_groups(open_groups(load_groups(codes + at, 1), scales), x, 1, digits, at, sums);
    }
    int64_t sum = 0;
    for (size_t d = 0; d < digits; d++)
        sum = 256 * sum + (int32_t)fold(sums[d]);
    return sum;
}

static inline void product_all(const sketch_rows *rows, const sketch_vector *x, size_t digits,
                               int64_t *sums)
{
    size_t all = rows->count + rows->next;
    for (size_t i = 0; i < rows->count; i++) {
        size_t next = i + SKETCH_AHEAD < all ? i + SKETCH_AHEAD : i;
        sums[i] = product_row(rows->plane + rows->ids[i] * x->groups * HALF,
                              rows->multipliers + rows->ids[i] * x->groups, x, digits,
                              rows->plane + rows->ids[next] * x->groups * HALF);
    }
}

static void product(const sketch_rows *rows, const sketch_vector *x, int64_t *sums)
{
    if (x->count == 1)
        product_all(rows, x, 1, sums);
    else
        product_all(rows, x, 2, sums);
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
    table->build = build_vectors;
}
