/* The sketch's kernels in plain C: what every other level must equal, bit for bit. */
#include "kernel/sketch.h"

#include "kernel/sketch_build.h"
#include "kernel/sketch_estimate.h"

static void product(const sketch_rows *rows, const sketch_vector *x, int64_t *sums)
{
    size_t half = x->groups * HALF;
    for (size_t i = 0; i < rows->count; i++) {
        int64_t total = 0;
        for (size_t g = 0; g < x->groups; g++) {
            const uint8_t *codes = rows->plane + rows->ids[i] * half + g * HALF;
            int32_t product = 0;
            for (size_t d = 0; d < x->count; d++) {
                const int8_t *first = x->digits + 2 * d * half + g * HALF;
                const int8_t *second = first + half;
                product *= 256;
                for (size_t j = 0; j < HALF; j++)
                    product += ((codes[j] & 15) - 8) * first[j] + ((codes[j] >> 4) - 8) * second[j];
            }
            total += (int64_t)rows->multipliers[rows->ids[i] * x->groups + g] * product;
        }
        sums[i] = total;
    }
}

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

static void build_row(const float *w, size_t groups, uint8_t *high, uint8_t *low,
                      uint8_t *multipliers, sketch_row *row)
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

void sketch_overlay_plain(sketch_table *table)
{
    table->product = product;
    table->estimate = estimate;
    table->build = build_row;
}
