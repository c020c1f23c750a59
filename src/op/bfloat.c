#include "op/bfloat.h"

#include <assert.h>
#include <string.h>

#include "kernel/kernel.h"

enum { UNIT = BFLOAT_ROWS /* that a thread takes at a time */, DOT_ROWS = 32 /* read together */ };

/* The kernels that pay; when none do, those that more processors have instructions for. */
static const bfloat_table *kernels(void)
{
    const bfloat_tables *tables = &kernel()->bfloat;
    return tables->tiles.pays ? &tables->tiles : &tables->lanes;
}

bool op_bfloat_pays(void)
{
    return kernels()->pays;
}

bool op_bfloat_takes(const matrix *weights)
{
    return !weights->transposed &&
           (weights->format == NUMBER_BF16 || weights->format == NUMBER_BF16_PACKED);
}

/* Numbers of a rounded row. */
static size_t row_numbers(size_t columns)
{
    return bfloat_blocks(columns) * BFLOAT_BLOCK;
}

/* Rounds blocks [begin, end) of a group of rows of n numbers. */
static void round_group(const float *const *x, size_t count, size_t n, size_t begin, size_t end,
                        uint16_t *group)
{
    const float *rows[BFLOAT_MOST_GROUP];
    size_t first = begin * BFLOAT_BLOCK;
    size_t last = end * BFLOAT_BLOCK < n ? end * BFLOAT_BLOCK : n;
    for (size_t b = 0; b < count; b++)
        rows[b] = x[b] + first;
    kernels()->round(rows, count, last - first, BFLOAT_DENSE, group + first * count);
}

void op_bfloat_round(const team *self, const float *x, size_t rows, size_t n, uint16_t *out)
{
    size_t most = kernels()->group;
    size_t groups = (rows + most - 1) / most;
    size_t blocks = bfloat_blocks(n);
    size_t begin;
    size_t end;
    team_share(self, groups * blocks, 1, &begin, &end);
    while (begin < end) { /* up to the end of a group */
        size_t first = begin / blocks * most;
        size_t block = begin % blocks;
        size_t stop = blocks - block < end - begin ? blocks : block + end - begin;
        size_t count = rows - first < most ? rows - first : most;
        const float *in[BFLOAT_MOST_GROUP];
        for (size_t b = 0; b < count; b++)
            in[b] = x + (first + b) * n;
        round_group(in, count, n, block, stop, out + first * row_numbers(n));
        begin += stop - block;
    }
    team_wait(self);
}

/* ---- one activation row ---------------------------------------------------------------------- */

