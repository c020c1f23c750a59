/* The sketch's kernels with AVX-512 F, BW, DQ and VL. */
#include "kernel/sketch.h"

#include <immintrin.h>
#include <string.h>

#include "kernel/sketch_build.h"
#include "kernel/sketch_estimate.h"

/* A pair's products are at most 2 * 2 * 15 * 128 and, with the centre of four columns, fit in 16
 * bits. */
static inline __m512i digit(__m512i low, __m512i high, __m512i first, __m512i second,
                            __m512i centre, __m512i multipliers, __m512i sum)
{
    __m512i pairs =
        _mm512_add_epi16(_mm512_maddubs_epi16(low, first), _mm512_maddubs_epi16(high, second));
    pairs = _mm512_add_epi16(pairs, centre);
    __m512i both = _mm512_or_si512(multipliers, _mm512_slli_epi32(multipliers, 16));
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, both));
}

#include "kernel/x86/sketch_groups_avx512_body.h"

#include "kernel/x86/sketch_product_body.h"

static void product(const sketch_rows *rows, const sketch_vector *x, int64_t *sums)
{
    product_ahead(rows, x, AHEAD_ONCE, sums);
}

/* ---- building -------------------------------------------------------------------------------- */

/* Running sums of squares as in square_sums. */
typedef struct square_vectors {
    __m512 weights;
    __m512 high;
    __m512 both;
} square_vectors;

static inline __m512 add_square(__m512 sum, __m512 x)
{
    return _mm512_add_ps(sum, _mm512_mul_ps(x, x));
}

/* quantise_half of vectors: the bytes are the low ones of the result. What is multiplied by the
 * step is exact, so that it may be fused. */
static inline __m512i quantise_vector(__m512 w, float step, float inverse, square_vectors *sums)
{
    const __m512 magic = _mm512_set1_ps(12582912.0F + CENTRE);
    __m512 t = _mm512_mul_ps(w, _mm512_set1_ps(inverse));
    t = _mm512_min_ps(t, _mm512_set1_ps((float)TOP));
    t = _mm512_max_ps(t, _mm512_set1_ps((float)-TOP));
    __m512 shifted = _mm512_add_ps(t, magic);
    __m512i bits = _mm512_castps_si512(shifted);
    __m512i coarse =
        _mm512_sub_epi32(_mm512_and_si512(bits, _mm512_set1_epi32(240)), _mm512_set1_epi32(128));
    __m512 steps = _mm512_set1_ps(step);
    __m512 both = _mm512_fnmadd_ps(steps, _mm512_sub_ps(shifted, magic), w);
    __m512 high = _mm512_fnmadd_ps(steps, _mm512_cvtepi32_ps(coarse), w);
    sums->weights = add_square(sums->weights, w);
    sums->both = add_square(sums->both, both);
    sums->high = add_square(sums->high, high);
    return bits;
}

/* The upper and the lower nibbles of both halves' bytes, as the planes have them. */
static inline void store_nibbles(__m512i first, __m512i second, uint8_t *high, uint8_t *low)
{
    enum { SELECT = 0xca }; /* mask ? a : b */
    const __m512i upper = _mm512_set1_epi32(240);
    const __m512i lower = _mm512_set1_epi32(15);
    __m512i highs = _mm512_ternarylogic_epi32(upper, second, _mm512_srli_epi32(first, 4), SELECT);
    __m512i lows = _mm512_ternarylogic_epi32(lower, first, _mm512_slli_epi32(second, 4), SELECT);
    _mm_storeu_si128((__m128i *)high, _mm512_cvtepi32_epi8(highs));
    _mm_storeu_si128((__m128i *)low, _mm512_cvtepi32_epi8(lows));
}

/* The bits of the largest magnitude of each group, and of the row. */
static inline uint32_t find_tops(const float *w, size_t groups, uint32_t *tops)
{
    const __m512i magnitude = _mm512_set1_epi32(INT32_MAX);
    __m512i largest = _mm512_setzero_si512();
    for (size_t g = 0; g < groups; g++) {
        __m512i first = _mm512_loadu_si512(w + g * SKETCH_GROUP);
        __m512i second = _mm512_loadu_si512(w + g * SKETCH_GROUP + HALF);
        __m512i top = _mm512_max_epu32(_mm512_and_si512(first, magnitude),
                                       _mm512_and_si512(second, magnitude));
        tops[g] = _mm512_reduce_max_epu32(top);
        largest = _mm512_max_epu32(largest, top);
    }
    return _mm512_reduce_max_epu32(largest);
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
    square_vectors vectors = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
    float scale = choose_scale(largest);
    for (size_t g = 0; g < groups; g++) {
        const float *from = w + g * SKETCH_GROUP;
        group_step s = choose_step(float_from_bits(tops[g]), scale);
        __m512i first = quantise_vector(_mm512_loadu_ps(from), s.step, s.inverse, &vectors);
        __m512i second = quantise_vector(_mm512_loadu_ps(from + HALF), s.step, s.inverse, &vectors);
        store_nibbles(first, second, high + g * HALF, low + g * HALF);
        multipliers[g] = s.multiplier;
    }
    square_sums sums;
    _mm512_storeu_ps(sums.weights, vectors.weights);
    _mm512_storeu_ps(sums.high, vectors.high);
    _mm512_storeu_ps(sums.both, vectors.both);
    row->scale = scale;
    set_norms(&sums, groups, row);
}

void sketch_overlay_avx512(sketch_table *table)
{
    table->product = product;
    table->estimate = estimate;
    table->build = build_vectors;
}
