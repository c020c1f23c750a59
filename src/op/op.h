/*
 * Operations on row batches, shared by a team of threads.
 *
 * Every thread of the team calls the same operation with the same arguments; the work is split by
 * output element, never along a sum, so that results depend neither on the number of threads nor on
 * the other rows. An operation ends at a barrier: when it returns, its result is complete.
 */
#ifndef OP_OP_H
#define OP_OP_H

#include <stdatomic.h>

#include "op/matrix.h"
#include "op/parallel.h"

/* What matrix products work in; both parts begin on cache lines. */
typedef struct product_space {
    float *shared; /* [op_arranged_rows][GEMM_COLUMNS(columns)], the same for all threads */
    float *own;    /* [OP_PANEL_FLOATS(columns)], this thread's */
} product_space;

#define OP_PANEL_FLOATS(columns) MATRIX_PANEL_FLOATS(columns)

/* Rows that `rows` rows of x for `matrices` matrices take when they are arranged. */
static inline size_t op_arranged_rows(size_t rows, size_t matrices)
{
    size_t padding = (GEMM_QUAD - 1) * matrices;
    return rows + (padding < rows ? padding : rows);
}

/* Set to 1 by an operation that meets a number that is not finite. */
typedef atomic_int op_alarm;

/* y[row] = matrix row tokens[row], decoded. y [rows, columns]. */
void op_embed(const team *self, const matrix *table, const uint32_t *tokens, size_t rows, float *y);

/* y = RMSNorm(x) * w. x, y [rows, n], w [n]. Raises the alarm when an x is not finite or too large
 * to square. */
void op_rms_norm(const team *self, const float *x, const float *w, size_t rows, size_t n, float eps,
                 float *y, op_alarm *alarm);

/* A matrix with what goes before and behind it. */
typedef struct linear_map {
    const matrix *weights;
    const float *bias; /* [weights->rows] or NULL */
    float *y;          /* [batch, weights->rows] with rows as far apart as the call says */
} linear_map;

/*
 * y[b, :] = W x[b, :] + bias for each of `count` maps, all with the same x [batch, W.columns]; rows
 * of every y are y_stride apart.
 */
void op_linear_maps(const team *self, const linear_map *maps, size_t count, const float *x,
                    size_t batch, size_t y_stride, product_space space);

/* x += y over n elements. */
void op_add(const team *self, const float *y, size_t n, float *x);

/* Raises the alarm when one of n elements is not finite. */
void op_check_finite(const team *self, const float *x, size_t n, op_alarm *alarm);

/* Rotates the first `heads` vectors of every row by the row's angles.
 * x [rows, >= heads, 2 * half] with rows x_stride apart; cosine, sine [rows, half]. */
void op_rotate(const team *self, const float *cosine, const float *sine, size_t rows, size_t heads,
               size_t half, float *x, size_t x_stride);

/* ---- mixture of experts ---------------------------------------------------------------------- */

/*
 * Which expert does what for a batch. Choice s of row b is assignment b * top + s; assignments
 * sorted by expert (and by row within one) have places 0, 1, ...
 */
typedef struct routing {
    size_t rows;
    size_t top;
    size_t experts;
    uint32_t *expert; /* [rows * top] by assignment; descending router logit, ties by lower id */
    float *weight;    /* [rows * top] by assignment; softmax over the row's chosen logits */
    uint32_t *place;  /* [rows * top] by assignment */
    uint32_t *source; /* [rows * top] by place: the row */
    uint32_t *start;  /* [experts + 1] first place of each expert */
} routing;

/* Fills `expert` of `route`, whose sizes are set, from router logits [rows, experts]. */
void op_choose(const team *self, const float *logits, routing *route);

/* Fills the rest of it from the chosen experts and the same logits. */
void op_assign(const team *self, const float *logits, routing *route);

/*
 * y[place] = W_e x + bias_e, e being the expert of the place and x row index[place], or the place
 * itself when `index` is NULL. y [rows * top, W.rows]; bias: numbers [experts, W.rows] in
 * `bias_format`, or NULL; space for rows * top rows and all experts.
 */
void op_grouped_linear(const team *self, const routing *route, const matrix_stack *weights,
                       number_format bias_format, const uint8_t *bias, const float *x,
                       const uint32_t *index, float *y, product_space space);

/* What op_swiglu takes beside h. */
typedef struct swiglu_shape {
    float alpha;
    float limit;
} swiglu_shape;

/* z = gpt-oss's SwiGLU of interleaved gate and up values. h [rows, 2 * n], z [rows, n]. */
void op_swiglu(const team *self, const float *h, size_t rows, size_t n, float alpha, float limit,
               float *z);

/* out[b] = sum over s, in descending router logit, of weight[b, s] * y[place of (b, s)].
 * y [rows * top, n], out [rows, n]. */
void op_combine(const team *self, const routing *route, const float *y, size_t n, float *out);

#endif
