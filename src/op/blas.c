#include "op/blas.h"

#include <assert.h>
#include <string.h>

#include "kernel/kernel.h"

#if defined(GPTOSS_BLAS)
#include <cblas.h>

const char *op_blas_library(void)
{
    return openblas_get_config();
}

/* The build with OpenMP is held to one thread by OpenMP, see parallel_run. */
void op_blas_prepare(void)
{
    if (openblas_get_parallel() == OPENBLAS_THREAD)
        openblas_set_num_threads(1);
}

/* y[b * y_stride + r] = w[r, :] x[b, :] for w [rows, n], x [batch, n]. */
static void multiply(const float *w, size_t rows, const float *x, size_t batch, size_t n, float *y,
                     size_t y_stride)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)batch, (blasint)rows, (blasint)n,
                1.0F, x, (blasint)n, w, (blasint)n, 0.0F, y, (blasint)y_stride);
}

#else

const char *op_blas_library(void)
{
    return NULL;
}

void op_blas_prepare(void) {}

static void multiply(const float *w, size_t rows, const float *x, size_t batch, size_t n, float *y,
                     size_t y_stride)
{
    (void)w, (void)rows, (void)x, (void)batch, (void)n, (void)y, (void)y_stride;
    assert(!"a build with BLAS");
}

#endif

/* Adds one bias to `batch` rows. */
static void add_bias(const float *bias, size_t n, size_t batch, float *y, size_t y_stride)
{
    for (size_t b = 0; b < batch; b++)
        kernel()->axpy(1.0F, bias, n, y + b * y_stride);
}

/* y[b, first ...] = this thread's part of W x[b, :], a panel at a time. */
static void multiply_share(const team *self, const matrix *weights, const float *x, size_t batch,
                           float *y, size_t y_stride, float *scratch)
{
    size_t begin;
    size_t end;
    team_share(self, weights->rows, MATRIX_UNIT_ROWS, &begin, &end);
    for (size_t row = begin; row < end; row += OP_BLAS_PANEL_ROWS) {
        size_t rows = end - row < OP_BLAS_PANEL_ROWS ? end - row : OP_BLAS_PANEL_ROWS;
        matrix_decode(weights, row, rows, scratch);
        multiply(scratch, rows, x, batch, weights->columns, y + row, y_stride);
    }
}

void op_blas_linear_maps(const team *self, const linear_map *maps, size_t count, const float *x,
                         size_t batch, size_t y_stride, product_space space)
{
    for (size_t i = 0; i < count; i++) {
        const linear_map *map = &maps[i];
        size_t begin;
        size_t end;
        team_share(self, map->weights->rows, MATRIX_UNIT_ROWS, &begin, &end);
        multiply_share(self, map->weights, x, batch, map->y, y_stride, space.own);
        if (map->bias != NULL)
            add_bias(map->bias + begin, end - begin, batch, map->y + begin, y_stride);
    }
    team_wait(self);
}

/* Row p of y [count, n] becomes row index[p] of x. */
static void gather(const team *self, const float *x, const uint32_t *index, size_t count, size_t n,
                   float *y)
{
    size_t begin;
    size_t end;
    team_share(self, count, 1, &begin, &end);
    for (size_t p = begin; p < end; p++)
        memcpy(y + p * n, x + index[p] * n, n * sizeof *y);
    team_wait(self);
}

void op_blas_grouped_linear(const team *self, const routing *route, const matrix_stack *weights,
                            number_format bias_format, const uint8_t *bias, const float *x,
                            const uint32_t *index, float *y, product_space space)
{
    if (index != NULL) {
        gather(self, x, index, route->rows * route->top, weights->first.columns, space.shared);
        x = space.shared;
    }
    size_t rows = weights->first.rows;
    size_t begin;
    size_t end;
    team_share(self, rows, MATRIX_UNIT_ROWS, &begin, &end);
    for (size_t expert = 0; expert < route->experts; expert++) {
        size_t place = route->start[expert];
        size_t batch = route->start[expert + 1] - place;
        if (batch == 0)
            continue;
        matrix one = matrix_stack_at(weights, expert);
        float *to = y + place * rows;
        multiply_share(self, &one, x + place * one.columns, batch, to, rows, space.own);
        if (bias != NULL)
            numbers_add(bias_format, bias, expert * rows + begin, end - begin, batch, to + begin,
                        rows);
    }
    team_wait(self);
}
