#include "op/q8.h"

#include <assert.h>

#include "kernel/kernel.h"

/* Activation rows that a panel serves before the next one: few enough to stay in cache. */
enum { BATCH = 96 };

void q8_pack_panel(const matrix *from, size_t index, const q8_matrix *to, float *scratch)
{
    size_t first = index * Q8_PANEL_ROWS;
    size_t rows = from->rows - first < Q8_PANEL_ROWS ? from->rows - first : Q8_PANEL_ROWS;
    assert(from->rows == to->rows && from->columns == to->columns && first < from->rows);
    matrix_decode(from, first, rows, scratch);
    kernel()->q8.pack(scratch, rows, from->columns, to->panels + q8_bytes(first, to->columns));
}

/* This thread's rows of one map for `batch` activation rows. */
static void multiply_share(const team *self, const q8_map *map, const uint8_t *x, size_t batch,
                           size_t y_stride)
{
    const q8_matrix *weights = map->weights;
    size_t row_bytes = fixed_row_bytes(weights->columns, 1);
    size_t begin;
    size_t end;
    team_share(self, weights->rows, Q8_PANEL_ROWS, &begin, &end);
    for (size_t done = 0; done < batch && begin < end; done += BATCH) {
        size_t count = batch - done < BATCH ? batch - done : BATCH;
        float *y = map->y + done * y_stride;
        kernel()->q8.multiply(weights->panels + q8_bytes(begin, weights->columns), end - begin,
                              weights->columns, x + done * row_bytes, count, y + begin, y_stride);
        for (size_t b = 0; b < count && map->bias != NULL; b++)
            for (size_t row = begin; row < end; row++)
                y[b * y_stride + row] += map->bias[row];
    }
}

void op_q8_linear_maps(const team *self, const q8_map *maps, size_t count, const uint8_t *x,
                       size_t batch, size_t y_stride)
{
    for (size_t i = 0; i < count; i++)
        multiply_share(self, &maps[i], x, batch, y_stride);
    team_wait(self);
}
