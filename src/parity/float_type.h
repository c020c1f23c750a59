/* The floating-point types of a dump: their numbers as doubles, and how finely they are spaced. */
#ifndef PARITY_FLOAT_TYPE_H
#define PARITY_FLOAT_TYPE_H

#include <stdbool.h>
#include <stddef.h>

#include "checkpoint/safetensors.h"

/* Numbers where they lie: aligned to nothing in particular. */
typedef struct numbers {
    const void *data;
    dtype type; /* F64, F32, F16 or BF16 */
} numbers;

bool float_type_is(dtype type);

/* Half the distance from 1 to the next number: the largest relative error of one rounding. */
double float_type_roundoff(dtype type);

/* The type with the larger roundoff. */
dtype float_type_coarser(dtype a, dtype b);

/* Decodes `count` numbers from number `begin` on, exactly. */
void float_type_decode(numbers from, size_t begin, size_t count, double *out);

/*
 * The distance of neighbouring numbers of the type at a magnitude, and for `count` numbers the
 * inverse of it at their magnitude or at `least`, whichever is larger. For zero and subnormal
 * numbers that is the smallest subnormal; for F64 magnitudes below 2^-969 count as that, so that
 * the inverse is a double.
 */
double float_type_spacing(dtype type, double value);
void float_type_inverse_spacings(dtype type, const double *values, size_t count, double least,
                                 double *out);

/* Rounds finite numbers to the type, to nearest, ties to even. Numbers that are not floats already
 * are rounded to float first. */
void float_type_round(dtype type, const double *values, size_t count, double *out);

#endif
