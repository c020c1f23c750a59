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

/* An expert's activation rows are multiplied in parts of about the same size. */
typedef struct part {
    size_t place; /* of its first row */
    size_t rows;
} part;

static size_t batch_of(const routing *route, size_t expert)
{
    return route->start[expert + 1] - route->start[expert];
}

static size_t parts_of(const routing *route, size_t expert)
{
    return (batch_of(route, expert) + OP_FIXED_BATCH - 1) / OP_FIXED_BATCH;
}

static part part_at(const routing *route, size_t expert, size_t i)
{
    size_t batch = batch_of(route, expert);
    size_t parts = parts_of(route, expert);
    size_t begin = batch * i / parts;
    return (part){route->start[expert] + begin, batch * (i + 1) / parts - begin};
}

/* ---- activations ----------------------------------------------------------------------------- */

/* Prepares columns of a tile of a batch, or of the row of an expert that has only one, at `out`. */
static void prepare_columns(const float *const rows[], size_t count, size_t batch,
                            fixed_columns columns, unsigned digits, uint8_t *out)
{
    if (batch == 1)
        kernel()->fixed.quantise(rows[0], columns.count, digits,
                                 fixed_columns_at(out, columns, digits));
    else
        kernel()->fixed.quantise_tile(rows, count, batch, columns, digits, out);
}

/* Prepares tile t of a part of an expert's rows. */
static void prepare_tile(fixed_rows x, part p, size_t t, uint8_t *out)
{
    size_t begin = fixed_tile_begin(p.rows, t);
    size_t count = fixed_tile_begin(p.rows, t + 1) - begin;
    const float *rows[FIXED_TILE_ROWS] = {NULL};
    for (size_t b = 0; b < count; b++) {
        size_t place = p.place + begin + b;
        rows[b] = x.rows + (x.index == NULL ? place : x.index[place]) * x.n;
    }
    prepare_columns(rows, count, p.rows, (fixed_columns){x.n, 0, x.n}, x.digits,
                    out + (p.place + begin) * fixed_row_bytes(x.n, x.digits));
}

static size_t count_tiles(const routing *route)
{
    size_t tiles = 0;
    for (size_t expert = 0; expert < route->experts; expert++)
        for (size_t i = 0; i < parts_of(route, expert); i++)
            tiles += fixed_tiles(part_at(route, expert, i).rows);
    return tiles;
}

void op_fixed_prepare(const team *self, const routing *route, fixed_rows x, uint8_t *out)
{
    size_t begin;
    size_t end;
    size_t tile = 0;
    team_share(self, count_tiles(route), 1, &begin, &end);
    for (size_t expert = 0; expert < route->experts; expert++) {
        for (size_t i = 0; i < parts_of(route, expert); i++) {
            part p = part_at(route, expert, i);
            for (size_t t = 0; t < fixed_tiles(p.rows); t++, tile++) {
                if (tile >= begin && tile < end)
                    prepare_tile(x, p, t, out);
            }
        }
    }
    team_wait(self);
}

/* ---- products -------------------------------------------------------------------------------- */

/* What all steps of a grouped linear operation look at. */
typedef struct grouped {
    const team *self;
    const routing *route;
    const matrix_stack *weights;
    number_format bias_format;
    const uint8_t *bias;
    const uint8_t *x;
    unsigned digits;
    float *y;
    void *scratch;
} grouped;

/* Where the prepared rows from a place on lie. */
static const uint8_t *prepared_at(const grouped *g, size_t place)
{
    return g->x + place * fixed_row_bytes(g->weights->first.columns, g->digits);
}

/* Adds the expert's biases to outputs [first, first + rows) of a part. */
static void add_biases(const grouped *g, size_t expert, part p, size_t first, size_t rows)
{
    size_t stride = g->weights->first.rows;
    if (g->bias != NULL)
        numbers_add(g->bias_format, g->bias, expert * stride + first, rows, p.rows,
                    g->y + p.place * stride + first, stride);
}

/* Units of FIXED_MULTIPLY_ROWS weight rows, or what is left, by parts: counted through all experts
 * that have several rows. */
typedef struct unit_counter {
    size_t taken;  /* the unit that this thread works on */
    size_t before; /* the number of the expert's first unit */
} unit_counter;

/* Weight rows [first, end) of an expert with one activation row: they are read where they lie. */
static void multiply_one(const grouped *g, size_t expert, size_t first, size_t end)
{
    matrix whole = matrix_stack_at(g->weights, expert);
    matrix own = matrix_slice(&whole, first, end - first);
    part p = part_at(g->route, expert, 0);
    kernel()->fixed.dot_rows(own.data, own.scales, own.rows, prepared_at(g, p.place), own.columns,
                             g->digits, g->y + p.place * whole.rows + first);
    add_biases(g, expert, p, first, own.rows);
}

