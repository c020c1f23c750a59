#include "op/bfloat.h"

#include <assert.h>
#include <string.h>

#include "kernel/kernel.h"

enum { UNIT = OP_BFLOAT_UNIT, BATCH = OP_BFLOAT_BATCH };

bool op_bfloat_pays(void)
{
    return kernel()->bfloat.pays;
}

bool op_bfloat_takes(const matrix *weights)
{
    return !weights->transposed &&
           (weights->format == NUMBER_BF16 || weights->format == NUMBER_BF16_PACKED ||
            weights->format == NUMBER_MXFP4);
}

bfloat_order op_bfloat_order(const matrix *weights)
{
    return weights->format == NUMBER_MXFP4 ? BFLOAT_CODED : BFLOAT_DENSE;
}

/* Numbers of a rounded row. */
static size_t row_numbers(size_t columns)
{
    return bfloat_blocks(columns) * BFLOAT_BLOCK;
}

void op_bfloat_round(const team *self, const float *x, size_t rows, size_t n, bfloat_order order,
                     uint16_t *out)
{
    size_t blocks = bfloat_blocks(n);
    size_t begin;
    size_t end;
    team_share(self, rows * blocks, 1, &begin, &end);
    while (begin < end) { /* up to the end of a row */
        size_t row = begin / blocks;
        size_t first = begin % blocks;
        size_t count = blocks - first < end - begin ? blocks - first : end - begin;
        size_t column = first * BFLOAT_BLOCK;
        size_t columns = count * BFLOAT_BLOCK < n - column ? count * BFLOAT_BLOCK : n - column;
        kernel()->bfloat.round(x + row * n + column, columns, order, out + begin * BFLOAT_BLOCK);
        begin += count;
    }
    team_wait(self);
}

/* ---- one activation row ---------------------------------------------------------------------- */

/* Of a packed matrix, `first` begins a group. */
static void dot(const matrix *weights, size_t first, size_t rows, const uint16_t *x, float *y)
{
    const bfloat_table *table = &kernel()->bfloat;
    size_t n = weights->columns;
    if (weights->format == NUMBER_BF16) {
        table->dot_bf16(weights->data + 2 * first * n, rows, x, n, y);
    } else if (weights->format == NUMBER_MXFP4) {
        table->dot_mxfp4(weights->data + first * n / 2, weights->scales + first * n / 32, rows, x,
                         n, y);
    } else {
        const dense_group *groups = weights->groups + first / DENSE_GROUP_ROWS;
        size_t whole = rows / DENSE_GROUP_ROWS;
        size_t rest = rows % DENSE_GROUP_ROWS;
        float last[DENSE_GROUP_ROWS];
        table->dot_packed(weights->data, groups, whole, x, n, y);
        if (rest > 0) {
            table->dot_packed(weights->data, groups + whole, 1, x, n, last);
            memcpy(y + rows - rest, last, rest * sizeof *y);
        }
    }
}

/* ---- many ------------------------------------------------------------------------------------ */

static size_t units_of(const matrix *weights)
{
    return (weights->rows + UNIT - 1) / UNIT;
}

/* The rows of a unit. */
typedef struct unit {
    size_t first;
    size_t rows;
} unit;

static unit unit_at(const matrix *weights, size_t index)
{
    size_t first = index * UNIT;
    size_t left = weights->rows - first;
    return (unit){first, left < UNIT ? left : UNIT};
}

static void take_packed(const matrix *weights, size_t first, size_t rows, uint16_t *panel)
{
    for (size_t r = 0; r < rows;) {
        size_t inside = (first + r) % DENSE_GROUP_ROWS;
        size_t count = DENSE_GROUP_ROWS - inside < rows - r ? DENSE_GROUP_ROWS - inside : rows - r;
        kernel()->bfloat.take_packed(weights->data,
                                     &weights->groups[(first + r) / DENSE_GROUP_ROWS], inside,
                                     count, weights->columns, (bfloat_place){panel, r});
        r += count;
    }
}

/* Unpacks a unit to panels of BFLOAT_ROWS rows. */
static void take_unit(const matrix *weights, unit of, uint16_t *panels)
{
    size_t n = weights->columns;
    for (size_t r = 0; r < of.rows; r += BFLOAT_ROWS, panels += bfloat_panel_numbers(n)) {
        size_t row = of.first + r;
        size_t count = of.rows - r < BFLOAT_ROWS ? of.rows - r : BFLOAT_ROWS;
        bfloat_place to = {panels, 0};
        if (weights->format == NUMBER_BF16)
            kernel()->bfloat.take_bf16(weights->data + 2 * row * n, count, n, to);
        else if (weights->format == NUMBER_MXFP4)
            kernel()->bfloat.take_mxfp4(weights->data + row * n / 2, weights->scales + row * n / 32,
                                        count, n, to);
        else
            take_packed(weights, row, count, panels);
    }
}

/* What reading a unit will read, scales aside. */
static bfloat_ahead unit_ahead(const matrix *weights, size_t index)
{
    if (index >= units_of(weights))
        return (bfloat_ahead){NULL, 0};
    unit next = unit_at(weights, index);
    size_t numbers = next.rows * weights->columns;
    if (weights->format == NUMBER_BF16_PACKED)
        return (bfloat_ahead){weights->data +
                                  (size_t)weights->groups[next.first / DENSE_GROUP_ROWS].line *
                                      DENSE_LINE,
                              numbers + numbers / 2};
    size_t begin = number_bytes(weights->format, next.first * weights->columns);
    return (bfloat_ahead){weights->data + begin, number_bytes(weights->format, numbers)};
}

