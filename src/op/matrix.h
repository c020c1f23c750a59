/* Weights as they lie in a checkpoint, seen as matrices and vectors of numbers. */
#ifndef OP_MATRIX_H
#define OP_MATRIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/dense.h"
#include "kernel/gemm.h"

typedef enum number_format {
    NUMBER_F32,
    NUMBER_F16,
    NUMBER_BF16,
    NUMBER_MXFP4,       /* 32 numbers share a scale */
    NUMBER_BF16_PACKED, /* BF16 in 12 bits, see kernel/dense.h */
} number_format;

/*
 * A matrix that maps `columns` inputs to `rows` outputs; the data is not owned. It lies as
 * [rows, columns], or as [columns, rows] when `transposed` (never with MXFP4 or packed):
 *
 *     MXFP4   data   [rows, columns/32, 16]   two codes a byte, low nibble first
 *             scales [rows, columns/32]       E8M0
 */
typedef struct matrix {
    const uint8_t *data;
    const uint8_t *scales;
    size_t rows;
    size_t columns;
    number_format format;
    bool transposed;
    const dense_group *groups; /* packed: [rows / 4, rounded up], else NULL */
    size_t packed_bytes;       /* packed: of data and groups together */
} matrix;

/* Matrices of the same kind one after another: the experts of a layer. */
typedef struct matrix_stack {
    matrix first;
    size_t count;
} matrix_stack;

/* Bytes of data (without scales) of n consecutive numbers; not for packed ones. */
size_t number_bytes(number_format format, size_t n);

/* Bytes that reading all of a matrix takes, scales included. */
size_t matrix_bytes(const matrix *of);

/* The matrix number `index` of a stack. */
matrix matrix_stack_at(const matrix_stack *stack, size_t index);

/* Rows [first, first + rows) as a matrix of its own; not for transposed or packed ones. */
matrix matrix_slice(const matrix *whole, size_t first, size_t rows);

/* Decodes rows [first, first + rows) to out [rows, columns], exactly. */
void matrix_decode(const matrix *weights, size_t first, size_t rows, float *out);

/* Rows that are worked on together; a thread's share of a matrix is a multiple of it. */
#define MATRIX_UNIT_ROWS GEMM_ROWS

/* Floats of scratch that products take. */
#define MATRIX_PANEL_FLOATS(columns) (2 * MATRIX_UNIT_ROWS * GEMM_COLUMNS(columns))

/* y[r] = canonical dot of row first + r and x [columns], plus bias[r] unless bias is NULL, for
 * r < rows. panel: MATRIX_PANEL_FLOATS(columns) of scratch. */
void matrix_dot(const matrix *weights, size_t first, size_t rows, const float *bias, const float *x,
                float *y, float *panel);

/*
 * y[b * y_stride + r] = the same of x[b], for b < batch and 1 to MATRIX_UNIT_ROWS rows: bit for
 * bit. slivers: the rows of x as kernel/gemm.h arranges them, GEMM_TOKENS to a sliver but the last;
 * slivers and panel begin on cache lines. next: the first of the rows that this thread will
 * probably work on next, which are brought nearer; there may be none.
 */
void matrix_multiply(const matrix *weights, size_t first, size_t rows, size_t next,
                     const float *bias, const float *slivers, size_t batch, float *y,
                     size_t y_stride, float *panel);

/* Decodes n numbers that start at the given element of `data`; not for MXFP4 or packed. */
void numbers_decode(number_format format, const uint8_t *data, size_t first, size_t n, float *out);

/* y[b * y_stride + i] += number first + i of `data`, for i < n, b < batch. */
void numbers_add(number_format format, const uint8_t *data, size_t first, size_t n, size_t batch,
                 float *y, size_t y_stride);

#endif