/* Units of an expert that has one activation row. */
enum { ONE_ROWS = 32 };

static size_t one_units(const void *of, size_t expert)
{
    const grouped *g = of;
    size_t units = (g->weights->first.rows + ONE_ROWS - 1) / ONE_ROWS;
    return batch_of(g->route, expert) == 1 ? units : 0;
}

/* All experts with one activation row. Where the units of the others begin to be counted. */
static unit_counter multiply_ones(const grouped *g)
{
    team_work work = team_begin(g->self, (team_parts){g->route->experts, one_units, g});
    while (team_next(&work)) {
        size_t rows = g->weights->first.rows;
        size_t end = work.end * ONE_ROWS;
        multiply_one(g, work.part, work.begin * ONE_ROWS, end < rows ? end : rows);
    }
    return (unit_counter){work.taken, work.pieces};
}

static size_t blocks_of(const matrix *weights)
{
    return (weights->rows + FIXED_MULTIPLY_ROWS - 1) / FIXED_MULTIPLY_ROWS;
}

/* A unit's weights. */
static matrix unit_weights(const matrix *whole, size_t unit)
{
    size_t first = unit % blocks_of(whole) * FIXED_MULTIPLY_ROWS;
    size_t left = whole->rows - first;
    return matrix_slice(whole, first, left < FIXED_MULTIPLY_ROWS ? left : FIXED_MULTIPLY_ROWS);
}

/* The weights that this thread will probably multiply next, `unit` being counted from this expert
 * on: its own or those of the next expert with a batch. */
static fixed_ahead next_weights(const grouped *g, size_t expert, size_t unit)
{
    size_t units = parts_of(g->route, expert) * blocks_of(&g->weights->first);
    if (unit >= units) {
        unit -= units;
        do
            expert++;
        while (expert < g->route->experts && batch_of(g->route, expert) < 2);
    }
    if (expert >= g->route->experts)
        return (fixed_ahead){NULL, NULL, 0};
    matrix whole = matrix_stack_at(g->weights, expert);
    matrix next = unit_weights(&whole, unit);
    return (fixed_ahead){next.data, next.scales, next.rows * next.columns / 2};
}

/* An expert with several activation rows unpacks its weights once for every part of them. Threads
 * take units as they come to them. */
static void multiply_many(const grouped *g, size_t expert, unit_counter *counter)
{
    matrix whole = matrix_stack_at(g->weights, expert);
    size_t blocks = blocks_of(&whole);
    size_t units = parts_of(g->route, expert) * blocks;
    for (; counter->taken - counter->before < units; counter->taken = team_take(g->self)) {
        size_t unit = counter->taken - counter->before;
        size_t first = unit % blocks * FIXED_MULTIPLY_ROWS;
        part p = part_at(g->route, expert, unit / blocks);
        matrix own = unit_weights(&whole, unit);
        fixed_batch x = {prepared_at(g, p.place), p.rows};
        kernel()->fixed.multiply(own.data, own.scales, own.rows, own.columns, x, g->digits,
                                 g->scratch, next_weights(g, expert, unit + g->self->size),
                                 g->y + p.place * whole.rows + first, whole.rows);
        add_biases(g, expert, p, first, own.rows);
    }
    counter->before += units;
}

void op_fixed_grouped_linear(const team *self, const routing *route, const matrix_stack *weights,
                             number_format bias_format, const uint8_t *bias, const uint8_t *x,
                             unsigned digits, float *y, void *scratch)
{
    grouped g = {self, route, weights, bias_format, bias, x, digits, y, scratch};
    assert(weights->first.format == NUMBER_MXFP4);
    unit_counter counter = multiply_ones(&g);
    for (size_t expert = 0; expert < route->experts; expert++)
        if (batch_of(route, expert) > 1)
            multiply_many(&g, expert, &counter);
    team_wait(self);
}

/* ---- products, with their activation --------------------------------------------------------- */

/* Rows of weights that make a block of z. */
enum { GATED_ROWS = 2 * FIXED_COLUMNS };

typedef struct gated {
    grouped linear; /* without y */
    swiglu_shape shape;
    uint8_t *z;
    float *strip_h; /* this thread's own: [rows][FIXED_MULTIPLY_ROWS] */
    float *block_z; /* and [rows][FIXED_COLUMNS] */
} gated;

/* A block of z that a thread has taken, of those of all parts of all experts. */
typedef struct taken_block {
    size_t expert; /* their number when none is left */
    size_t before; /* the number of the expert's first block */
    part of;
    matrix weights; /* of the block */
    size_t first;   /* of their rows */
} taken_block;

