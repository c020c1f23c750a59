/* Products of bfloat16 numbers with many activation rows, in tiles, with AMX. */
#include "kernel/x86/bfloat_bytes.h"
#include "kernel/x86/bfloat_tiles.h"

/* A pair of tiles: how many rows each has, the second possibly none. */
typedef struct pair_rows {
    size_t of[PAIR];
} pair_rows;

INLINE pair_rows pair_of(size_t rows)
{
    return (pair_rows){{rows < TILE ? rows : TILE, rows <= TILE         ? 0
                                                   : rows < PAIR * TILE ? rows - TILE
                                                                        : TILE}};
}

/* ---- cuts of MXFP4 --------------------------------------------------------------------------- */

/*
 * MXFP4 rows are unpacked a cut at a time, into one of two buffers that stay in the nearest cache;
 * the cut in the other meets all activation rows meanwhile, a step of it and some unpacking in
 * turns.
 */
enum { CUT_BLOCKS = 2, CUT_STEPS = CUT_BLOCKS * BFLOAT_BLOCK_STEPS };

typedef struct cut {
    _Alignas(64) uint16_t steps[CUT_STEPS][PAIR][TILE][STEP];
} cut;

/* What remains to be unpacked of a cut. */
typedef struct unpacking {
    const coded_rows *from;
    cut *to;
    size_t block;     /* the next, */
    size_t end;       /* unless it is this one, */
    coded_block next; /* of the next row, */
    size_t rows;      /* one of so many that remain, */
    uint16_t *steps;  /* and where its steps go */
} unpacking;

INLINE void begin_block(unpacking *what, size_t block)
{
    what->block = block;
    if (block >= what->end)
        return;
    what->next = block_at(what->from, 0, block);
    what->rows = what->from->rows;
    what->steps = what->to->steps[block % CUT_BLOCKS * BFLOAT_BLOCK_STEPS][0][0];
}

static unpacking unpacking_of(const coded_rows *from, size_t block, cut *to)
{
    size_t blocks = bfloat_blocks(from->groups * 32);
    unpacking what = {
        .from = from, .to = to, .end = block + CUT_BLOCKS < blocks ? block + CUT_BLOCKS : blocks};
    begin_block(&what, block);
    return what;
}

/* Puts the next steps away. */
INLINE void put_next(unpacking *what, const __m512i steps[4])
{
    UNROLL(4)
    for (size_t k = 0; k < BFLOAT_BLOCK_STEPS; k++)
        _mm512_store_si512(what->steps + k * PAIR * TILE_NUMBERS, steps[k]);
    what->next.codes += what->from->groups * 16;
    what->next.scales += what->from->groups;
    what->steps += STEP;
    if (--what->rows == 0)
        begin_block(what, what->block + 1);
}

/* Unpacks up to `count` blocks of rows without extreme scales. */
INLINE void unpack_some(const byte_tables *tables, unpacking *what, size_t count)
{
    for (; count > 0 && what->block < what->end; count--) {
        __m512i steps[BFLOAT_BLOCK_STEPS];
        unpack_block(tables, what->next, steps);
        put_next(what, steps);
    }
}

/* Unpacks all that remains of any rows. */
static void unpack_cut(unpacking *what)
{
    const byte_tables tables = tables_by_bytes();
    if (what->from->plain)
        unpack_some(&tables, what, SIZE_MAX);
    while (what->block < what->end) {
        __m512i steps[BFLOAT_BLOCK_STEPS];
        unpack_extreme(what->next, steps);
        put_next(what, steps);
    }
}

/* What is done in every step by the way. */
typedef struct by_the_way {
    bfloat_ahead ahead;
    size_t lines;     /* to bring near */
    unpacking unpack; /* or nothing, without `blocks`: */
    size_t blocks;    /* to unpack */
} by_the_way;

/* Steps of one or two tiles of weights, which lie so many numbers apart. */
typedef struct weight_steps {
    const uint16_t *at;
    size_t distance;
    size_t second; /* how far behind the first tile the second is */
    pair_rows rows;
} weight_steps;

/* Steps of one or two groups, which begin `second` numbers apart. */
typedef struct group_steps {
    const uint16_t *at;
    size_t second;
    pair_rows rows;
} group_steps;

/* Sums [w][x][16][16] of the tiles' rows. */
typedef struct pair_sums {
    _Alignas(64) float of[PAIR][PAIR][TILE][TILE];
} pair_sums;

