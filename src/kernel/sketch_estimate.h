/* Estimates and bounds from sums (kernel/sketch.h: estimate), for compilers to turn into vectors.
 */
#ifndef KERNEL_SKETCH_ESTIMATE_H
#define KERNEL_SKETCH_ESTIMATE_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernel/sketch.h"

enum { ESTIMATE_LANES = 16 };

/* The largest so far, lane by lane. */
typedef struct top_lanes {
    float estimate[ESTIMATE_LANES];
    float above[ESTIMATE_LANES];
} top_lanes;

/* Of a whole number below 2^51 in size. Added to the bits of 1.5 * 2^52 it is so in its value. */
static inline double double_of(int64_t whole)
{
    const double magic = 0x1.8p52;
    int64_t bits;
    double sum;
    memcpy(&bits, &magic, sizeof bits);
    bits += whole;
    memcpy(&sum, &bits, sizeof sum);
    return sum - magic;
}

/* `count`, at most ESTIMATE_LANES, is a constant where speed matters. */
static inline __attribute__((always_inline)) void
estimate_rows(const int64_t *restrict sums, const sketch_row *restrict known, size_t count,
              const sketch_bounds *restrict x, float *restrict estimates, top_lanes *restrict tops)
{
    for (size_t i = 0; i < count; i++) {
        float estimate = (float)(double_of(16 * sums[i]) * x->step * known[i].scale);
        float above = estimate + sketch_bound(&known[i], 0, x);
        above = above <= FLT_MAX ? above : INFINITY;
        estimates[i] = estimate;
        tops->estimate[i] = estimate > tops->estimate[i] ? estimate : tops->estimate[i];
        tops->above[i] = above > tops->above[i] ? above : tops->above[i];
    }
}

static sketch_top estimate(const int64_t *sums, const sketch_row *known, size_t count,
                           const sketch_bounds *x, float *estimates)
{
    sketch_top top = {-INFINITY, -INFINITY};
    top_lanes tops;
    size_t i = 0;
    for (size_t l = 0; l < ESTIMATE_LANES; l++)
        tops.estimate[l] = tops.above[l] = -INFINITY;
    for (; i + ESTIMATE_LANES <= count; i += ESTIMATE_LANES)
        estimate_rows(sums + i, known + i, ESTIMATE_LANES, x, estimates + i, &tops);
    estimate_rows(sums + i, known + i, count - i, x, estimates + i, &tops);
    for (size_t l = 0; l < ESTIMATE_LANES; l++) {
        top.estimate = tops.estimate[l] > top.estimate ? tops.estimate[l] : top.estimate;
        top.above = tops.above[l] > top.above ? tops.above[l] : top.above;
    }
    return top;
}

#endif
