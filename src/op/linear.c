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

/* ---- matrix products ------------------------------------------------------------------------- */

/*
 * Arranges `count` rows of x, those that `index` names or the first, in slivers one behind another;
 * this thread takes its turns. Returns where the next may begin.
 */
static float *arrange(const team *self, size_t *turn, const float *x, const uint32_t *index,
                      size_t count, size_t n, float *slivers)
{
    for (size_t b = 0; b < count; b += GEMM_TOKENS, (*turn)++) {
        size_t tokens = count - b < GEMM_TOKENS ? count - b : GEMM_TOKENS;
        size_t width = gemm_width(tokens);
        const float *rows[GEMM_TOKENS];
        for (size_t i = 0; i < width; i++) {
            size_t row = b + (i < tokens ? i : 0);
            rows[i] = x + (index == NULL ? row : index[row]) * n;
        }
        if (*turn % self->size == self->rank)
            kernel()->gemm.arrange(rows, width, n, width, slivers);
        slivers += width * GEMM_COLUMNS(n);
    }
    return slivers;
}

static size_t units_of(const matrix *weights)
{
    return (weights->rows + MATRIX_UNIT_ROWS - 1) / MATRIX_UNIT_ROWS;
}

/* How many parts a batch of so many slivers has for each of `units` units of rows, so that every
 * thread finds work: a router's few rows would be one thread's. */
static size_t parts_of_batch(const team *self, size_t units, size_t slivers)
{
    enum { EACH = 2 }; /* pieces of work for a thread, at least */
    if (units == 0)
        return 1;
    size_t wanted = (EACH * (size_t)self->size + units - 1) / units;
    return wanted < slivers ? wanted : slivers;
}

/* Many rows of x, arranged: threads take units of rows with parts of the batch as they come to it.
 */
static void multiply_maps(const team *self, const linear_map *maps, size_t count,
                          const float *slivers, size_t batch, size_t y_stride, float *panel)
{
    const linear_map *map = maps;
    size_t before = 0; /* units of the maps before this one */
    size_t units = 0;
    for (size_t i = 0; i < count; i++)
        units += units_of(maps[i].weights);
    size_t all = (batch + GEMM_TOKENS - 1) / GEMM_TOKENS; /* slivers */
    size_t parts = parts_of_batch(self, units, all);
    for (size_t taken = team_take(self); taken < units * parts; taken = team_take(self)) {
        size_t unit = taken / parts;
        size_t part = taken % parts;
        for (; unit - before >= units_of(map->weights); map++)
            before += units_of(map->weights);
        size_t first = (unit - before) * MATRIX_UNIT_ROWS;
        size_t left = map->weights->rows - first;
        size_t begin = all * part / parts * GEMM_TOKENS;
        size_t end = all * (part + 1) / parts * GEMM_TOKENS;
        matrix_multiply(map->weights, first, left < MATRIX_UNIT_ROWS ? left : MATRIX_UNIT_ROWS,
                        first + self->size * MATRIX_UNIT_ROWS,
                        map->bias == NULL ? NULL : map->bias + first,
                        slivers + begin * GEMM_COLUMNS(map->weights->columns),
                        (end < batch ? end : batch) - begin, map->y + begin * y_stride + first,
                        y_stride, panel);
    }
}

static size_t units_of_map(const void *maps, size_t map)
{
    return units_of(((const linear_map *)maps)[map].weights);
}

/* One row of x: all weights are read once, in order. */
static void dot_maps(const team *self, const linear_map *maps, size_t count, const float *x,
                     float *panel)
{
    team_work work = team_begin(self, (team_parts){count, units_of_map, maps});
    while (team_next(&work)) {
        const linear_map *map = &maps[work.part];
        size_t first = work.begin * MATRIX_UNIT_ROWS;
        size_t end = work.end * MATRIX_UNIT_ROWS;
        if (end > map->weights->rows)
            end = map->weights->rows;
        matrix_dot(map->weights, first, end - first, map->bias == NULL ? NULL : map->bias + first,
                   x, map->y + first, panel);
    }
}

void op_linear_maps(const team *self, const linear_map *maps, size_t count, const float *x,
                    size_t batch, size_t y_stride, product_space space)
{
    if (batch == 1) {
        dot_maps(self, maps, count, x, space.own);
    } else {
        size_t turn = 0;
        arrange(self, &turn, x, NULL, batch, maps[0].weights->columns, space.shared);
        team_wait(self);
        multiply_maps(self, maps, count, space.shared, batch, y_stride, space.own);
    }
    team_wait(self);
}

void op_grouped_linear(const team *self, const routing *route, const matrix_stack *weights,
                       number_format bias_format, const uint8_t *bias, const float *x,
                       const uint32_t *index, float *y, product_space space)
{
    size_t rows = weights->first.rows;
    size_t columns = weights->first.columns;
    size_t turn = 0;
    float *slivers = space.shared;
    for (size_t expert = 0; expert < route->experts; expert++) {
        size_t place = route->start[expert];
        size_t batch = route->start[expert + 1] - place;
        if (batch > 1)
            slivers = index == NULL
                          ? arrange(self, &turn, x + place * columns, NULL, batch, columns, slivers)
                          : arrange(self, &turn, x, index + place, batch, columns, slivers);
    }
    team_wait(self);
    slivers = space.shared;
    size_t unit = team_take(self);
    size_t before = 0; /* units of the experts before this one */
    for (size_t expert = 0; expert < route->experts; expert++) {
        size_t place = route->start[expert];
        size_t batch = route->start[expert + 1] - place;
        matrix one = matrix_stack_at(weights, expert);
        if (batch == 0)
            continue;
        for (; unit - before < units_of(&one); unit = team_take(self)) {
            size_t first = (unit - before) * MATRIX_UNIT_ROWS;
            size_t count = rows - first < MATRIX_UNIT_ROWS ? rows - first : MATRIX_UNIT_ROWS;
            float *to = y + place * rows + first;
            if (batch == 1)
                matrix_dot(&one, first, count, NULL,
                           x + (index == NULL ? place : index[place]) * columns, to, space.own);
            else
                matrix_multiply(&one, first, count, first + self->size * MATRIX_UNIT_ROWS, NULL,
                                slivers, batch, to, rows, space.own);
            if (bias != NULL)
                numbers_add(bias_format, bias, expert * rows + first, count, batch, to, rows);
        }
        before += units_of(&one);
        slivers += batch > 1 ? gemm_width(batch) * GEMM_COLUMNS(columns) : 0;
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