INLINE void load_sums(bool two_weights, bool two_groups, bool first, const pair_sums *sums)
{
    if (first) {
        _tile_zero(SUMS_00);
        if (two_groups)
            _tile_zero(SUMS_01);
        if (two_weights)
            _tile_zero(SUMS_10);
        if (two_weights && two_groups)
            _tile_zero(SUMS_11);
        return;
    }
    _tile_loadd(SUMS_00, sums->of[0][0], 64);
    if (two_groups)
        _tile_loadd(SUMS_01, sums->of[0][1], 64);
    if (two_weights)
        _tile_loadd(SUMS_10, sums->of[1][0], 64);
    if (two_weights && two_groups)
        _tile_loadd(SUMS_11, sums->of[1][1], 64);
}

INLINE void store_sums(bool two_weights, bool two_groups, pair_sums *sums)
{
    _tile_stored(SUMS_00, sums->of[0][0], 64);
    if (two_groups)
        _tile_stored(SUMS_01, sums->of[0][1], 64);
    if (two_weights)
        _tile_stored(SUMS_10, sums->of[1][0], 64);
    if (two_weights && two_groups)
        _tile_stored(SUMS_11, sums->of[1][1], 64);
}

/* Adds the products of some steps. Activations are loaded past the nearest cache, which weights and
 * sums need. */
INLINE void add_tiles(weight_steps w, bool two_weights, group_steps x, bool two_groups,
                      size_t steps, bool first, pair_sums *sums, by_the_way *more)
{
    size_t first_stride = 2 * x.rows.of[0];
    size_t second_stride = 2 * x.rows.of[1];
    const byte_tables tables = tables_by_bytes();
    unpacking unpack = more->unpack;
    load_sums(two_weights, two_groups, first, sums);
    for (size_t step = 0; step < steps; step++) {
        const uint16_t *weights = w.at + step * w.distance;
        _tile_loadd(WEIGHTS_0, weights, 2 * STEP);
        _tile_stream_loadd(ACTIVATIONS_0, x.at + step * LANES * first_stride, 2 * first_stride);
        _tile_dpbf16ps(SUMS_00, WEIGHTS_0, ACTIVATIONS_0);
        if (two_groups) {
            _tile_stream_loadd(ACTIVATIONS_1, x.at + x.second + step * LANES * second_stride,
                               2 * second_stride);
            _tile_dpbf16ps(SUMS_01, WEIGHTS_0, ACTIVATIONS_1);
        }
        if (two_weights) {
            _tile_loadd(WEIGHTS_1, weights + w.second, 2 * STEP);
            _tile_dpbf16ps(SUMS_10, WEIGHTS_1, ACTIVATIONS_0);
        }
        if (two_weights && two_groups)
            _tile_dpbf16ps(SUMS_11, WEIGHTS_1, ACTIVATIONS_1);
        fetch(&more->ahead, more->lines);
        if (more->blocks > 0)
            unpack_some(&tables, &unpack, more->blocks);
    }
    more->unpack = unpack;
    store_sums(two_weights, two_groups, sums);
}

/* The same for any number of them. */
static void add_steps(weight_steps w, group_steps x, size_t steps, bool first, pair_sums *sums,
                      by_the_way *more)
{
    bool two_weights = w.rows.of[1] > 0;
    bool two_groups = x.rows.of[1] > 0;
    if (two_weights && two_groups)
        add_tiles(w, true, x, true, steps, first, sums, more);
    else if (two_weights)
        add_tiles(w, true, x, false, steps, first, sums, more);
    else if (two_groups)
        add_tiles(w, false, x, true, steps, first, sums, more);
    else
        add_tiles(w, false, x, false, steps, first, sums, more);
}

/* Groups of activation rows, one behind the other. */
typedef struct group_rows {
    const uint16_t *x;
    size_t count; /* rows */
    size_t steps;
} group_rows;

static size_t pairs_of(const group_rows *all)
{
    return (all->count + PAIR * TILE - 1) / (PAIR * TILE);
}

/* The steps from `step` on of a pair of groups. */
static group_steps pair_at(const group_rows *all, size_t pair, size_t step)
{
    size_t row = pair * PAIR * TILE;
    pair_rows rows = pair_of(all->count - row);
    size_t group = TILE * all->steps * STEP;
    return (group_steps){all->x + row * all->steps * STEP + step * STEP * rows.of[0],
                         group - step * STEP * rows.of[0] + step * STEP * rows.of[1], rows};
}

