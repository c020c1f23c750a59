/* Making a sketch. */
#include "op/sketch.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernel/kernel.h"

/* Rows of a panel, decoded one behind the other, moved apart so that each is padded with zeros. */
static void pad_rows(float *panel, size_t rows, size_t columns, size_t padded)
{
    for (size_t r = rows; r-- > 0;) {
        memmove(panel + r * padded, panel + r * columns, columns * sizeof *panel);
        memset(panel + r * padded + columns, 0, (padded - columns) * sizeof *panel);
    }
}

void op_sketch(const team *self, const matrix *weights, size_t first, size_t count, sketch *out,
               float *scratch)
{
    size_t begin;
    size_t end;
    size_t padded = out->groups * SKETCH_GROUP;
    size_t plane_row = padded / 2;
    assert(weights->columns == out->columns && first + count <= out->rows);
    team_share(self, count, MATRIX_UNIT_ROWS, &begin, &end);
    for (size_t row = first + begin; row < first + end; row += MATRIX_UNIT_ROWS) {
        size_t rows = first + end - row;
        rows = rows < MATRIX_UNIT_ROWS ? rows : MATRIX_UNIT_ROWS;
        matrix_decode(weights, row, rows, scratch);
        if (padded != out->columns)
            pad_rows(scratch, rows, out->columns, padded);
        for (size_t r = 0; r < rows; r++)
            kernel()->sketch.build(
                scratch + r * padded, out->groups, out->planes[0] + (row + r) * plane_row,
                out->planes[1] + (row + r) * plane_row, out->multipliers + (row + r) * out->groups,
                &out->known[row + r]);
    }
    team_wait(self);
}

float sketch_largest_norm(const sketch *of)
{
    float largest = 0.0F;
    for (size_t r = 0; r < of->rows; r++) {
        float norm = of->known[r].norm;
        largest = isfinite(norm) && norm > largest ? norm : largest;
    }
    return largest;
}
