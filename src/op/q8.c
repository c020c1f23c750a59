#include "op/q8.h"

#include <assert.h>

#include "kernel/kernel.h"

/* Activation rows that a panel serves before the next one: few enough to stay in cache. */
enum { BATCH = 96 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

void q8_pack_panel(const matrix *from, size_t index, const q8_matrix *to, float *scratch)
{
    size_t first = index * Q8_PANEL_ROWS;
    size_t rows = from->rows - first < Q8_PANEL_ROWS ? from->rows - first : Q8_PANEL_ROWS;
    assert(from->rows == to->rows && from->columns == to->columns && first < from->rows);
    matrix_decode(from, first, rows, scratch);
    kernel()->q8.pack(scratch, rows, from->columns, to->panels + q8_bytes(first, to->columns));
}

/* Weight rows [first, first + rows) and `batch` activation rows from row `done` on. */
static void multiply_part(const q8_map *map, size_t first, size_t rows, const uint8_t *x,
                          size_t done, size_t batch, size_t y_stride)
{
    const q8_matrix *weights = map->weights;
    float *y = map->y + done * y_stride;
    kernel()->q8.multiply(weights->panels + q8_bytes(first, weights->columns), rows,
                          weights->columns, x + done * fixed_row_bytes(weights->columns, 1), batch,
                          y + first, y_stride);
    for (size_t b = 0; b < batch && map->bias != NULL; b++)
        for (size_t row = first; row < first + rows; row++)
            y[b * y_stride + row] += map->bias[row];
}

static size_t panels_of(const void *maps, size_t map)
{
    return (((const q8_map *)maps)[map].weights->rows + Q8_PANEL_ROWS - 1) / Q8_PANEL_ROWS;
}

/* One activation row: all weights are read once, in order. */
static void multiply_one(const team *self, const q8_map *maps, size_t count, const uint8_t *x)
{
    team_work work = team_begin(self, (team_parts){count, panels_of, maps});
    while (team_next(&work)) {
        const q8_map *map = &maps[work.part];
        size_t first = work.begin * Q8_PANEL_ROWS;
        size_t end = least(work.end * Q8_PANEL_ROWS, map->weights->rows);
        multiply_part(map, first, end - first, x, 0, 1, 0);
    }
}

/* Weight rows that a thread takes at a time: few enough for every thread to come several times. */
static size_t unit_rows(const team *self, const q8_map *maps, size_t count, size_t batches)
{
    enum { MOST = 8, TIMES = 8 };
    size_t panels = 0;
    for (size_t i = 0; i < count; i++)
        panels += panels_of(maps, i);
    size_t each = panels * batches / (TIMES * (size_t)self->size);
    return (each < 1 ? 1 : least(each, MOST)) * Q8_PANEL_ROWS;
}

/* Many: threads take units of weight rows by batches as they come to them. */
static void multiply_many(const team *self, const q8_map *maps, size_t count, const uint8_t *x,
                          size_t batch, size_t y_stride)
{
    size_t batches = (batch + BATCH - 1) / BATCH;
    size_t unit = unit_rows(self, maps, count, batches);
    size_t before = 0; /* units of the maps before this one */
    size_t taken = team_take(self);
    for (size_t i = 0; i < count; i++) {
        size_t rows = maps[i].weights->rows;
        size_t units = (rows + unit - 1) / unit;
        for (; taken - before < units * batches; taken = team_take(self)) {
            size_t first = (taken - before) % units * unit;
            size_t done = (taken - before) / units * BATCH;
            multiply_part(&maps[i], first, least(unit, rows - first), x, done,
                          least(BATCH, batch - done), y_stride);
        }
        before += units * batches;
    }
}

void op_q8_linear_maps(const team *self, const q8_map *maps, size_t count, const uint8_t *x,
                       size_t batch, size_t y_stride)
{
    if (batch == 1)
        multiply_one(self, maps, count, x);
    else
        multiply_many(self, maps, count, x, batch, y_stride);
    team_wait(self);
}