/* A batch of rounded rows: row b is row index[b], or row b. */
typedef struct rounded_rows {
    const uint16_t *rows;
    const uint32_t *index; /* or NULL */
    size_t count;
} rounded_rows;

/*
 * The products of a unit with a batch of activation rows, in parts that stay near while all panels
 * of the unit meet them. y begins at the unit's first row. The first part's panels ask for what
 * lies ahead.
 */
static void multiply_unit(const matrix *weights, unit of, rounded_rows x, bfloat_ahead ahead,
                          float *y, size_t y_stride, void *scratch)
{
    size_t numbers = row_numbers(weights->columns);
    size_t panels = (of.rows + BFLOAT_ROWS - 1) / BFLOAT_ROWS;
    size_t parts = (x.count + BATCH - 1) / BATCH;
    uint16_t *unpacked = scratch;
    float *sums = (float *)(void *)(unpacked + UNIT * numbers);
    take_unit(weights, of, unpacked);
    for (size_t part = 0; part < parts; part++) {
        size_t begin = x.count * part / parts;
        size_t count = x.count * (part + 1) / parts - begin;
        const uint16_t *rows[BATCH];
        for (size_t b = 0; b < count; b++)
            rows[b] = x.rows + (x.index == NULL ? begin + b : x.index[begin + b]) * numbers;
        for (size_t p = 0; p < panels; p++) {
            size_t left = of.rows - p * BFLOAT_ROWS;
            bfloat_ahead own = {NULL, 0};
            if (part == 0 && ahead.bytes > 0)
                own = (bfloat_ahead){ahead.at + ahead.bytes * p / panels, ahead.bytes / panels};
            kernel()->bfloat.multiply(unpacked + p * bfloat_panel_numbers(weights->columns),
                                      left < BFLOAT_ROWS ? left : BFLOAT_ROWS, rows, count,
                                      bfloat_blocks(weights->columns), own, sums,
                                      y + begin * y_stride + p * BFLOAT_ROWS, y_stride);
        }
    }
}

/* ---- maps ------------------------------------------------------------------------------------ */

static void add_bias(const linear_map *map, unit of, size_t batch, size_t y_stride)
{
    for (size_t b = 0; b < batch && map->bias != NULL; b++)
        for (size_t row = of.first; row < of.first + of.rows; row++)
            map->y[b * y_stride + row] += map->bias[row];
}

static void dot_maps(const team *self, const linear_map *maps, size_t count, const uint16_t *x)
{
    for (size_t i = 0; i < count; i++) {
        unit share;
        size_t end;
        team_share(self, maps[i].weights->rows, DENSE_GROUP_ROWS, &share.first, &end);
        share.rows = end - share.first;
        dot(maps[i].weights, share.first, share.rows, x, maps[i].y + share.first);
        add_bias(&maps[i], share, 1, 0);
    }
}

void op_bfloat_linear_maps(const team *self, const linear_map *maps, size_t count,
                           const uint16_t *x, size_t batch, size_t y_stride, void *scratch)
{
    const linear_map *map = maps;
    size_t before = 0; /* units of the maps before this one */
    if (batch == 1) {
        dot_maps(self, maps, count, x);
        team_wait(self);
        return;
    }
    for (size_t taken = team_take(self);; taken = team_take(self)) {
        for (; map < maps + count && taken - before >= units_of(map->weights); map++)
            before += units_of(map->weights);
        if (map == maps + count)
            break;
        unit own = unit_at(map->weights, taken - before);
        multiply_unit(map->weights, own, (rounded_rows){x, NULL, batch},
                      unit_ahead(map->weights, taken - before + self->size), map->y + own.first,
                      y_stride, scratch);
        add_bias(map, own, batch, y_stride);
    }
    team_wait(self);
}

/* ---- experts --------------------------------------------------------------------------------- */

void op_bfloat_grouped_linear(const team *self, const routing *route, const matrix_stack *weights,
                              number_format bias_format, const uint8_t *bias, const uint16_t *x,
                              const uint32_t *index, float *y, void *scratch)
{
    size_t rows = weights->first.rows;
    size_t numbers = row_numbers(weights->first.columns);
    size_t taken = team_take(self);
    size_t before = 0; /* units of the experts before this one */
    assert(weights->first.format == NUMBER_MXFP4);
    for (size_t expert = 0; expert < route->experts; expert++) {
        size_t place = route->start[expert];
        size_t batch = route->start[expert + 1] - place;
        matrix one = matrix_stack_at(weights, expert);
        if (batch == 1) { /* read once: threads share it evenly */
            unit share;
            size_t end;
            team_share(self, rows, 8, &share.first, &end);
            share.rows = end - share.first;
            dot(&one, share.first, share.rows, x + (index == NULL ? place : index[place]) * numbers,
                y + place * rows + share.first);
            if (bias != NULL)
                numbers_add(bias_format, bias, expert * rows + share.first, share.rows, 1,
                            y + place * rows + share.first, rows);
            continue;
        }
        if (batch == 0)
            continue;
        for (; taken - before < units_of(&one); taken = team_take(self)) {
            unit own = unit_at(&one, taken - before);
            float *to = y + place * rows + own.first;
            rounded_rows batch_rows = {index == NULL ? x + place * numbers : x,
                                       index == NULL ? NULL : index + place, batch};
            multiply_unit(&one, own, batch_rows, unit_ahead(&one, taken - before + self->size), to,
                          rows, scratch);
            if (bias != NULL)
                numbers_add(bias_format, bias, expert * rows + own.first, own.rows, batch, to,
                            rows);
        }
        before += units_of(&one);
    }
    team_wait(self);
}
