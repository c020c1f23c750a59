/*
 * The sketch of a row, in C that compilers turn into vectors of whatever width: every step is
 * rounded once and the order of sums is fixed, so that all levels give the same bits. The including
 * file is compiled with the flags of its level and puts `build_row` into its table.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "kernel/sketch.h"

enum { HALF = SKETCH_GROUP / 2, CENTRE = 136, TOP = 119 };

/* A number that is finite but below this has no room for the scale's exact products. */
#define SMALLEST 0x1p-60F

/* The bits of the largest magnitude of n numbers; bits of magnitudes are in the order of these. */
static inline uint32_t largest_bits(const float *w, size_t n)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, w + i, sizeof bits);
        bits &= 0x7fffffffU;
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

/* Running sums of squares, 16 each: of the weights, and of what high plane and both planes leave.
 */
typedef struct square_sums {
    float weights[HALF];
    float high[HALF];
    float both[HALF];
} square_sums;

/*
 * Quantises half a group to bytes q + CENTRE in the low bits of `bytes`. step * q is exact: scale,
 * multiplier and q have 8 + 8 + 7 bits. Adding 1.5 * 2^23 rounds to a whole number, ties to even,
 * and leaves it in the low bits.
 */
static inline void quantise_half(const float *w, float step, float inverse, uint32_t *bytes,
                                 square_sums *sums)
{
    const float magic = 12582912.0F + CENTRE;
    for (size_t j = 0; j < HALF; j++) {
        float t = w[j] * inverse;
        t = t < (float)TOP ? t : (float)TOP;
        t = t > (float)-TOP ? t : (float)-TOP;
        float shifted = t + magic;
        uint32_t bits;
        memcpy(&bits, &shifted, sizeof bits);
        float both = w[j] - step * (shifted - magic);
        float high = w[j] - step * (float)((int32_t)(bits & 240U) - 128);
        bytes[j] = bits & 255U;
        sums->weights[j] += w[j] * w[j];
        sums->both[j] += both * both;
        sums->high[j] += high * high;
    }
}

/*
 * A norm that is not below the true one. A sum of n squares has a relative error of at most
 * n + 1 roundings, of 2^-24 each, besides what underflows; the residuals, rounded once themselves,
 * add two. Twice that is taken.
 */
static inline float norm_above(const float *sums, size_t groups)
{
    float total = 0.0F;
    for (size_t j = 0; j < HALF; j++)
        total += sums[j];
    float more = 1.0F + (float)(2 * groups + 32) * 0x1p-23F;
    return sqrtf(total * more + (float)(groups * SKETCH_GROUP) * 0x1p-126F) * (1.0F + 0x1p-22F);
}

static inline void build_zeros(size_t groups, uint8_t *high, uint8_t *low, uint8_t *multipliers,
                               sketch_row *row)
{
    memset(high, 0x88, groups * HALF);
    memset(low, 0x88, groups * HALF);
    memset(multipliers, 0, groups);
    *row = (sketch_row){0.0F, {INFINITY, INFINITY}, INFINITY};
}

/* The row's scale: 8 significant bits, not below largest / (255 * TOP). */
static inline float choose_scale(float largest)
{
    if (largest < SMALLEST)
        return 0.0F;
    return float_from_bits((bits_from_float(largest / (255.0F * TOP)) + 0xffffU) & 0xffff0000U);
}

/* How a group is quantised: to whole multiples of step = scale * multiplier. */
typedef struct group_step {
    uint8_t multiplier;
    float step;
    float inverse;
} group_step;

static inline group_step choose_step(float largest, float scale)
{
    float inverse_top = scale > 0.0F ? 1.0F / ((float)TOP * scale) : 0.0F;
    float top = largest * inverse_top;
    uint32_t multiplier = top > 0.0F ? (uint32_t)top + 1 : 0;
    multiplier = multiplier < 255 ? multiplier : 255;
    float step = scale * (float)multiplier;
    return (group_step){(uint8_t)multiplier, step, multiplier > 0 ? 1.0F / step : 0.0F};
}

static inline void set_norms(const square_sums *sums, size_t groups, sketch_row *row)
{
    row->residual[0] = norm_above(sums->high, groups);
    row->residual[1] = norm_above(sums->both, groups);
    row->norm = (norm_above(sums->weights, groups) + row->residual[0]) * (1.0F + 0x1p-22F);
}

/* Not called by a level that has vectors of its own for it. */
__attribute__((unused)) static void build_row(const float *w, size_t groups, uint8_t *high,
                                              uint8_t *low, uint8_t *multipliers, sketch_row *row)
{
    float largest = float_from_bits(largest_bits(w, groups * SKETCH_GROUP));
    if (!(largest <= FLT_MAX)) {
        build_zeros(groups, high, low, multipliers, row);
        return;
    }
    square_sums sums = {{0.0F}, {0.0F}, {0.0F}};
    float scale = choose_scale(largest);
    for (size_t g = 0; g < groups; g++) {
        const float *from = w + g * SKETCH_GROUP;
        group_step s = choose_step(float_from_bits(largest_bits(from, SKETCH_GROUP)), scale);
        uint32_t bytes[2][HALF];
        quantise_half(from, s.step, s.inverse, bytes[0], &sums);
        quantise_half(from + HALF, s.step, s.inverse, bytes[1], &sums);
        for (size_t j = 0; j < HALF; j++) {
            high[g * HALF + j] = (uint8_t)(bytes[0][j] >> 4 | (bytes[1][j] & 240U));
            low[g * HALF + j] = (uint8_t)((bytes[0][j] & 15U) | bytes[1][j] << 4);
        }
        multipliers[g] = s.multiplier;
    }
    row->scale = scale;
    set_norms(&sums, groups, row);
}
