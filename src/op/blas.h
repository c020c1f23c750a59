/*
 * Linear operations through BLAS, which is OpenBLAS: exactly decoded weights times float
 * activations, in float32. Its order of summation depends on the numbers of rows and on the kernels
 * that it chose for the processor, so that the last bits of a result depend on the batch.
 */
#ifndef OP_BLAS_H
#define OP_BLAS_H

#include "op/op.h"

/* Rows of a batch from which on BLAS is worth decoding the weights. */
#define OP_BLAS_LEAST_ROWS 8

/* Weight rows that are decoded at a time, and floats that a thread needs for them. */
#define OP_BLAS_PANEL_ROWS      128
#define OP_BLAS_FLOATS(columns) (OP_BLAS_PANEL_ROWS * (columns))

/* What OpenBLAS says of itself, the kernels that it chose among it; NULL in a build without. */
const char *op_blas_library(void);

/* Makes OpenBLAS compute on the threads that call it and on no others. To be called before the
 * operations below, of which a build without BLAS has none to offer. */
void op_blas_prepare(void);

/* As op_linear_maps and op_grouped_linear; space.own has OP_BLAS_FLOATS(columns). */
void op_blas_linear_maps(const team *self, const linear_map *maps, size_t count, const float *x,
                         size_t batch, size_t y_stride, product_space space);
void op_blas_grouped_linear(const team *self, const routing *route, const matrix_stack *weights,
                            number_format bias_format, const uint8_t *bias, const float *x,
                            const uint32_t *index, float *y, product_space space);

#endif
