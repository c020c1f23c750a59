/*
 * Products of many rows with many rows of floats: a micro-kernel, and the layout that it reads.
 *
 * The canonical dot product (kernel.h) has 32 partial sums; partial sum s takes the columns that
 * are s modulo 32, its class. A micro-kernel has one partial sum of many products in registers, so
 * both sides are arranged by class. A sliver of `width` rows of n floats is
 *
 *     [32 classes][steps][width]      steps = n / 32, rounded up, and up to an odd number
 *
 * where the class in place i is i with its five bits reversed: 0, 16, 8, 24, 4, ... In that order
 * folding in halves means to add neighbours, then neighbours of those sums, and so on, which needs
 * five sums besides the running one. Columns past n are +0.
 */
#ifndef KERNEL_GEMM_H
#define KERNEL_GEMM_H

#include <stddef.h>
#include <stdint.h>

#define GEMM_CLASSES 32

/* Width of a sliver of weights, and the greatest of one of x; all widths are multiples of 4. */
#define GEMM_ROWS   32
#define GEMM_TOKENS 12
#define GEMM_QUAD   4

/* Width of the sliver that holds so many rows of x. */
static inline size_t gemm_width(size_t tokens)
{
    return (tokens + GEMM_QUAD - 1) / GEMM_QUAD * GEMM_QUAD;
}

/* Steps that a row of n floats has. */
#define GEMM_STEPS(n) (((n) + GEMM_CLASSES - 1) / GEMM_CLASSES)

/* Floats that it takes of a sliver. An even number of steps may be a power of two, and the classes'
 * numbers at one step, which are written together, would meet in few sets of a cache. */
#define GEMM_COLUMNS(n) ((GEMM_STEPS(n) | 1) * GEMM_CLASSES)

/*
 * Puts rows of n floats, `count` of them, a multiple of 4, into the places [0, count) of a sliver;
 * for other places pass a sliver that many floats further on. Where no row belongs any may stand.
 */
typedef void (*gemm_arrange_fn)(const float *const *rows, size_t count, size_t n, size_t width,
                                float *sliver);

/* Memory that will be read next and is brought nearer meanwhile; may be empty. */
typedef struct gemm_ahead {
    const uint8_t *data;
    size_t bytes;
    size_t share; /* bytes that each call takes off, at least */
} gemm_ahead;

/*
 * y[b * y_stride + r] = canonical dot of row r of sliver `w` (GEMM_ROWS wide) and row b of sliver
 * `x` (gemm_width(tokens) wide), plus bias[r] unless bias is NULL; for r < rows, b < tokens.
 * Slivers begin on cache lines. What is asked for ahead is taken off *ahead.
 */
typedef void (*gemm_multiply_fn)(const float *w, size_t rows, const float *x, size_t tokens,
                                 size_t n, const float *bias, float *y, size_t y_stride,
                                 gemm_ahead *ahead);

typedef struct gemm_table {
    gemm_arrange_fn arrange;
    gemm_multiply_fn multiply;
} gemm_table;

/* The overlays, lowest level first. */
void gemm_overlay_plain(gemm_table *table);
void gemm_overlay_avx2(gemm_table *table);
void gemm_overlay_avx512(gemm_table *table);

#endif
