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

static void shape(tile_shapes *shapes, size_t tile, size_t rows, size_t columns)
{
    shapes->rows[tile] = (uint8_t)(columns == 0 ? 0 : rows);
    shapes->row_bytes[tile] = (uint16_t)(rows == 0 ? 0 : columns * sizeof(float));
}

/* Tiles for these weight rows and activation rows. */
static void shape_tiles(pair_rows weights, pair_rows activations)
{
    tile_shapes shapes = {.palette = 1};
    for (size_t w = 0; w < PAIR; w++) {
        for (size_t x = 0; x < PAIR; x++)
            shape(&shapes, SUMS_00 + PAIR * w + x, weights.of[w], activations.of[x]);
        shape(&shapes, WEIGHTS_0 + w, weights.of[w], LANES);
        shape(&shapes, ACTIVATIONS_0 + w, LANES, activations.of[w]);
    }
    _tile_loadconfig(&shapes);
}

/* ---- many activation rows -------------------------------------------------------------------- */

/* Groups of activations, one behind the other. */
typedef struct group_pair {
    const uint16_t *first;
    const uint16_t *second;
    pair_rows rows;
} group_pair;

/* Asks for a part of what lies ahead. */
INLINE void fetch(bfloat_ahead *ahead, size_t lines)
{
    for (size_t i = 0; i < lines && ahead->bytes > 0; i++) {
        size_t bytes = ahead->bytes < 64 ? ahead->bytes : 64;
        _mm_prefetch((const char *)ahead->at, _MM_HINT_T1);
        ahead->at += bytes;
        ahead->bytes -= bytes;
    }
}

/* The sums of one or two panels and one or two groups; `lines` to bring near in every step. */
INLINE void add_steps(const uint16_t *panels, bool two_panels, group_pair x, bool two_groups,
                      size_t steps, bfloat_ahead *ahead, size_t lines)
{
    const uint16_t *second_panel = panels + steps * TILE_NUMBERS;
    size_t first_stride = 2 * x.rows.of[0];
    size_t second_stride = 2 * x.rows.of[1];
    _tile_zero(SUMS_00);
    if (two_groups)
        _tile_zero(SUMS_01);
    if (two_panels)
        _tile_zero(SUMS_10);
    if (two_panels && two_groups)
        _tile_zero(SUMS_11);
    for (size_t step = 0; step < steps; step++) {
        fetch(ahead, lines);
        _tile_loadd(WEIGHTS_0, panels + step * TILE_NUMBERS, 2 * STEP);
        _tile_loadd(ACTIVATIONS_0, x.first + step * LANES * first_stride, 2 * first_stride);
        _tile_dpbf16ps(SUMS_00, WEIGHTS_0, ACTIVATIONS_0);
        if (two_groups) {
            _tile_loadd(ACTIVATIONS_1, x.second + step * LANES * second_stride, 2 * second_stride);
            _tile_dpbf16ps(SUMS_01, WEIGHTS_0, ACTIVATIONS_1);
        }
        if (two_panels) {
            _tile_loadd(WEIGHTS_1, second_panel + step * TILE_NUMBERS, 2 * STEP);
            _tile_dpbf16ps(SUMS_10, WEIGHTS_1, ACTIVATIONS_0);
        }
        if (two_panels && two_groups)
            _tile_dpbf16ps(SUMS_11, WEIGHTS_1, ACTIVATIONS_1);
    }
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

/* Writes what add_steps has computed. */
INLINE void write_pair(pair_rows weights, pair_rows activations, float *y, size_t y_stride)
{
    _Alignas(64) float sums[TILE][TILE];
    _tile_stored(SUMS_00, sums, sizeof *sums);
    write_products(sums, weights.of[0], activations.of[0], y, y_stride);
    if (activations.of[1] > 0) {
        _tile_stored(SUMS_01, sums, sizeof *sums);
        write_products(sums, weights.of[0], activations.of[1], y + TILE * y_stride, y_stride);
    }
    if (weights.of[1] > 0) {
        _tile_stored(SUMS_10, sums, sizeof *sums);
        write_products(sums, weights.of[1], activations.of[0], y + TILE, y_stride);
    }
    if (weights.of[1] > 0 && activations.of[1] > 0) {
        _tile_stored(SUMS_11, sums, sizeof *sums);
        write_products(sums, weights.of[1], activations.of[1], y + TILE + TILE * y_stride,
                       y_stride);
    }
}

static void multiply(const uint16_t *panels, size_t rows, const uint16_t *x, size_t count,
                     size_t blocks, bfloat_ahead ahead, float *scratch, float *y, size_t y_stride)
{
    size_t steps = blocks * BFLOAT_BLOCK_STEPS;
    size_t passes = (count + PAIR * TILE - 1) / (PAIR * TILE);
    size_t lines = (ahead.bytes / 64 + passes * steps) / (passes * steps);
    pair_rows weights = pair_of(rows);
    (void)scratch;
    for (size_t b = 0; b < count; b += PAIR * TILE) {
        const uint16_t *group = x + b * steps * STEP;
        group_pair groups = {group, group + TILE * steps * STEP, pair_of(count - b)};
        shape_tiles(weights, groups.rows);
        if (rows > TILE && groups.rows.of[1] > 0)
            add_steps(panels, true, groups, true, steps, &ahead, lines);
        else if (rows > TILE)
            add_steps(panels, true, groups, false, steps, &ahead, lines);
        else if (groups.rows.of[1] > 0)
            add_steps(panels, false, groups, true, steps, &ahead, lines);
        else
            add_steps(panels, false, groups, false, steps, &ahead, lines);
        write_pair(weights, groups.rows, y + b * y_stride, y_stride);
    }
    _tile_release();
}

/* ---- one activation row ---------------------------------------------------------------------- */

/*
 * Weights are unpacked block by block, a pair of tiles at a time, into one of two buffers; the
 * block in the other is multiplied meanwhile.
 */
typedef struct unpacked {
    _Alignas(64) uint16_t steps[PAIR][BFLOAT_BLOCK_STEPS][TILE][STEP];
} unpacked;

/* Row r of a pair, step k. */
INLINE void put(unpacked *to, size_t r, size_t k, __m512i step)
{
    _mm512_store_si512(to->steps[r / TILE][k][r % TILE], step);
}

static void begin_rows(size_t rows)
{
    shape_tiles(pair_of(rows), (pair_rows){{1, 0}});
    _tile_zero(SUMS_00);
    if (rows > TILE)
        _tile_zero(SUMS_10);
}

/* Takes a block; x: its numbers. */
INLINE void add_block(const unpacked *from, size_t rows, const uint16_t *x)
{
    UNROLL(4)
    for (size_t k = 0; k < BFLOAT_BLOCK_STEPS; k++) {
        _tile_loadd(ACTIVATIONS_0, x + k * STEP, 2 * sizeof *x);
        _tile_loadd(WEIGHTS_0, from->steps[0][k], 2 * STEP);
        _tile_dpbf16ps(SUMS_00, WEIGHTS_0, ACTIVATIONS_0);
        if (rows > TILE) {
            _tile_loadd(WEIGHTS_1, from->steps[1][k], 2 * STEP);
            _tile_dpbf16ps(SUMS_10, WEIGHTS_1, ACTIVATIONS_0);
        }
    }
}

static void end_rows(size_t rows, float *y)
{
    _tile_stored(SUMS_00, y, sizeof *y);
    if (rows > TILE)
        _tile_stored(SUMS_10, y + TILE, sizeof *y);
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
            put(to, first + r, step,
                in_order(_mm512_maskz_loadu_epi16(words(behind(n, column)), row + 2 * column)));
        }
    }
}

