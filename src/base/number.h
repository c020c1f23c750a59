/* The number formats of the weights, each decoded exactly to float. */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H

#include <stdint.h>
#include <string.h>

static inline float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bits_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float bf16_to_float(uint16_t bits)
{
    return float_from_bits((uint32_t)bits << 16);
}

/* Rounds to nearest, ties to even; NaN stays NaN. */
static inline uint16_t bf16_from_float(float value)
{
    uint32_t bits = bits_from_float(value);
    if ((bits & 0x7fffffffU) > 0x7f800000U)
        return (uint16_t)((bits >> 16) | 0x40U);
    return (uint16_t)((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

/* The nearest bfloat16 value. */
static inline float bf16_round(float value)
{
    return bf16_to_float(bf16_from_float(value));
}

static inline float f16_to_float(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000U) << 16;
    uint32_t magnitude = bits & 0x7fffU;
    if (magnitude >= 0x7c00U) /* infinity, or NaN made quiet */
        return float_from_bits(sign | 0x7f800000U | (magnitude & 0x3ffU) << 13 |
                               (magnitude > 0x7c00U ? 0x00400000U : 0U));
    if (magnitude >= 0x0400U) /* normal: rebias the exponent from 15 to 127 */
        return float_from_bits(sign | ((magnitude << 13) + ((127U - 15U) << 23)));
    float subnormal = (float)magnitude * 0x1p-24F;
    return float_from_bits(sign | bits_from_float(subnormal));
}

/* Rounds to nearest, ties to even. */
static inline uint16_t f16_from_float(float value)
{
    uint32_t bits = bits_from_float(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000U);
    uint32_t magnitude = bits & 0x7fffffffU;
    if (magnitude > 0x7f800000U) /* NaN */
        return (uint16_t)(sign | 0x7e00U);
    if (magnitude >= 0x477ff000U) /* rounds to 65536 or more */
        return (uint16_t)(sign | 0x7c00U);
    if (magnitude < 0x38800000U) { /* subnormal: the addition rounds at 2^-24 */
        float shifted = float_from_bits(magnitude) + 0.5F;
        return (uint16_t)(sign | (bits_from_float(shifted) - bits_from_float(0.5F)));
    }
    uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U);
    return (uint16_t)(sign | ((rounded - ((127U - 15U) << 23)) >> 13));
}

/* E2M1: the sign in bit 3, then two bits of exponent and one of mantissa. */
static inline float fp4_to_float(unsigned code)
{
    static const float values[16] = {0.0F,  0.5F,  1.0F,  1.5F,  2.0F,  3.0F,  4.0F,  6.0F,
                                     -0.0F, -0.5F, -1.0F, -1.5F, -2.0F, -3.0F, -4.0F, -6.0F};
    return values[code & 15U];
}

/* E8M0: 2^(scale - 127); 0 is the subnormal 2^-127, 255 is NaN. */
static inline float e8m0_to_float(uint8_t scale)
{
    if (scale == 0)
        return float_from_bits(0x00400000U);
    if (scale == 255)
        return float_from_bits(0x7fc00000U);
    return float_from_bits((uint32_t)scale << 23);
}

#endif
