#include <math.h>

#include "kernel/kernel.h"
#include "op/op.h"

void op_embed(const team *self, const matrix *table, const uint32_t *tokens, size_t rows, float *y)
{
    size_t begin;
    size_t end;
    team_share(self, rows, 1, &begin, &end);
    for (size_t row = begin; row < end; row++)
        matrix_decode(table, tokens[row], 1, y + row * table->columns);
    team_wait(self);
}

void op_rms_norm(const team *self, const float *x, const float *w, size_t rows, size_t n, float eps,
                 float *y, op_alarm *alarm)
{
    size_t begin;
    size_t end;
    team_share(self, rows, 1, &begin, &end);
    for (size_t row = begin; row < end; row++)
        if (!isfinite(kernel()->rms_norm(x + row * n, w, n, eps, y + row * n)))
            atomic_store(alarm, 1);
    team_wait(self);
}

static void add_bias(const float *bias, size_t n, size_t batch, float *y, size_t y_stride)
{
    for (size_t b = 0; b < batch; b++)
        for (size_t i = 0; i < n; i++)
            y[b * y_stride + i] += bias[i];
}

void op_linear_maps(const team *self, const linear_map *maps, size_t count, const float *x,
                    size_t batch, size_t y_stride, float *panel)
{
    for (size_t i = 0; i < count; i++) {
        const linear_map *map = &maps[i];
        size_t begin;
        size_t end;
        team_share(self, map->weights->rows, MATRIX_PANEL_ROWS, &begin, &end);
        matrix_affine(map->weights, begin, end - begin,
                      map->bias == NULL ? NULL : map->bias + begin, x, batch, map->y + begin,
                      y_stride, panel);
    }
    team_wait(self);
}

void op_linear(const team *self, const matrix *weights, const float *bias, const float *x,
               size_t batch, float *y, size_t y_stride, float *panel)
{
    linear_map map = {weights, bias, y};
    op_linear_maps(self, &map, 1, x, batch, y_stride, panel);
}

void op_grouped_linear(const team *self, const routing *route, const matrix_stack *weights,
                       number_format bias_format, const uint8_t *bias, const float *x, float *y,
                       float *panel)
{
    size_t rows = weights->first.rows;
    size_t columns = weights->first.columns;
    size_t begin;
    size_t end;
    team_share(self, rows, MATRIX_PANEL_ROWS, &begin, &end);
    for (size_t expert = 0; expert < route->experts; expert++) {
        size_t place = route->start[expert];
        size_t batch = route->start[expert + 1] - place;
        if (batch == 0)
            continue;
        matrix one = matrix_stack_at(weights, expert);
        float *to = y + place * rows;
        matrix_dot(&one, begin, end - begin, x + place * columns, batch, to + begin, rows, panel);
        for (size_t row = begin; row < end && bias != NULL; row += MATRIX_PANEL_ROWS) {
            size_t count = end - row < MATRIX_PANEL_ROWS ? end - row : MATRIX_PANEL_ROWS;
            float values[MATRIX_PANEL_ROWS];
            numbers_decode(bias_format, bias, expert * rows + row, count, values);
            add_bias(values, count, batch, to + row, rows);
        }
    }
    team_wait(self);
}

void op_add(const team *self, const float *y, size_t n, float *x)
{
    size_t begin;
    size_t end;
    team_share(self, n, 64, &begin, &end);
    kernel()->axpy(1.0F, y + begin, end - begin, x + begin);
    team_wait(self);
}

void op_check_finite(const team *self, const float *x, size_t n, op_alarm *alarm)
{
    size_t begin;
    size_t end;
    team_share(self, n, 64, &begin, &end);
    float poison = 0.0F; /* stays zero: 0 * x is NaN for NaN and infinity */
    for (size_t i = begin; i < end; i++)
        poison += 0.0F * x[i];
    if (poison != 0.0F)
        atomic_store(alarm, 1);
    team_wait(self);
}
