#include "op/matrix.h"

#include <assert.h>
#include <string.h>

#include "kernel/kernel.h"

size_t number_bytes(number_format format, size_t n)
{
    switch (format) {
    case NUMBER_F32:
        return 4 * n;
    case NUMBER_F16:
    case NUMBER_BF16:
        return 2 * n;
    case NUMBER_MXFP4:
        break;
    }
    return n / 2;
}

size_t matrix_bytes(const matrix *of)
{
    size_t numbers = of->rows * of->columns;
    return number_bytes(of->format, numbers) + (of->format == NUMBER_MXFP4 ? numbers / 32 : 0);
}

matrix matrix_stack_at(const matrix_stack *stack, size_t index)
{
    matrix one = stack->first;
    size_t numbers = one.rows * one.columns;
    assert(index < stack->count);
    one.data += index * number_bytes(one.format, numbers);
    if (one.format == NUMBER_MXFP4)
        one.scales += index * (numbers / 32);
    return one;
}

matrix matrix_slice(const matrix *whole, size_t first, size_t rows)
{
    matrix part = *whole;
    assert(!whole->transposed && first <= whole->rows && rows <= whole->rows - first);
    part.rows = rows;
    part.data += number_bytes(whole->format, first * whole->columns);
    if (whole->format == NUMBER_MXFP4)
        part.scales += first * whole->columns / 32;
    return part;
}

void numbers_decode(number_format format, const uint8_t *data, size_t first, size_t n, float *out)
{
    const uint8_t *from = data + number_bytes(format, first);
    assert(format != NUMBER_MXFP4);
    if (format == NUMBER_F32)
        memcpy(out, from, n * sizeof *out);
    else if (format == NUMBER_F16)
        kernel()->decode_f16(from, n, out);
    else
        kernel()->decode_bf16(from, n, out);
}

/* Rows of the result are columns of the data: read a short run of each data row and spread it. */
static void decode_transposed(const matrix *weights, size_t first, size_t rows, float *out)
{
    enum { RUN = 16 };
    for (size_t r = 0; r < rows; r += RUN) {
        size_t count = rows - r < RUN ? rows - r : RUN;
        for (size_t k = 0; k < weights->columns; k++) {
            float run[RUN];
            numbers_decode(weights->format, weights->data, k * weights->rows + first + r, count,
                           run);
            for (size_t i = 0; i < count; i++)
                out[(r + i) * weights->columns + k] = run[i];
        }
    }
}

void matrix_decode(const matrix *weights, size_t first, size_t rows, float *out)
{
    size_t columns = weights->columns;
    assert(first <= weights->rows && rows <= weights->rows - first);
    if (weights->transposed)
        decode_transposed(weights, first, rows, out);
    else if (weights->format == NUMBER_MXFP4)
        kernel()->decode_mxfp4(weights->data + first * columns / 2,
                               weights->scales + first * columns / 32, rows * columns, out);
    else
        numbers_decode(weights->format, weights->data, first * columns, rows * columns, out);
}

/* The kernel that takes dot products with one row without a panel, or NULL. */
static kernel_dot_rows_fn dot_rows_of(const matrix *weights)
{
    if (weights->transposed)
        return NULL;
    switch (weights->format) {
    case NUMBER_BF16:
        return kernel()->dot_rows_bf16;
    case NUMBER_F16:
        return kernel()->dot_rows_f16;
    case NUMBER_MXFP4:
        return kernel()->dot_rows_mxfp4;
    case NUMBER_F32:
        break;
    }
    return NULL;
}

void matrix_dot(const matrix *weights, size_t first, size_t rows, const float *x, size_t batch,
                float *y, size_t y_stride, float *panel)
{
    kernel_dot_rows_fn dot_rows = dot_rows_of(weights);
    if (batch == 1 && dot_rows != NULL) {
        matrix part = matrix_slice(weights, first, rows);
        dot_rows(part.data, part.scales, rows, x, part.columns, y);
        return;
    }
    for (size_t row = 0; row < rows; row += MATRIX_PANEL_ROWS) {
        size_t count = rows - row < MATRIX_PANEL_ROWS ? rows - row : MATRIX_PANEL_ROWS;
        matrix_decode(weights, first + row, count, panel);
        kernel()->dot_panel(panel, count, x, batch, weights->columns, y + row, y_stride);
    }
}