/* Writes sums [16 weight rows][count] to y[b * y_stride + r]. */
INLINE void write_products(const float sums[TILE][TILE], size_t rows, size_t count, float *y,
                           size_t y_stride)
{
    const __mmask16 inside = (__mmask16)((1U << rows) - 1U);
    __m512i products[TILE];
    UNROLL(16)
    for (size_t r = 0; r < TILE; r++)
        products[r] = _mm512_load_si512(sums[r]);
    transpose(products);
    UNROLL(16)
    for (size_t b = 0; b < TILE; b++)
        if (b < count)
            _mm512_mask_storeu_epi32(y + b * y_stride, inside, products[b]);
}

static void write_pair(const pair_sums *sums, pair_rows weights, pair_rows activations, float *y,
                       size_t y_stride)
{
    for (size_t w = 0; w < PAIR; w++)
        for (size_t x = 0; x < PAIR; x++)
            write_products(sums->of[w][x], weights.of[w], activations.of[x],
                           y + w * TILE + x * TILE * y_stride, y_stride);
}

static void multiply(const uint16_t *panels, size_t rows, const uint16_t *x, size_t count,
                     size_t blocks, bfloat_ahead ahead, float *scratch, float *y, size_t y_stride)
{
    group_rows all = {x, count, blocks * BFLOAT_BLOCK_STEPS};
    pair_sums *sums = (pair_sums *)(void *)scratch;
    weight_steps w = {panels, TILE_NUMBERS, all.steps * TILE_NUMBERS, pair_of(rows)};
    size_t times = pairs_of(&all) * all.steps;
    by_the_way more = {.ahead = ahead, .lines = (ahead.bytes / 64 + times) / times};
    shape_tiles(TILE);
    for (size_t pair = 0; pair < pairs_of(&all); pair++) {
        group_steps some = pair_at(&all, pair, 0);
        add_steps(w, some, all.steps, true, sums, &more);
        write_pair(sums, w.rows, some.rows, y + pair * PAIR * TILE * y_stride, y_stride);
    }
    _tile_release();
}

/* Multiplies a cut of `steps` steps that begins at step `first`. */
static void multiply_cut(const cut *from, pair_rows rows, const group_rows *all, size_t first,
                         size_t steps, pair_sums *sums, by_the_way *more)
{
    weight_steps w = {from->steps[0][0][0], PAIR * TILE_NUMBERS, TILE_NUMBERS, rows};
    for (size_t pair = 0; pair < pairs_of(all); pair++)
        add_steps(w, pair_at(all, pair, first), steps, first == 0, sums + pair, more);
}

static void multiply_mxfp4(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                           size_t columns, const uint16_t *x, size_t count, bfloat_ahead ahead,
                           float *scratch, float *y, size_t y_stride)
{
    size_t all_blocks = bfloat_blocks(columns);
    coded_rows weights = coded_rows_at(blocks, scales, rows, columns);
    group_rows all = {x, count, all_blocks * BFLOAT_BLOCK_STEPS};
    pair_sums *sums = (pair_sums *)(void *)scratch;
    size_t times = pairs_of(&all) * all.steps;
    by_the_way more = {.ahead = ahead, .lines = (ahead.bytes / 64 + times) / times};
    cut cuts[2];
    unpacking begin = unpacking_of(&weights, 0, &cuts[0]);
    unpack_cut(&begin);
    shape_tiles(TILE);
    for (size_t first = 0, i = 0; first < all_blocks; first += CUT_BLOCKS, i++) {
        size_t left = all_blocks - first;
        size_t steps = (left < CUT_BLOCKS ? left : CUT_BLOCKS) * BFLOAT_BLOCK_STEPS;
        size_t turns = pairs_of(&all) * steps;
        more.unpack = unpacking_of(&weights, first + CUT_BLOCKS, &cuts[(i + 1) % 2]);
        more.blocks = weights.plain ? (CUT_BLOCKS * rows + turns - 1) / turns : 0;
        multiply_cut(&cuts[i % 2], pair_of(rows), &all, first * BFLOAT_BLOCK_STEPS, steps, sums,
                     &more);
        unpack_cut(&more.unpack);
    }
    for (size_t pair = 0; pair < pairs_of(&all); pair++)
        write_pair(sums + pair, pair_of(rows), pair_at(&all, pair, 0).rows,
                   y + pair * PAIR * TILE * y_stride, y_stride);
    _tile_release();
}

void bfloat_overlay_many_amx(bfloat_table *tiles)
{
    tiles->multiply = multiply;
    tiles->multiply_mxfp4 = multiply_mxfp4;
}
