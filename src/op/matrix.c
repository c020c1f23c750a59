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
        return n / 2;
    case NUMBER_BF16_PACKED:
        break;
    }
    assert(!"numbers of a fixed size");
    return 0;
}

size_t matrix_bytes(const matrix *of)
{
    size_t numbers = of->rows * of->columns;
    if (of->format == NUMBER_BF16_PACKED)
        return of->packed_bytes;
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
    assert(format != NUMBER_MXFP4 && format != NUMBER_BF16_PACKED);
    if (format == NUMBER_F32)
        memcpy(out, from, n * sizeof *out);
    else if (format == NUMBER_F16)
        kernel()->decode_f16(from, n, out);
    else
        kernel()->decode_bf16(from, n, out);
}

void numbers_add(number_format format, const uint8_t *data, size_t first, size_t n, size_t batch,
                 float *y, size_t y_stride)
{
    enum { RUN = 64 };
    for (size_t done = 0; done < n; done += RUN) {
        size_t count = n - done < RUN ? n - done : RUN;
        float values[RUN];
        numbers_decode(format, data, first + done, count, values);
        for (size_t b = 0; b < batch; b++)
            for (size_t i = 0; i < count; i++)
                y[b * y_stride + done + i] += values[i];
    }
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

/* How many of `rows` rows that begin at row `first` lie in its group. */
static size_t rows_in_group(size_t first, size_t rows)
{
    size_t left = DENSE_GROUP_ROWS - first % DENSE_GROUP_ROWS;
    return rows < left ? rows : left;
}

static void decode_packed(const matrix *weights, size_t first, size_t rows, float *out)
{
    while (rows > 0) {
        size_t count = rows_in_group(first, rows);
        kernel()->dense.unpack(weights->data, &weights->groups[first / DENSE_GROUP_ROWS],
                               first % DENSE_GROUP_ROWS, count, weights->columns, out);
        first += count;
        rows -= count;
        out += count * weights->columns;
    }
}

void matrix_decode(const matrix *weights, size_t first, size_t rows, float *out)
{
    size_t columns = weights->columns;
    assert(first <= weights->rows && rows <= weights->rows - first);
    if (weights->transposed)
        decode_transposed(weights, first, rows, out);
    else if (weights->format == NUMBER_BF16_PACKED)
        decode_packed(weights, first, rows, out);
    else if (weights->format == NUMBER_MXFP4)
        kernel()->decode_mxfp4(weights->data + first * columns / 2,
                               weights->scales + first * columns / 32, rows * columns, out);
    else
        numbers_decode(weights->format, weights->data, first * columns, rows * columns, out);
}

/* ---- one row of x ---------------------------------------------------------------------------- */

/* Groups as a whole where all their rows are wanted. */
static void dot_packed(const matrix *weights, size_t first, size_t rows, const float *x, float *y)
{
    while (rows > 0) {
        const dense_group *groups = weights->groups + first / DENSE_GROUP_ROWS;
        size_t inside = first % DENSE_GROUP_ROWS;
        size_t count = rows_in_group(first, rows);
        if (count == DENSE_GROUP_ROWS) {
            count = rows / DENSE_GROUP_ROWS * DENSE_GROUP_ROWS;
            kernel()->dense.packed(weights->data, groups, count / DENSE_GROUP_ROWS, x,
                                   weights->columns, y);
        } else {
            float all[DENSE_GROUP_ROWS];
            kernel()->dense.packed(weights->data, groups, 1, x, weights->columns, all);
            memcpy(y, all + inside, count * sizeof *y);
        }
        first += count;
        rows -= count;
        y += count;
    }
}

/* The rows themselves, decoded first. */
static void dot_decoded(const matrix *weights, size_t first, size_t rows, const float *x, float *y,
                        float *panel)
{
    for (size_t row = 0; row < rows; row += MATRIX_UNIT_ROWS) {
        size_t count = rows - row < MATRIX_UNIT_ROWS ? rows - row : MATRIX_UNIT_ROWS;
        matrix_decode(weights, first + row, count, panel);
        kernel()->dot_panel(panel, count, x, 1, weights->columns, y + row, 0);
    }
}

static void dot_rows(const matrix *weights, size_t first, size_t rows, const float *x, float *y)
{
    matrix part = matrix_slice(weights, first, rows);
    if (part.format == NUMBER_BF16)
        kernel()->dense.bf16(part.data, rows, x, part.columns, y);
    else if (part.format == NUMBER_F16)
        kernel()->dot_rows_f16(part.data, part.scales, rows, x, part.columns, y);
    else
        kernel()->dot_rows_mxfp4(part.data, part.scales, rows, x, part.columns, y);
}

void matrix_dot(const matrix *weights, size_t first, size_t rows, const float *bias, const float *x,
                float *y, float *panel)
{
    if (weights->transposed || weights->format == NUMBER_F32)
        dot_decoded(weights, first, rows, x, y, panel);
    else if (weights->format == NUMBER_BF16_PACKED)
        dot_packed(weights, first, rows, x, y);
    else
        dot_rows(weights, first, rows, x, y);
    for (size_t r = 0; r < rows && bias != NULL; r++)
        y[r] += bias[r];
}

/* ---- many rows of x -------------------------------------------------------------------------- */

/* Arranges `rows` (1 to GEMM_ROWS) rows as a sliver, filled up with other rows. */
static void fill_sliver(const matrix *weights, size_t first, size_t rows, float *sliver)
{
    enum { TURN = GEMM_ROWS / 2 }; /* rows that are decoded before they are arranged */
    size_t columns = weights->columns;
    float *decoded = sliver + GEMM_ROWS * GEMM_COLUMNS(columns);
    for (size_t row = 0; row < GEMM_ROWS; row += TURN) {
        const float *each[TURN];
        size_t left = row < rows ? rows - row : 0;
        size_t count = left < TURN ? left : TURN;
        if (count > 0)
            matrix_decode(weights, first + row, count, decoded);
        for (size_t r = 0; r < TURN; r++)
            each[r] = decoded + (r < count ? r : 0) * columns;
        kernel()->gemm.arrange(each, TURN, columns, GEMM_ROWS, sliver + row);
    }
}

/* What is read to decode the rows of a unit from row `first` on, for `calls` calls to ask for. */
static gemm_ahead rows_ahead(const matrix *weights, size_t first, size_t calls)
{
    gemm_ahead ahead = {NULL, 0, 0};
    if (first >= weights->rows || weights->transposed)
        return ahead;
    size_t left = weights->rows - first;
    size_t rows = left < MATRIX_UNIT_ROWS ? left : MATRIX_UNIT_ROWS;
    if (weights->format == NUMBER_BF16_PACKED) {
        const dense_group *group = weights->groups + first / DENSE_GROUP_ROWS;
        ahead.data = weights->data + (size_t)group->line * DENSE_LINE;
        ahead.bytes = 3 * rows * weights->columns / 2;
    } else {
        matrix part = matrix_slice(weights, first, rows);
        ahead.data = part.data;
        ahead.bytes = number_bytes(part.format, rows * part.columns);
    }
    ahead.share = ahead.bytes / calls;
    return ahead;
}

void matrix_multiply(const matrix *weights, size_t first, size_t rows, size_t next,
                     const float *bias, const float *slivers, size_t batch, float *y,
                     size_t y_stride, float *panel)
{
    size_t columns = weights->columns;
    gemm_ahead ahead = rows_ahead(weights, next, (batch + GEMM_TOKENS - 1) / GEMM_TOKENS);
    fill_sliver(weights, first, rows, panel);
    for (size_t b = 0; b < batch; b += GEMM_TOKENS)
        kernel()->gemm.multiply(panel, rows, slivers + b * GEMM_COLUMNS(columns),
                                batch - b < GEMM_TOKENS ? batch - b : GEMM_TOKENS, columns, bias,
                                y + b * y_stride, y_stride, &ahead);
}
