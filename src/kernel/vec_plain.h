/* A vector of 16 floats in plain C; kernel/body.h lists what it can do. */
#ifndef KERNEL_VEC_PLAIN_H
#define KERNEL_VEC_PLAIN_H

#include <math.h>
#include <stddef.h>

#include "base/number.h"

typedef struct vec {
    float lane[16];
} vec;

#define EACH_LANE(expression)                                                                      \
    vec result;                                                                                    \
    for (size_t l = 0; l < 16; l++)                                                                \
        result.lane[l] = (expression);                                                             \
    return result

static inline vec vec_load(const float *from)
{
    EACH_LANE(from[l]);
}
static inline void vec_load_pairs(const float *from, vec *firsts, vec *seconds)
{
    for (size_t l = 0; l < 16; l++) {
        firsts->lane[l] = from[2 * l];
        seconds->lane[l] = from[2 * l + 1];
    }
}
static inline vec vec_set(float value)
{
    EACH_LANE(value);
}
static inline vec vec_add(vec a, vec b)
{
    EACH_LANE(a.lane[l] + b.lane[l]);
}
static inline vec vec_sub(vec a, vec b)
{
    EACH_LANE(a.lane[l] - b.lane[l]);
}
static inline vec vec_mul(vec a, vec b)
{
    EACH_LANE(a.lane[l] * b.lane[l]);
}
static inline vec vec_div(vec a, vec b)
{
    EACH_LANE(a.lane[l] / b.lane[l]);
}
static inline vec vec_fma(vec a, vec b, vec c)
{
    EACH_LANE(fmaf(a.lane[l], b.lane[l], c.lane[l]));
}
static inline vec vec_min(vec a, vec b)
{
    EACH_LANE(a.lane[l] < b.lane[l] ? a.lane[l] : b.lane[l]);
}
static inline vec vec_max(vec a, vec b)
{
    EACH_LANE(a.lane[l] > b.lane[l] ? a.lane[l] : b.lane[l]);
}
static inline vec vec_round(vec a)
{
    EACH_LANE(rintf(a.lane[l]));
}

static inline float power_of_two(float n)
{
    return n == n ? float_from_bits((uint32_t)((int32_t)n + 127) << 23) : n;
}
static inline vec vec_power_of_two(vec n)
{
    EACH_LANE(power_of_two(n.lane[l]));
}

static inline vec vec_power_of_low_bits(vec a)
{
    EACH_LANE(float_from_bits(bits_from_float(a.lane[l]) << 23));
}
static inline vec vec_zero_below(vec x, vec limit, vec value)
{
    EACH_LANE(x.lane[l] < limit.lane[l] ? 0.0F : value.lane[l]);
}

static inline float load16(const uint8_t *in, size_t i, float (*decode)(uint16_t))
{
    return decode((uint16_t)(in[2 * i] | in[2 * i + 1] << 8));
}
static inline vec vec_from_bf16(const uint8_t *in)
{
    EACH_LANE(load16(in, l, bf16_to_float));
}
static inline vec vec_from_f16(const uint8_t *in)
{
    EACH_LANE(load16(in, l, f16_to_float));
}

static inline vec vec_low_bf16(const uint8_t *in)
{
    EACH_LANE(load16(in, 2 * l, bf16_to_float));
}
static inline vec vec_high_bf16(const uint8_t *in)
{
    EACH_LANE(load16(in, 2 * l + 1, bf16_to_float));
}

static inline void vec_store(float *to, vec a)
{
    for (size_t l = 0; l < 16; l++)
        to[l] = a.lane[l];
}

static inline void vec_from_fp4(const uint8_t *in, vec *low, vec *high)
{
    for (size_t l = 0; l < 16; l++) {
        low->lane[l] = fp4_to_float((unsigned)in[l / 2] >> (l % 2 * 4));
        high->lane[l] = fp4_to_float((unsigned)in[8 + l / 2] >> (l % 2 * 4));
    }
}

static inline float vec_fold(vec s)
{
    for (size_t width = 8; width > 0; width /= 2)
        for (size_t l = 0; l < width; l++)
            s.lane[l] += s.lane[l + width];
    return s.lane[0];
}
static inline float vec_fold_max(vec s)
{
    for (size_t width = 8; width > 0; width /= 2)
        for (size_t l = 0; l < width; l++)
            s.lane[l] = s.lane[l] > s.lane[l + width] ? s.lane[l] : s.lane[l + width];
    return s.lane[0];
}

#define INLINE    static inline
#define UNROLL(n) /* structures of 16 floats stay in memory anyway */

#endif
