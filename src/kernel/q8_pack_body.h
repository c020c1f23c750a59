/* Rounding weights to 8 bits, in plain C that compilers turn into vectors: compiled once per
 * instruction set that is worth it. */
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "kernel/q8.h"

/* The bits of the largest magnitude, so that NaN is above infinity. */
static inline uint32_t largest_bits(const float *w)
{
    uint32_t bits[FIXED_GROUP];
    uint32_t largest = 0;
    memcpy(bits, w, sizeof bits);
    for (size_t i = 0; i < FIXED_GROUP; i++) {
        uint32_t magnitude = bits[i] & 0x7fffffffU;
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest;
}

/* The bytes of a group; returns its scale. */
static inline float round_group(const float *w, uint8_t *bytes)
{
    uint32_t bits = largest_bits(w);
    memset(bytes, 128, FIXED_GROUP);
    if (bits >= 0x7f800000U)
        return NAN;
    if (float_from_bits(bits) < 0x1p-96F)
        return 0.0F;
    uint32_t exact = bits_from_float(float_from_bits(bits) / 127.0F);
    float scale = float_from_bits((exact + 0xffffU) & 0xffff0000U);
    float inverse = 1.0F / scale;
    for (size_t i = 0; i < FIXED_GROUP; i++) {
        float scaled = w[i] * inverse;
        scaled = scaled > 127.0F ? 127.0F : scaled;
        scaled = scaled < -127.0F ? -127.0F : scaled;
        bytes[i] = (uint8_t)((int32_t)rintf(scaled) + 128);
    }
    return scale;
}

/* Group g of all rows to its place in the panel. */
static inline void pack_group(const float *w, size_t rows, size_t columns, uint8_t *to)
{
    for (size_t r = 0; r < Q8_PANEL_ROWS; r++) {
        uint8_t bytes[FIXED_GROUP];
        uint8_t turned[FIXED_GROUP];
        float scale = 0.0F;
        memset(bytes, 128, sizeof bytes);
        if (r < rows)
            scale = round_group(w + r * columns, bytes);
        for (size_t i = 0; i < FIXED_GROUP / 2; i++) {
            turned[i] = bytes[2 * i];
            turned[16 + i] = bytes[2 * i + 1];
        }
        for (size_t quad = 0; quad < 8; quad++)
            memcpy(to + quad * Q8_QUAD_BYTES + 4 * r, turned + 4 * quad, 4);
        uint16_t doubled = (uint16_t)(bits_from_float(2.0F * scale) >> 16);
        memcpy(to + 8 * Q8_QUAD_BYTES + 2 * r, &doubled, sizeof doubled);
    }
}

static void pack(const float *w, size_t rows, size_t columns, uint8_t *panel)
{
    for (size_t g = 0; g < columns / FIXED_GROUP; g++)
        pack_group(w + g * FIXED_GROUP, rows, columns, panel + g * Q8_GROUP_BYTES);
}
