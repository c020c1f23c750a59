/* Products of bfloat16 numbers with one activation row, in tiles, with AMX. */
#include "kernel/x86/bfloat_bytes.h"
#include "kernel/x86/bfloat_tiles.h"

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

/* A block, beginning at column k, of a group's four rows to row r and those behind it. What is
 * asked for comes soon: the rest is left to the processor, which follows the eight groups that are
 * read together by itself. */
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

static void dot_packed(const uint8_t *data, const dense_group *groups, size_t count,
                       const uint16_t *x, size_t n, float *y)
{
    size_t blocks = bfloat_blocks(n);
    shape_tiles(1);
    for (size_t g = 0; g < count; g += GROUPS) {
        size_t some = count - g < GROUPS ? count - g : GROUPS;
        reader readers[GROUPS];
        unpacked buffers[2];
        for (size_t i = 0; i < GROUPS; i++)
            readers[i] = read_group(data, &groups[g + (i < some ? i : 0)]);
        begin_rows(some * ROWS);
        for (size_t b = 0; b <= blocks; b++) {
            for (size_t i = 0; b < blocks && i < some; i++)
                unpack_group(&readers[i], i * ROWS, b * BLOCK, n, &buffers[b % 2]);
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

void bfloat_overlay_one_amx(bfloat_table *tiles)
{
    tiles->dot_bf16 = dot_bf16;
    tiles->dot_packed = dot_packed;
    tiles->dot_mxfp4 = dot_mxfp4;
}
