/* Linear operations with activations rounded to bfloat16; kernel/bfloat.h has the arithmetic. */
#ifndef OP_BFLOAT_H
#define OP_BFLOAT_H

#include "kernel/bfloat.h"
#include "op/op.h"

/* Bytes of a rounded row; of `rows` of them, with what may be read behind; and of a thread's
 * scratch. All 64-aligned. */
static inline size_t op_bfloat_row_bytes(size_t columns)
{
    return bfloat_blocks(columns) * BFLOAT_BLOCK * sizeof(uint16_t);
}

static inline size_t op_bfloat_rows_bytes(size_t rows, size_t columns)
{
    return rows * op_bfloat_row_bytes(columns) + BFLOAT_BEHIND;
}

static inline size_t op_bfloat_bytes(size_t columns)
{
    return BFLOAT_ROWS * op_bfloat_row_bytes(columns) +
           BFLOAT_SUMS(BFLOAT_MOST_BATCH) * sizeof(float);
}

/* Activation rows that op_bfloat_gated has at work, and bytes of a thread's scratch for it,
 * 64-aligned, when an expert has at most `rows` rows. */
static inline size_t op_bfloat_gated_rows(size_t rows)
{
    return rows < BFLOAT_MOST_BATCH ? rows : BFLOAT_MOST_BATCH;
}

static inline size_t op_bfloat_gated_bytes(size_t rows)
{
    size_t most = op_bfloat_gated_rows(rows);
    return (BFLOAT_SUMS(most) + most * 3 * BFLOAT_BLOCK) * sizeof(float);
}

/* Whether this machine computes these products faster than others. */
bool op_bfloat_pays(void);

/* Whether op_bfloat_linear_maps takes a matrix as it is stored. */
bool op_bfloat_takes(const matrix *weights);

/* Rounds `rows` rows of n numbers as op_bfloat_linear_maps reads them, in groups. x [rows, n];
 * out: op_bfloat_rows_bytes(rows, n). */
void op_bfloat_round(const team *self, const float *x, size_t rows, size_t n, uint16_t *out);

/*
 * y[b, :] = W x[b, :] + bias for each of `count` maps, all with the same x: `batch` rounded rows;
 * rows of every y are y_stride apart. scratch: this thread's own op_bfloat_bytes(W.columns).
 */
void op_bfloat_linear_maps(const team *self, const linear_map *maps, size_t count,
                           const uint16_t *x, size_t batch, size_t y_stride, void *scratch);

/* The inputs of a grouped linear operation: place p reads row p, or row index[p]. */
typedef struct bfloat_rows {
    const float *rows; /* [rows, n] */
    const uint32_t *index;
    size_t n;
} bfloat_rows;

/* Rounds the experts' inputs as op_bfloat_grouped_linear reads them: groups of an expert's rows.
 * out: op_bfloat_rows_bytes(places, n). */
void op_bfloat_prepare(const team *self, const routing *route, bfloat_rows x, uint16_t *out);

/*
 * y[place] = W_e x[place] + bias_e, as op_grouped_linear, for MXFP4 weights. x: prepared;
 * y [rows * top, W.rows]; scratch: this thread's own op_bfloat_bytes(W.columns).
 */
void op_bfloat_grouped_linear(const team *self, const routing *route, const matrix_stack *weights,
                              number_format bias_format, const uint8_t *bias, const uint16_t *x,
                              float *y, void *scratch);

/*
 * op_bfloat_grouped_linear, op_swiglu and op_bfloat_prepare of what that gives, for the next linear
 * operation, a part at a time while it is near. x: prepared; z: op_bfloat_rows_bytes(rows * top,
 * W.rows / 2); scratch: this thread's own op_bfloat_gated_bytes(rows).
 */
void op_bfloat_gated(const team *self, const routing *route, const matrix_stack *weights,
                     number_format bias_format, const uint8_t *bias, const uint16_t *x,
                     swiglu_shape shape, uint16_t *z, void *scratch);

#endif