static void take_block(const grouped *g, taken_block *out)
{
    size_t taken = team_take(g->self);
    size_t rows = g->weights->first.rows;
    size_t blocks = fixed_blocks(rows / 2);
    for (; out->expert < g->route->experts; out->expert++) {
        size_t own = parts_of(g->route, out->expert) * blocks;
        if (taken - out->before < own) {
            matrix whole = matrix_stack_at(g->weights, out->expert);
            size_t number = taken - out->before;
            out->of = part_at(g->route, out->expert, number / blocks);
            out->first = number % blocks * GATED_ROWS;
            size_t left = rows - out->first;
            out->weights = matrix_slice(&whole, out->first, left < GATED_ROWS ? left : GATED_ROWS);
            return;
        }
        out->before += own;
    }
}

/* A strip of a block's weights: the rows from `from` on that `multiply` takes at once. */
static matrix strip_at(const taken_block *of, size_t from)
{
    size_t left = of->weights.rows - from;
    return matrix_slice(&of->weights, from,
                        left < FIXED_MULTIPLY_ROWS ? left : FIXED_MULTIPLY_ROWS);
}

/* z of a strip. */
static void multiply_strip(const gated *g, const taken_block *own, size_t from, fixed_ahead ahead)
{
    const grouped *linear = &g->linear;
    matrix strip = strip_at(own, from);
    const uint8_t *x = prepared_at(linear, own->of.place);
    if (batch_of(linear->route, own->expert) == 1)
        kernel()->fixed.dot_rows(strip.data, strip.scales, strip.rows, x, strip.columns,
                                 linear->digits, g->strip_h);
    else
        kernel()->fixed.multiply(strip.data, strip.scales, strip.rows, strip.columns,
                                 (fixed_batch){x, own->of.rows}, linear->digits, linear->scratch,
                                 ahead, g->strip_h, FIXED_MULTIPLY_ROWS);
    if (linear->bias != NULL)
        numbers_add(linear->bias_format, linear->bias,
                    own->expert * linear->weights->first.rows + own->first + from, strip.rows,
                    own->of.rows, g->strip_h, FIXED_MULTIPLY_ROWS);
    for (size_t b = 0; b < own->of.rows; b++)
        kernel()->swiglu(g->strip_h + b * FIXED_MULTIPLY_ROWS, strip.rows / 2, g->shape.alpha,
                         g->shape.limit, g->block_z + b * FIXED_COLUMNS + from / 2);
}

/* What is multiplied behind a strip: the block's next one or the next block's first. */
static fixed_ahead strip_ahead(const gated *g, const taken_block *own, size_t from,
                               const taken_block *next)
{
    from += FIXED_MULTIPLY_ROWS;
    if (from >= own->weights.rows) {
        own = next;
        from = 0;
    }
    if (own->expert >= g->linear.route->experts)
        return (fixed_ahead){NULL, NULL, 0};
    matrix strip = strip_at(own, from);
    return (fixed_ahead){strip.data, strip.scales, strip.rows * strip.columns / 2};
}

/* Prepares a block of z for the next operation. */
static void prepare_block(const gated *g, const taken_block *own)
{
    fixed_columns columns = {g->linear.weights->first.rows / 2, own->first / 2,
                             own->weights.rows / 2};
    unsigned digits = g->linear.digits;
    for (size_t t = 0; t < fixed_tiles(own->of.rows); t++) {
        size_t begin = fixed_tile_begin(own->of.rows, t);
        size_t count = fixed_tile_begin(own->of.rows, t + 1) - begin;
        const float *rows[FIXED_TILE_ROWS] = {NULL};
        for (size_t b = 0; b < count; b++)
            rows[b] = g->block_z + (begin + b) * FIXED_COLUMNS;
        prepare_columns(rows, count, own->of.rows, columns, digits,
                        g->z + (own->of.place + begin) * fixed_row_bytes(columns.n, digits));
    }
}

void op_fixed_gated(const team *self, const routing *route, const matrix_stack *weights,
                    number_format bias_format, const uint8_t *bias, const uint8_t *x,
                    unsigned digits, swiglu_shape shape, uint8_t *z, void *scratch)
{
    float *h = (float *)(void *)((uint8_t *)scratch + op_fixed_bytes());
    gated g = {{self, route, weights, bias_format, bias, x, digits, NULL, scratch},
               shape,
               z,
               h,
               h + (size_t)OP_FIXED_BATCH * FIXED_MULTIPLY_ROWS};
    taken_block own = {0};
    assert(weights->first.format == NUMBER_MXFP4);
    take_block(&g.linear, &own);
    while (own.expert < route->experts) {
        taken_block next = own;
        take_block(&g.linear, &next);
        for (size_t from = 0; from < own.weights.rows; from += FIXED_MULTIPLY_ROWS)
            multiply_strip(&g, &own, from, strip_ahead(&g, &own, from, &next));
        prepare_block(&g, &own);
        own = next;
    }
    team_wait(self);
}