static void dot_bf16(const uint8_t *w, size_t rows, const uint16_t *x, size_t n, float *y)
{
    size_t blocks = bfloat_blocks(n);
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
        to->steps[row / TILE][inside / STEP][row % TILE][place_in_step(inside)] |=
            (uint16_t)((escape & 255) << 8);
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
            put(to, r + row, 2 * half, w[0]);
            put(to, r + row, 2 * half + 1, w[1]);
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

/* Rows of codes and scales. */
typedef struct coded_rows {
    const uint8_t *codes;
    const uint8_t *scales;
    size_t rows;
    size_t groups; /* of a row */
} coded_rows;

/* Block b. What comes soon is asked for into the first cache, and the same part of the next rows
 * into the second. */
INLINE void unpack_coded(const coded_rows *from, size_t b, unpacked *to)
{
    enum { NEAR = 256 };
    size_t first = b * CODED_GROUPS;
    size_t left = from->groups - first;
    const char *ahead = (const char *)from->codes + (from->groups * 16 + b * 64) * from->rows;
    const char *scales_ahead = (const char *)from->scales + (from->groups + first) * from->rows;
    for (size_t r = 0; r < from->rows; r++) {
        const uint8_t *codes = from->codes + (r * from->groups + first) * 16;
        const uint8_t *scales = from->scales + r * from->groups + first;
        __m512i steps[BFLOAT_BLOCK_STEPS];
        _mm_prefetch(ahead + r * 64, _MM_HINT_T1);
        _mm_prefetch((const char *)codes + NEAR, _MM_HINT_T0);
        if (r % 16 == 0)
            _mm_prefetch(scales_ahead + r * CODED_GROUPS, _MM_HINT_T1);
        if (left >= CODED_GROUPS) {
            decode_block(codes, CODED_GROUPS, steps);
            scale_block(scales, CODED_GROUPS, steps);
        } else {
            decode_block(codes, left, steps);
            scale_block(scales, left, steps);
        }
        UNROLL(4)
        for (size_t k = 0; k < BFLOAT_BLOCK_STEPS; k++)
            put(to, r, k, steps[k]);
    }
}

static void dot_mxfp4(const uint8_t *blocks, const uint8_t *scales, size_t rows, const uint16_t *x,
                      size_t columns, float *y)
{
    size_t groups = columns / 32;
    size_t count = bfloat_blocks(columns);
    for (size_t r = 0; r < rows; r += PAIR * TILE) {
        coded_rows some = {blocks + r * groups * 16, scales + r * groups, rows_at_once(rows - r),
                           groups};
        unpacked buffers[2];
        if (!scales_are_plain(some.scales, some.rows * groups)) {
            bfloat_dot_mxfp4_tiles(some.codes, some.scales, some.rows, x, columns, y + r);
            continue;
        }
        begin_rows(some.rows);
        for (size_t b = 0; b <= count; b++) {
            if (b < count)
                unpack_coded(&some, b, &buffers[b % 2]);
            if (b > 0)
                add_block(&buffers[(b - 1) % 2], some.rows, x + (b - 1) * BLOCK);
        }
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
}
