/*
 * What building the sketch of a row is at every level: each step is rounded once and the order of
 * sums is fixed, so that all levels give the same bits.
 */
#ifndef KERNEL_SKETCH_BUILD_H
#define KERNEL_SKETCH_BUILD_H

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "kernel/sketch.h"

enum { HALF = SKETCH_GROUP / 2, CENTRE = 136, TOP = 119 };

/* A number that is finite but below this has no room for the scale's exact products. */
#define SMALLEST 0x1p-60F

/* Running sums of squares, 16 each: of the weights, and of what high plane and both planes leave.
 */
typedef struct square_sums {
    float weights[HALF];
    float high[HALF];
    float both[HALF];
} square_sums;

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

#endif
