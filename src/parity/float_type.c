#include "parity/float_type.h"

#include <math.h>
#include <string.h>

#include "base/number.h"

/* What distinguishes the types: bits of significand, the leading one included, and the smallest
 * magnitude that has all of them. */
typedef struct float_row {
    int precision;
    double smallest;
} float_row;

static float_row row_of(dtype type)
{
    switch (type) {
    case DTYPE_F64:
        return (float_row){53, 0x1p-969};
    case DTYPE_F16:
        return (float_row){11, 0x1p-14};
    case DTYPE_BF16:
        return (float_row){8, 0x1p-126};
    default:
        return (float_row){24, 0x1p-126};
    }
}

bool float_type_is(dtype type)
{
    return type == DTYPE_F64 || type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_BF16;
}

double float_type_roundoff(dtype type)
{
    return ldexp(1.0, -row_of(type).precision);
}

dtype float_type_coarser(dtype a, dtype b)
{
    return row_of(a).precision < row_of(b).precision ? a : b;
}

/* ---- decoding -------------------------------------------------------------------------------- */

static void decode_f32(const uint8_t *from, size_t count, double *out)
{
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, from + i * sizeof value, sizeof value);
        out[i] = value;
    }
}

static void decode_bf16(const uint8_t *from, size_t count, double *out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, from + i * sizeof bits, sizeof bits);
        out[i] = bf16_to_float(bits);
    }
}

static void decode_f16(const uint8_t *from, size_t count, double *out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, from + i * sizeof bits, sizeof bits);
        out[i] = f16_to_float(bits);
    }
}

void float_type_decode(numbers from, size_t begin, size_t count, double *out)
{
    const uint8_t *at = (const uint8_t *)from.data + begin * dtype_bytes(from.type);
    if (from.type == DTYPE_F32)
        decode_f32(at, count, out);
    else if (from.type == DTYPE_BF16)
        decode_bf16(at, count, out);
    else if (from.type == DTYPE_F16)
        decode_f16(at, count, out);
    else
        memcpy(out, at, count * sizeof *out);
}

/* ---- spacing and rounding -------------------------------------------------------------------- */

/*
 *     | sign | exponent + 1023, 11 bits | fraction, 52 bits |
 *
 * A number of exponent e is spaced by 2^(e - precision + 1); the inverse of that power of two has
 * the exponent field 1023 - (e - precision + 1), which is 2045 + precision less the field of e.
 */
void float_type_inverse_spacings(dtype type, const double *values, size_t count, double least,
                                 double *out)
{
    float_row row = row_of(type);
    least = least > row.smallest ? least : row.smallest;
    uint64_t field = 2045U + (uint64_t)row.precision;
    for (size_t i = 0; i < count; i++) {
        double magnitude = fabs(values[i]);
        uint64_t bits;
        magnitude = magnitude > least ? magnitude : least;
        memcpy(&bits, &magnitude, sizeof bits);
        bits = (field - (bits >> 52)) << 52;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

double float_type_spacing(dtype type, double value)
{
    double inverse;
    float_type_inverse_spacings(type, &value, 1, 0, &inverse);
    return 1 / inverse;
}

void float_type_round(dtype type, const double *values, size_t count, double *out)
{
    if (type == DTYPE_F64)
        memcpy(out, values, count * sizeof *out);
    else if (type == DTYPE_F32)
        for (size_t i = 0; i < count; i++)
            out[i] = (float)values[i];
    else if (type == DTYPE_BF16)
        for (size_t i = 0; i < count; i++)
            out[i] = bf16_to_float(bf16_from_float((float)values[i]));
    else
        for (size_t i = 0; i < count; i++)
            out[i] = f16_to_float(f16_from_float((float)values[i]));
}
