/*
 * Products of bfloat16 numbers in tiles (bfloat.h), with AMX. TDPBF16PS adds to 16 x 16 sums the
 * products of a step of 16 weight rows and a step of 16 activation rows, even and odd numbers
 * apart, each addition rounded.
 */
#include "kernel/x86/bfloat_steps.h"

enum {
    TILE = 16,                  /* rows of either kind */
    TILE_NUMBERS = TILE * STEP, /* a tile of weights */
    PAIR = 2,                   /* tiles of a kind that are at work together */
};

/* The tiles: sums of weights w and activations x are in 2 w + x. */
#define SUMS_00       0
#define SUMS_01       1
#define SUMS_10       2
#define SUMS_11       3
#define WEIGHTS_0     4
#define WEIGHTS_1     5
#define ACTIVATIONS_0 6
#define ACTIVATIONS_1 7

/* What LDTILECFG reads. Source: Intel's manual, "Intel AMX". */
typedef struct tile_shapes {
    uint8_t palette;
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

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

/*
 * Shapes tiles for full tiles of weights and for `columns` activation rows. It takes as long as a
 * hundred products of tiles: parts of tiles that nothing is in are computed like the others, from
 * whatever lies there, and not looked at.
 */
static void shape_tiles(size_t columns)
{
    tile_shapes shapes = {.palette = 1};
    for (size_t tile = SUMS_00; tile <= ACTIVATIONS_1; tile++) {
        bool weights = tile == WEIGHTS_0 || tile == WEIGHTS_1;
        shapes.rows[tile] = TILE;
        shapes.row_bytes[tile] = (uint16_t)((weights ? LANES : columns) * sizeof(float));
    }
    _tile_loadconfig(&shapes);
}

/* ---- blocks of MXFP4 ------------------------------------------------------------------------- */

/* Rows of codes and scales. */
typedef struct coded_rows {
    const uint8_t *codes;
    const uint8_t *scales;
    size_t rows;
    size_t groups; /* of a row */
    bool plain;    /* no scale is an extreme one */
} coded_rows;

static coded_rows coded_rows_at(const uint8_t *codes, const uint8_t *scales, size_t rows,
                                size_t columns)
{
    size_t groups = columns / 32;
    return (coded_rows){codes, scales, rows, groups, scales_are_plain(scales, rows * groups)};
}

/* A block of a row, of which `left` groups or more are there. */
typedef struct coded_block {
    const uint8_t *codes;
    const uint8_t *scales;
    size_t left;
} coded_block;

INLINE coded_block block_at(const coded_rows *from, size_t r, size_t b)
{
    size_t first = r * from->groups + b * CODED_GROUPS;
    return (coded_block){from->codes + first * 16, from->scales + first,
                         from->groups - b * CODED_GROUPS};
}

/* Its four steps, without extreme scales. */
INLINE void unpack_block(const byte_tables *tables, coded_block from, __m512i steps[4])
{
    if (from.left >= CODED_GROUPS)
        decode_scaled_block(tables, from.codes, from.scales, CODED_GROUPS, steps);
    else
        decode_scaled_block(tables, from.codes, from.scales, from.left, steps);
}

/* The same with any. */
static void unpack_extreme(coded_block from, __m512i steps[4])
{
    _Alignas(64) uint16_t numbers[BFLOAT_BLOCK_STEPS][STEP];
    bfloat_unpack_block(from.codes, from.scales,
                        from.left < CODED_GROUPS ? from.left : CODED_GROUPS, BFLOAT_BYTES, numbers);
    for (size_t k = 0; k < BFLOAT_BLOCK_STEPS; k++)
        steps[k] = _mm512_load_si512(numbers[k]);
}

/* ---- many activation rows -------------------------------------------------------------------- */

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

/* ---- one activation row ---------------------------------------------------------------------- */

/*
 * Weights are unpacked block by block, a pair of tiles at a time, into one of two buffers; the
 * block in the other is multiplied meanwhile.
 */
typedef struct unpacked {
    _Alignas(64) uint16_t steps[BFLOAT_BLOCK_STEPS][PAIR * TILE][STEP];
} unpacked;

static void begin_rows(size_t rows)
{
    _tile_zero(SUMS_00);
    if (rows > TILE)
        _tile_zero(SUMS_10);
}

/* Takes step k of a block; x: the block's numbers. */
INLINE void add_step(const unpacked *from, size_t k, size_t rows, const uint16_t *x)
{
    _tile_loadd(ACTIVATIONS_0, x + k * STEP, 2 * sizeof *x);
    _tile_loadd(WEIGHTS_0, from->steps[k], 2 * STEP);
    _tile_dpbf16ps(SUMS_00, WEIGHTS_0, ACTIVATIONS_0);
    if (rows > TILE) {
        _tile_loadd(WEIGHTS_1, from->steps[k] + TILE, 2 * STEP);
        _tile_dpbf16ps(SUMS_10, WEIGHTS_1, ACTIVATIONS_0);
    }
}

/* Takes a whole block. */
INLINE void add_block(const unpacked *from, size_t rows, const uint16_t *x)
{
    UNROLL(4)
    for (size_t k = 0; k < BFLOAT_BLOCK_STEPS; k++)
        add_step(from, k, rows, x);
}

static void end_rows(size_t rows, float *y)
{
    float sums[PAIR * TILE];
    _tile_stored(SUMS_00, sums, sizeof *sums);
    if (rows > TILE)
        _tile_stored(SUMS_10, sums + TILE, sizeof *sums);
    memcpy(y, sums, rows * sizeof *y);
}

/* ---- BF16 rows ------------------------------------------------------------------------------- */

INLINE size_t rows_at_once(size_t left)
{
    return left < PAIR * TILE ? left : PAIR * TILE;
}

/* A block, beginning at column k, of rows in memory to row `first` and those behind it. */
static void unpack_bf16(const uint8_t *w, size_t rows, size_t first, size_t k, size_t n,
                        unpacked *to)
{
    for (size_t r = 0; r < rows; r++) {
        const uint8_t *row = w + 2 * r * n;
        UNROLL(4)
        for (size_t step = 0; step < BFLOAT_BLOCK_STEPS; step++) {
            size_t column = k + step * STEP;
            _mm512_store_si512(
                to->steps[step][first + r],
                in_order(_mm512_maskz_loadu_epi16(words(behind(n, column)), row + 2 * column)));
        }
    }
}

static void dot_bf16(const uint8_t *w, size_t rows, const uint16_t *x, size_t n, float *y)
{
    size_t blocks = bfloat_blocks(n);
    shape_tiles(1);
    for (size_t r = 0; r < rows; r += PAIR * TILE) {
        size_t count = rows_at_once(rows - r);
        unpacked buffers[2];
        begin_rows(count);
        for (size_t b = 0; b <= blocks; b++) {
            if (b < blocks)
                unpack_bf16(w + 2 * r * n, count, 0, b * BLOCK, n, &buffers[b % 2]);
            if (b > 0)
                add_block(&buffers[(b - 1) % 2], count, x + (b - 1) * BLOCK);
        }
        end_rows(count, y + r);
    }
    _tile_release();
}

/* ---- packed rows ----------------------------------------------------------------------------- */

enum { GROUPS = PAIR * TILE / ROWS }; /* whose rows are read together */

/* A group that is being read. */
typedef struct reader {
    const uint8_t *raw; /* its rows, or NULL when they are packed */
    packed_group group;
    size_t escape; /* the next */
} reader;

static reader read_group(const uint8_t *data, const dense_group *where)
{
    if (where->escapes == DENSE_RAW)
        return (reader){.raw = data + (size_t)where->line * DENSE_LINE};
    return (reader){.group = group_open(data, where)};
}

/* Brings numbers that did not fit to their places in a block that begins at column k. */
static void patch(reader *from, size_t r, size_t k, unpacked *to)
{
    for (; from->escape < from->group.escape_count; from->escape++) {
        uint32_t escape = escape_at(&from->group, from->escape);
        size_t inside = (escape >> 10) - k;
        size_t row = r + (escape >> 8 & 3);
        if (inside >= BLOCK)
            break;
        to->steps[inside / STEP][row][place_in_step(inside)] |= (uint16_t)((escape & 255) << 8);
    }
}

/* A block, beginning at column k, of a group's four rows to row r and those behind it. */
static void unpack_group(reader *from, size_t r, size_t k, size_t n, unpacked *to)
{
    const packed_group *group = &from->group;
    if (from->raw != NULL) {
        unpack_bf16(from->raw, ROWS, r, k, n, to);
        return;
    }
    for (size_t half = 0; half < 2; half++, k += DENSE_BLOCK_COLUMNS) {
        const uint8_t *block = group->blocks + k / DENSE_BLOCK_COLUMNS * DENSE_BLOCK_BYTES;
        UNROLL(4)
        for (size_t row = 0; row < ROWS; row++) {
            __m512i w[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
            if (k < n)
                unpack_steps(block, row, table_load(group->tables + 16 * row), w);
            _mm512_store_si512(to->steps[2 * half][r + row], w[0]);
            _mm512_store_si512(to->steps[2 * half + 1][r + row], w[1]);
        }
        UNROLL(6)
        for (size_t line = 0; line < DENSE_BLOCK_BYTES / DENSE_LINE; line++)
            _mm_prefetch((const char *)block + 2 * DENSE_BLOCK_BYTES + line * DENSE_LINE,
                         _MM_HINT_T0);
    }
    patch(from, r, k - BLOCK, to);
}

/* Asks for part b of all that the groups behind `last` take. */
INLINE void fetch_groups(const reader *last, size_t b)
{
    enum { LINES = GROUPS * 2 * DENSE_BLOCK_BYTES / DENSE_LINE }; /* of a block of each */
    const char *part = (const char *)last->group.blocks + (b + 1) * LINES * DENSE_LINE;
    for (size_t line = 0; line < LINES; line++)
        _mm_prefetch(part + line * DENSE_LINE, _MM_HINT_T1);
}

static void dot_packed(const uint8_t *data, const dense_group *groups, size_t count,
                       const uint16_t *x, size_t n, float *y)
{
    size_t blocks = bfloat_blocks(n);
    shape_tiles(1);
    for (size_t g = 0; g < count; g += GROUPS) {
        size_t some = count - g < GROUPS ? count - g : GROUPS;
        reader readers[GROUPS];
        unpacked buffers[2];
        for (size_t i = 0; i < some; i++)
            readers[i] = read_group(data, &groups[g + i]);
        begin_rows(some * ROWS);
        for (size_t b = 0; b <= blocks; b++) {
            for (size_t i = 0; b < blocks && i < some; i++)
                unpack_group(&readers[i], i * ROWS, b * BLOCK, n, &buffers[b % 2]);
            if (g + some < count && readers[some - 1].raw == NULL)
                fetch_groups(&readers[some - 1], b);
            if (b > 0)
                add_block(&buffers[(b - 1) % 2], some * ROWS, x + (b - 1) * BLOCK);
        }
        end_rows(some * ROWS, y + g * ROWS);
    }
    _tile_release();
}

/* ---- MXFP4 ----------------------------------------------------------------------------------- */

/* Asks for part b of the next rows, as large as block b of these, into the second cache. */
INLINE void fetch_scales(const coded_rows *from, size_t b)
{
    const uint8_t *next = from->scales + (from->groups + b * CODED_GROUPS) * from->rows;
    _mm_prefetch((const char *)next, _MM_HINT_T1);
    _mm_prefetch((const char *)next + 64, _MM_HINT_T1);
}

/*
 * Unpacks block b and takes the one before it, in turns, so that neither waits for the other. What
 * comes soon is asked for into the first cache, and the same part of the next rows into the second.
 * Without tables scales may be extreme.
 */
INLINE void take_turns(const byte_tables *tables, const coded_rows *from, size_t b, size_t left,
                       unpacked buffers[2], const uint16_t *x)
{
    enum { NEAR = 256 };
    coded_block block = block_at(from, 0, b);
    const char *next = (const char *)from->codes + (from->groups * 16 + b * 64) * from->rows;
    uint16_t *to = buffers[b % 2].steps[0][0];
    block.left = left;
    fetch_scales(from, b);
    for (size_t k = 0; k < BFLOAT_BLOCK_STEPS; k++) {
        size_t end = from->rows * (k + 1) / BFLOAT_BLOCK_STEPS;
        for (size_t r = from->rows * k / BFLOAT_BLOCK_STEPS; r < end; r++) {
            __m512i steps[BFLOAT_BLOCK_STEPS];
            _mm_prefetch(next + r * 64, _MM_HINT_T1);
            _mm_prefetch((const char *)block.codes + NEAR, _MM_HINT_T0);
            if (tables != NULL)
                unpack_block(tables, block, steps);
            else
                unpack_extreme(block, steps);
            UNROLL(4)
            for (size_t i = 0; i < BFLOAT_BLOCK_STEPS; i++)
                _mm512_store_si512(to + (i * PAIR * TILE + r) * STEP, steps[i]);
            block.codes += from->groups * 16;
            block.scales += from->groups;
        }
        if (b > 0)
            add_step(&buffers[(b - 1) % 2], k, from->rows, x + (b - 1) * BLOCK);
    }
}

static void dot_mxfp4(const uint8_t *blocks, const uint8_t *scales, size_t rows, const uint16_t *x,
                      size_t columns, float *y)
{
    const byte_tables tables = tables_by_bytes();
    size_t count = bfloat_blocks(columns);
    shape_tiles(1);
    for (size_t r = 0; r < rows; r += PAIR * TILE) {
        coded_rows some = coded_rows_at(blocks + r * columns / 2, scales + r * columns / 32,
                                        rows_at_once(rows - r), columns);
        unpacked buffers[2];
        begin_rows(some.rows);
        for (size_t b = 0; b < count; b++) {
            size_t left = some.groups - b * CODED_GROUPS;
            if (!some.plain)
                take_turns(NULL, &some, b, left, buffers, x);
            else if (left >= CODED_GROUPS)
                take_turns(&tables, &some, b, CODED_GROUPS, buffers, x);
            else
                take_turns(&tables, &some, b, left, buffers, x);
        }
        add_block(&buffers[(count - 1) % 2], some.rows, x + (count - 1) * BLOCK);
        end_rows(some.rows, y + r);
    }
    _tile_release();
}

void bfloat_overlay_amx(bfloat_table *tiles)
{
    tiles->dot_bf16 = dot_bf16;
    tiles->dot_packed = dot_packed;
    tiles->dot_mxfp4 = dot_mxfp4;
    tiles->multiply = multiply;
    tiles->multiply_mxfp4 = multiply_mxfp4;
}
