#include "op/fixed.h"

#include <assert.h>

#include "kernel/kernel.h"

void op_quantise(const team *self, const float *x, size_t rows, size_t n, unsigned digits,
                 uint8_t *out)
{
    size_t blocks = fixed_blocks(n);
    size_t begin;
    size_t end;
    team_share(self, rows * blocks, 1, &begin, &end);
    while (begin < end) { /* up to the end of a row */
        size_t row = begin / blocks;
        size_t first = begin % blocks;
        size_t count = blocks - first < end - begin ? blocks - first : end - begin;
        size_t column = first * FIXED_COLUMNS;
        size_t columns = count * FIXED_COLUMNS < n - column ? count * FIXED_COLUMNS : n - column;
        kernel()->fixed.quantise(x + row * n + column, columns, digits,
                                 out + begin * fixed_block_bytes(digits));
        begin += count;
    }
    team_wait(self);
}

/* What all steps of a grouped linear operation look at. */
typedef struct grouped {
    const team *self;
    const routing *route;
    const matrix_stack *weights;
    number_format bias_format;
    const uint8_t *bias;
    fixed_rows x;
    float *y;
    uint8_t *panel;
    float *parked;
} grouped;

static size_t batch_of(const routing *route, size_t expert)
{
    return route->start[expert + 1] - route->start[expert];
}

/* Adds the expert's biases to rows [first, first + rows) of its results. */
static void add_biases(const grouped *g, size_t expert, size_t first, size_t rows)
{
    size_t stride = g->weights->first.rows;
    float values[FIXED_PANEL_ROWS];
    assert(rows <= FIXED_PANEL_ROWS);
    if (g->bias == NULL)
        return;
    numbers_decode(g->bias_format, g->bias, expert * stride + first, rows, values);
    for (size_t place = g->route->start[expert]; place < g->route->start[expert + 1]; place++)
        for (size_t r = 0; r < rows; r++)
            g->y[place * stride + first + r] += values[r];
}

/* An expert with one activation row reads its weights where they lie. */
static void multiply_one(const grouped *g, size_t expert)
{
    matrix whole = matrix_stack_at(g->weights, expert);
    size_t place = g->route->start[expert];
    size_t row = g->x.index == NULL ? place : g->x.index[place];
    const uint8_t *x = g->x.rows + row * fixed_row_bytes(whole.columns, g->x.digits);
    size_t begin;
    size_t end;
    team_share(g->self, whole.rows, 4, &begin, &end);
    if (begin == end)
        return;
    matrix part = matrix_slice(&whole, begin, end - begin);
    kernel()->fixed.dot_rows(part.data, part.scales, part.rows, x, part.columns, g->x.digits,
                             g->y + place * whole.rows + begin);
    for (size_t first = begin; first < end; first += FIXED_PANEL_ROWS)
        add_biases(g, expert, first,
                   end - first < FIXED_PANEL_ROWS ? end - first : FIXED_PANEL_ROWS);
}

/* The weights of the panel that this thread unpacks next: the expert's next one in [first, end), or
 * else the first of the next expert with a batch. */
static fixed_ahead next_panel(const grouped *g, size_t expert, size_t first, size_t begin,
                              size_t end)
{
    if (first >= end) {
        first = begin;
        do
            expert++;
        while (expert < g->route->experts && batch_of(g->route, expert) < 2);
    }
    if (expert >= g->route->experts)
        return (fixed_ahead){NULL, 0};
    matrix whole = matrix_stack_at(g->weights, expert);
    size_t rows = end - first < FIXED_PANEL_ROWS ? end - first : FIXED_PANEL_ROWS;
    matrix panel = matrix_slice(&whole, first, rows);
    return (fixed_ahead){panel.data, rows * panel.columns / 2};
}

/* An expert with several activation rows unpacks its weights a panel at a time, and once more for
 * every OP_FIXED_BATCH of them, in parts of about the same size. */
static void multiply_many(const grouped *g, size_t expert)
{
    matrix whole = matrix_stack_at(g->weights, expert);
    size_t row_bytes = fixed_row_bytes(whole.columns, g->x.digits);
    size_t batch = batch_of(g->route, expert);
    size_t parts = (batch + OP_FIXED_BATCH - 1) / OP_FIXED_BATCH;
    size_t each = (batch + parts - 1) / parts;
    size_t begin;
    size_t end;
    team_share(g->self, whole.rows, FIXED_PANEL_ROWS, &begin, &end);
    for (size_t done = 0; done < batch; done += each) {
        size_t place = g->route->start[expert] + done;
        fixed_batch x = {g->x.index == NULL ? g->x.rows + place * row_bytes : g->x.rows,
                         g->x.index == NULL ? NULL : g->x.index + place,
                         batch - done < each ? batch - done : each};
        bool last = done + each >= batch;
        for (size_t first = begin; first < end; first += FIXED_PANEL_ROWS) {
            size_t rows = end - first < FIXED_PANEL_ROWS ? end - first : FIXED_PANEL_ROWS;
            matrix part = matrix_slice(&whole, first, rows);
            size_t next = first + FIXED_PANEL_ROWS;
            fixed_ahead ahead =
                next_panel(g, expert, next < end || last ? next : begin, begin, end);
            kernel()->fixed.unpack(part.data, part.scales, rows, part.columns, g->panel);
            kernel()->fixed.multiply(g->panel, rows, part.columns, x, g->x.digits, g->parked, ahead,
                                     g->y + place * whole.rows + first, whole.rows);
        }
    }
    for (size_t first = begin; first < end; first += FIXED_PANEL_ROWS)
        add_biases(g, expert, first,
                   end - first < FIXED_PANEL_ROWS ? end - first : FIXED_PANEL_ROWS);
}

void op_fixed_grouped_linear(const team *self, const routing *route, const matrix_stack *weights,
                             number_format bias_format, const uint8_t *bias, fixed_rows x, float *y,
                             void *scratch)
{
    grouped g = {self, route, weights, bias_format, bias, x, y, scratch, NULL};
    assert(weights->first.format == NUMBER_MXFP4);
    g.parked = (float *)(void *)(g.panel + fixed_panel_bytes(weights->first.columns));
    for (size_t expert = 0; expert < route->experts; expert++) {
        if (batch_of(route, expert) == 1)
            multiply_one(&g, expert);
        else if (batch_of(route, expert) > 1)
            multiply_many(&g, expert);
    }
    team_wait(self);
}