/* Of a packed matrix, `first` begins a group. */
static void dot(const matrix *weights, size_t first, size_t rows, const uint16_t *x, float *y)
{
    const bfloat_table *table = kernels();
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

static void take_packed(const matrix *weights, size_t first, size_t rows, bfloat_place to)
{
    while (to.row < rows) {
        size_t row = first + to.row;
        size_t inside = row % DENSE_GROUP_ROWS;
        size_t left = rows - to.row;
        size_t count = DENSE_GROUP_ROWS - inside < left ? DENSE_GROUP_ROWS - inside : left;
        kernels()->take_packed(weights->data, &weights->groups[row / DENSE_GROUP_ROWS], inside,
                               count, weights->columns, to);
        to.row += count;
    }
}

/* Unpacks a unit to panels. */
static void take_unit(const matrix *weights, unit of, uint16_t *panels)
{
    const bfloat_table *table = kernels();
    size_t n = weights->columns;
    for (size_t r = 0; r < of.rows; r += table->panel_rows) {
        size_t row = of.first + r;
        size_t count = of.rows - r < table->panel_rows ? of.rows - r : table->panel_rows;
        bfloat_place to = {panels + r * row_numbers(n), table->panel_rows, 0};
        if (weights->format == NUMBER_BF16)
            table->take_bf16(weights->data + 2 * row * n, count, n, to);
        else
            take_packed(weights, row, count, to);
    }
}

/* What reading a unit will read. */
static bfloat_ahead unit_ahead(const matrix *weights, unit of)
{
    size_t numbers = of.rows * weights->columns;
    size_t first = of.first * weights->columns;
    if (weights->format == NUMBER_MXFP4)
        return (bfloat_ahead){weights->data + first / 2, weights->scales + first / 32, numbers / 2};
    if (weights->format == NUMBER_BF16_PACKED)
        return (bfloat_ahead){
            weights->data + (size_t)weights->groups[of.first / DENSE_GROUP_ROWS].line * DENSE_LINE,
            NULL, numbers + numbers / 2};
    return (bfloat_ahead){weights->data + 2 * first, NULL, 2 * numbers};
}

/* A batch of activation rows, in groups. */
typedef struct rounded_rows {
    const uint16_t *rows;
    size_t count;
} rounded_rows;

/* Part `index` of `parts` parts of about the same size, in whole groups. */
static rounded_rows part_of(rounded_rows all, size_t index, size_t parts, size_t numbers,
                            size_t *begin)
{
    size_t most = kernels()->group;
    size_t groups = (all.count + most - 1) / most;
    size_t end = groups * (index + 1) / parts * most;
    *begin = groups * index / parts * most;
    return (rounded_rows){all.rows + *begin * numbers,
                          (end < all.count ? end : all.count) - *begin};
}

/* The products of a unit of MXFP4, unpacked by the way, with at most the table's batch of rows. */
static void multiply_coded(const matrix *weights, unit of, rounded_rows x, bfloat_ahead ahead,
                           float *sums, float *y, size_t y_stride)
{
    size_t n = weights->columns;
    kernels()->multiply_mxfp4(weights->data + of.first * n / 2, weights->scales + of.first * n / 32,
                              of.rows, n, x.rows, x.count, ahead, sums, y, y_stride);
}

/*
 * The products of a unit with a batch of activation rows, in parts that stay near while all of the
 * unit meets them. y begins at the unit's first row. The first part asks for what lies ahead.
 */
static void multiply_unit(const matrix *weights, unit of, rounded_rows x, bfloat_ahead ahead,
                          float *y, size_t y_stride, void *scratch)
{
    const bfloat_table *table = kernels();
    size_t n = weights->columns;
    size_t parts = (x.count + table->batch - 1) / table->batch;
    uint16_t *panels = scratch;
    float *sums = (float *)(void *)(panels + UNIT * row_numbers(n));
    bool coded = weights->format == NUMBER_MXFP4;
    if (!coded)
        take_unit(weights, of, panels);
    for (size_t i = 0; i < parts; i++) {
        size_t begin;
        rounded_rows part = part_of(x, i, parts, row_numbers(n), &begin);
        float *to = y + begin * y_stride;
        if (coded)
            multiply_coded(weights, of, part, ahead, sums, to, y_stride);
        else
            table->multiply(panels, of.rows, part.rows, part.count, bfloat_blocks(n), ahead, sums,
                            to, y_stride);
        ahead = (bfloat_ahead){0};
    }
}

/* ---- maps ------------------------------------------------------------------------------------ */

static void add_bias(const linear_map *map, unit of, size_t batch, size_t y_stride)
{
    for (size_t b = 0; b < batch && map->bias != NULL; b++)
        for (size_t row = of.first; row < of.first + of.rows; row++)
            map->y[b * y_stride + row] += map->bias[row];
}

static size_t dot_units(const matrix *weights)
{
    return (weights->rows + DOT_ROWS - 1) / DOT_ROWS;
}

/* Units [begin, end) of the products of one activation row. Returns their rows. */
static unit dot_part(const matrix *weights, size_t begin, size_t end, const uint16_t *x, float *y)
{
    unit part = {begin * DOT_ROWS, 0};
    size_t after = end * DOT_ROWS < weights->rows ? end * DOT_ROWS : weights->rows;
    part.rows = after - part.first;
    dot(weights, part.first, part.rows, x, y + part.first);
    return part;
}

static size_t dot_units_of_map(const void *maps, size_t map)
{
    return dot_units(((const linear_map *)maps)[map].weights);
}

/* One activation row: all weights are read once, in order. */
static void dot_maps(const team *self, const linear_map *maps, size_t count, const uint16_t *x)
{
    team_work work = team_begin(self, (team_parts){count, dot_units_of_map, maps});
    while (team_next(&work)) {
        const linear_map *map = &maps[work.part];
        add_bias(map, dot_part(map->weights, work.begin, work.end, x, map->y), 1, 0);
    }
}

/* A unit that this thread took of the matrices that an operation multiplies, of which it goes
 * through the units in order. */
typedef struct taken_unit {
    size_t index;  /* of the matrix; their number when none is left */
    size_t before; /* the number of its first unit */
    matrix weights;
    unit part;
} taken_unit;

/* Whether number `taken` of all units is one of the matrix that is next; goes behind it if not. */
static bool unit_is_of(const matrix *weights, size_t taken, taken_unit *out)
{
    if (taken - out->before >= units_of(weights)) {
        out->before += units_of(weights);
        return false;
    }
    out->weights = *weights;
    out->part = unit_at(weights, taken - out->before);
    return true;
}

/* Takes the next unit of some maps. */
static void take_of_maps(const team *self, const linear_map *maps, size_t count, taken_unit *out)
{
    size_t taken = team_take(self);
    while (out->index < count && !unit_is_of(maps[out->index].weights, taken, out))
        out->index++;
}

void op_bfloat_linear_maps(const team *self, const linear_map *maps, size_t count,
                           const uint16_t *x, size_t batch, size_t y_stride, void *scratch)
{
    taken_unit own = {0};
    if (batch == 1) {
        dot_maps(self, maps, count, x);
        team_wait(self);
        return;
    }
    take_of_maps(self, maps, count, &own);
    while (own.index < count) {
        taken_unit next = own;
        const linear_map *map = &maps[own.index];
        take_of_maps(self, maps, count, &next);
        multiply_unit(&own.weights, own.part, (rounded_rows){x, batch},
                      next.index < count ? unit_ahead(&next.weights, next.part) : (bfloat_ahead){0},
                      map->y + own.part.first, y_stride, scratch);
        add_bias(map, own.part, batch, y_stride);
        own = next;
    }
    team_wait(self);
}

/* ---- experts --------------------------------------------------------------------------------- */

static size_t batch_of(const routing *route, size_t expert)
{
    return route->start[expert + 1] - route->start[expert];
}

/* Rounds group g of an expert's rows. */
static void prepare_group(const routing *route, size_t expert, size_t g, bfloat_rows x,
                          uint16_t *out)
{
    size_t most = kernels()->group;
    size_t place = route->start[expert] + g * most;
    size_t left = route->start[expert + 1] - place;
    size_t count = left < most ? left : most;
    const float *in[BFLOAT_MOST_GROUP];
    for (size_t b = 0; b < count; b++)
        in[b] = x.rows + (x.index == NULL ? place + b : x.index[place + b]) * x.n;
    kernels()->round(in, count, x.n, kernels()->coded, out + place * row_numbers(x.n));
}

void op_bfloat_prepare(const team *self, const routing *route, bfloat_rows x, uint16_t *out)
{
    size_t taken = team_take(self);
    size_t before = 0; /* groups of the experts before this one */
    for (size_t expert = 0; expert < route->experts; expert++) {
        size_t groups = (batch_of(route, expert) + kernels()->group - 1) / kernels()->group;
        for (; taken - before < groups; taken = team_take(self))
            prepare_group(route, expert, taken - before, x, out);
        before += groups;
    }
    team_wait(self);
}

/* What a grouped linear operation multiplies. */
typedef struct grouped {
    const routing *route;
    const matrix_stack *weights;
    number_format bias_format;
    const uint8_t *bias;
    const uint16_t *x;
    float *y;
} grouped;

/* Adds an expert's biases to rows of a part. */
static void add_biases(const grouped *g, size_t expert, unit of)
{
    size_t rows = g->weights->first.rows;
    if (g->bias != NULL)
        numbers_add(g->bias_format, g->bias, expert * rows + of.first, of.rows,
                    batch_of(g->route, expert), g->y + g->route->start[expert] * rows + of.first,
                    rows);
}

static size_t dot_units_of_expert(const void *of, size_t expert)
{
    const grouped *g = of;
    return batch_of(g->route, expert) == 1 ? dot_units(&g->weights->first) : 0;
}

/* All experts with one activation row. Returns the work, done. */
static team_work dot_experts(const team *self, const grouped *g)
{
    size_t numbers = row_numbers(g->weights->first.columns);
    team_work work = team_begin(self, (team_parts){g->route->experts, dot_units_of_expert, g});
    while (team_next(&work)) {
        size_t place = g->route->start[work.part];
        matrix one = matrix_stack_at(g->weights, work.part);
        add_biases(g, work.part,
                   dot_part(&one, work.begin, work.end, g->x + place * numbers,
                            g->y + place * g->weights->first.rows));
    }
    return work;
}

/* Goes to unit number `taken` of the experts with several rows. */
static void go_to_unit(const grouped *g, size_t taken, taken_unit *out)
{
    for (; out->index < g->route->experts; out->index++) {
        matrix one = matrix_stack_at(g->weights, out->index);
        if (batch_of(g->route, out->index) > 1 && unit_is_of(&one, taken, out))
            return;
    }
}

void op_bfloat_grouped_linear(const team *self, const routing *route, const matrix_stack *weights,
                              number_format bias_format, const uint8_t *bias, const uint16_t *x,
                              float *y, void *scratch)
{
    grouped g = {route, weights, bias_format, bias, x, y};
    size_t rows = weights->first.rows;
    size_t numbers = row_numbers(weights->first.columns);
    assert(weights->first.format == NUMBER_MXFP4);
    team_work ones = dot_experts(self, &g);
    taken_unit own = {.before = ones.pieces};
    go_to_unit(&g, ones.taken, &own);
    while (own.index < route->experts) {
        taken_unit next = own;
        size_t place = route->start[own.index];
        go_to_unit(&g, team_take(self), &next);
        multiply_unit(
            &own.weights, own.part, (rounded_rows){x + place * numbers, batch_of(route, own.index)},
            next.index < route->experts ? unit_ahead(&next.weights, next.part) : (bfloat_ahead){0},
            y + place * rows + own.part.first, rows, scratch);
        add_biases(&g, own.index, own.part);
        own = next;
    }
    team_wait(self);
}

/* ---- experts, with their activation ---------------------------------------------------------- */

/* Rows of weights that make a block of z. */
enum { GATED_ROWS = 2 * BFLOAT_BLOCK };

typedef struct gated {
    grouped linear; /* without y */
    swiglu_shape shape;
    uint16_t *z;
    float *sums;    /* this thread's own, and of a block */
    float *block_h; /* [rows][GATED_ROWS] */
    float *block_z; /* [rows][BFLOAT_BLOCK] */
} gated;

/* A block of an expert's z that a thread has taken, of the blocks counted through all experts. */
typedef struct taken_block {
    size_t expert; /* their number when none is left */
    size_t before; /* the number of its first block */
    matrix weights;
    unit rows; /* of weights, of the whole block */
} taken_block;

static void take_block(const team *self, const grouped *g, taken_block *out)
{
    size_t taken = team_take(self);
    size_t blocks = bfloat_blocks(g->weights->first.rows / 2);
    for (; out->expert < g->route->experts; out->expert++) {
        if (batch_of(g->route, out->expert) == 0)
            continue;
        if (taken - out->before < blocks) {
            size_t first = (taken - out->before) * GATED_ROWS;
            size_t left = g->weights->first.rows - first;
            out->weights = matrix_stack_at(g->weights, out->expert);
            out->rows = (unit){first, left < GATED_ROWS ? left : GATED_ROWS};
            return;
        }
        out->before += blocks;
    }
}

/* h of a block, for a part of the expert's activation rows. ahead: what is read behind it. */
static void multiply_block(const gated *g, const taken_block *own, rounded_rows x,
                           bfloat_ahead ahead)
{
    for (size_t done = 0; done < own->rows.rows; done += UNIT) {
        size_t left = own->rows.rows - done;
        unit of = {own->rows.first + done, left < UNIT ? left : UNIT};
        unit behind = {of.first + UNIT, left < 2 * UNIT ? left - of.rows : UNIT};
        float *h = g->block_h + done;
        if (x.count == 1)
            dot(&own->weights, of.first, of.rows, x.rows, h);
        else
            multiply_coded(&own->weights, of, x,
                           behind.rows > 0 ? unit_ahead(&own->weights, behind) : ahead, g->sums, h,
                           GATED_ROWS);
    }
}

/* z of a block, from h of `count` activation rows, the first at `place`, where a group begins. */
static void activate_block(const gated *g, const taken_block *own, size_t place, size_t count)
{
    const grouped *linear = &g->linear;
    size_t rows = own->weights.rows;
    size_t n = own->rows.rows / 2;
    size_t most = kernels()->group;
    if (linear->bias != NULL)
        numbers_add(linear->bias_format, linear->bias, own->expert * rows + own->rows.first,
                    own->rows.rows, count, g->block_h, GATED_ROWS);
    for (size_t b = 0; b < count; b += most) {
        size_t group = count - b < most ? count - b : most;
        const float *in[BFLOAT_MOST_GROUP];
        for (size_t i = 0; i < group; i++) {
            float *z = g->block_z + (b + i) * BFLOAT_BLOCK;
            kernel()->swiglu(g->block_h + (b + i) * GATED_ROWS, n, g->shape.alpha, g->shape.limit,
                             z);
            in[i] = z;
        }
        kernels()->round(in, group, n, kernels()->coded,
                         g->z + (place + b) * row_numbers(rows / 2) + own->rows.first / 2 * group);
    }
}

void op_bfloat_gated(const team *self, const routing *route, const matrix_stack *weights,
                     number_format bias_format, const uint8_t *bias, const uint16_t *x,
                     swiglu_shape shape, uint16_t *z, void *scratch)
{
    size_t most = op_bfloat_gated_rows(route->rows);
    float *sums = scratch;
    float *h = sums + BFLOAT_SUMS(most);
    gated g = {
        {route, weights, bias_format, bias, x, NULL}, shape, z, sums, h, h + most * GATED_ROWS};
    size_t numbers = row_numbers(weights->first.columns);
    taken_block own = {0};
    assert(weights->first.format == NUMBER_MXFP4);
    take_block(self, &g.linear, &own);
    while (own.expert < route->experts) {
        taken_block next = own;
        size_t place = route->start[own.expert];
        rounded_rows batch = {x + place * numbers, batch_of(route, own.expert)};
        size_t parts = (batch.count + kernels()->batch - 1) / kernels()->batch;
        take_block(self, &g.linear, &next);
        for (size_t i = 0; i < parts; i++) {
            size_t begin;
            rounded_rows part = part_of(batch, i, parts, numbers, &begin);
            bfloat_ahead ahead = {0};
            if (i + 1 == parts && next.expert < route->experts)
                ahead = unit_ahead(&next.weights, (unit){next.rows.first, UNIT});
            multiply_block(&g, &own, part, ahead);
            activate_block(&g, &own, place + begin, part.count);
        }
        own = next;
    }
    team_wait(self);
}
