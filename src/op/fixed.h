/* Grouped linear operations on MXFP4 weights by fixed-point digits; kernel/fixed.h has the
 * arithmetic. */
#ifndef OP_FIXED_H
#define OP_FIXED_H

#include "kernel/fixed.h"
#include "op/op.h"

/* Activation rows that an unpacked panel serves at once. */
#define OP_FIXED_BATCH 96

/* Bytes of scratch, 64-aligned, that a thread needs for matrices of at most `columns` columns. */
static inline size_t op_fixed_bytes(size_t columns)
{
    return fixed_panel_bytes(columns) + fixed_parked_bytes(OP_FIXED_BATCH);
}

/* Activations in fixed point: place p reads row p, or row index[p]. */
typedef struct fixed_rows {
    const uint8_t *rows; /* [rows, fixed_row_bytes(columns, digits)] */
    const uint32_t *index;
    unsigned digits;
} fixed_rows;

/* Prepares `rows` rows of n numbers, n a multiple of 32. x [rows, n];
 * out [rows, fixed_row_bytes(n, digits)], 64-aligned. */
void op_quantise(const team *self, const float *x, size_t rows, size_t n, unsigned digits,
                 uint8_t *out);

/*
 * y[place] = W_e x[place] + bias_e, as op_grouped_linear, for MXFP4 weights. y [rows * top,
 * W.rows]; scratch: this thread's own op_fixed_bytes(W.columns).
 */
void op_fixed_grouped_linear(const team *self, const routing *route, const matrix_stack *weights,
                             number_format bias_format, const uint8_t *bias, fixed_rows x, float *y,
                             void *scratch);

#endif
