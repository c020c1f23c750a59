/* Grouped linear operations on MXFP4 weights by fixed-point digits; kernel/fixed.h has the
 * arithmetic. */
#ifndef OP_FIXED_H
#define OP_FIXED_H

#include "kernel/fixed.h"
#include "op/op.h"

/* Activation rows that unpacked weights serve at once. */
#define OP_FIXED_BATCH 96

/* Bytes of scratch, 64-aligned, that a thread needs. */
static inline size_t op_fixed_bytes(void)
{
    return fixed_scratch_bytes(OP_FIXED_BATCH);
}

/* Likewise for op_fixed_gated. */
static inline size_t op_fixed_gated_bytes(void)
{
    return op_fixed_bytes() +
           sizeof(float) * OP_FIXED_BATCH * (FIXED_MULTIPLY_ROWS + FIXED_COLUMNS);
}

/* Prepares `rows` rows of n numbers, n a multiple of 32. x [rows, n];
 * out [rows, fixed_row_bytes(n, digits)], 64-aligned. */
void op_quantise(const team *self, const float *x, size_t rows, size_t n, unsigned digits,
                 uint8_t *out);

/* The inputs of a grouped linear operation: place p reads row p, or row index[p]. */
typedef struct fixed_rows {
    const float *rows; /* [rows, n], n a multiple of 32 */
    const uint32_t *index;
    size_t n;
    unsigned digits;
} fixed_rows;

/* Prepares the experts' inputs as op_fixed_grouped_linear reads them.
 * out [places, fixed_row_bytes(n, digits)], 64-aligned. */
void op_fixed_prepare(const team *self, const routing *route, fixed_rows x, uint8_t *out);

/*
 * y[place] = W_e x[place] + bias_e, as op_grouped_linear, for MXFP4 weights. x: prepared with
 * `digits` digits; y [rows * top, W.rows]; scratch: this thread's own op_fixed_bytes().
 */
void op_fixed_grouped_linear(const team *self, const routing *route, const matrix_stack *weights,
                             number_format bias_format, const uint8_t *bias, const uint8_t *x,
                             unsigned digits, float *y, void *scratch);

/*
 * op_fixed_grouped_linear, op_swiglu and op_fixed_prepare of what that gives, for the next linear
 * operation, a part at a time while it is near. W.rows / 2 is a multiple of 32. x: prepared;
 * z [rows * top, fixed_row_bytes(W.rows / 2, digits)], 64-aligned; scratch: this thread's own
 * op_fixed_gated_bytes().
 */
void op_fixed_gated(const team *self, const routing *route, const matrix_stack *weights,
                    number_format bias_format, const uint8_t *bias, const uint8_t *x,
                    unsigned digits, swiglu_shape shape, uint8_t *z, void *scratch);

#endif
