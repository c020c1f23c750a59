/* Linear operations on dense matrices that were rounded to 8 bits; kernel/q8.h has the arithmetic.
 */
#ifndef OP_Q8_H
#define OP_Q8_H

#include "kernel/q8.h"
#include "op/op.h"

/* A rounded matrix that maps `columns` inputs, a multiple of 32, to `rows` outputs. */
typedef struct q8_matrix {
    uint8_t *panels; /* [q8_bytes(rows, columns)], 64-aligned, not owned; NULL: there is none */
    size_t rows;
    size_t columns;
} q8_matrix;

/* Floats of scratch that rounding a panel of a matrix takes. */
#define OP_Q8_PACK_FLOATS(columns) (Q8_PANEL_ROWS * (columns))

/* Rounds panel `index` of a matrix of the same shape. scratch: OP_Q8_PACK_FLOATS(columns). */
void q8_pack_panel(const matrix *from, size_t index, const q8_matrix *to, float *scratch);

/* A rounded matrix with what goes before and behind it. */
typedef struct q8_map {
    const q8_matrix *weights;
    const float *bias; /* [weights->rows] or NULL */
    float *y;          /* [batch, weights->rows] with rows as far apart as the call says */
} q8_map;

/*
 * y[b, :] = W x[b, :] + bias for each of `count` maps, all with the same x: `batch` rows of
 * W.columns numbers that op_quantise prepared with one digit; rows of every y are y_stride apart.
 */
void op_q8_linear_maps(const team *self, const q8_map *maps, size_t count, const uint8_t *x,
                       size_t batch, size_t y_stride);

#endif
