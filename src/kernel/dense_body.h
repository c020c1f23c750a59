/*
 * The kernels of dense.h, written once over a vector of PART floats and compiled once per
 * instruction set.
 *
 * The including file first defines, as static inline functions,
 *     part                      PART floats, PART being 8 or 16; PARTS of them are 32
 *     part_load, part_store     from and to unaligned floats
 *     part_zero                 all lanes +0
 *     part_fma(a, b, c)         a * b + c rounded once
 *     part_from_bf16            PART numbers of two bytes
 *     part_fold                 the 32 partial sums of a row to one number, as kernel.h says
 *     place_table, table_load   a row's sixteen high bytes
 *     block_unpack              64 numbers of a row: low bytes, pairs, table, PARTS * 2 vectors
 *     DENSE_OVERLAY             the name of the function that fills the table
 *     INLINE, UNROLL(n)         how hard to insist that tiles stay in registers
 * and includes kernel/dense.h.
 */

#include <string.h>

#include "base/number.h"
#include "kernel/ahead.h"
#include "kernel/packed.h"

#define PARTS (32 / PART)

/*
 * How far ahead weights are asked for. A stream for each row cost a tenth of the speed from memory.
 * The last of four rows of the 20b's width begins further behind the first than what the first
 * cache can be asked for early: where there is no second step, two rows are read together.
 */
enum { BF16_ROWS = 2, BF16_ROWS_TWICE = 4 };
#define BF16_AHEAD   ((distance){0, 16384})
#define BF16_TWICE   ((distance){24576, 2048})
#define PACKED_AHEAD ((distance){0, 9216})

/* ---- one row of x, BF16 ---------------------------------------------------------------------- */

/* Takes 32 columns of a row into its partial sums. */
INLINE void take_bf16(const uint8_t *w, const part *x, part *sums)
{
    UNROLL(4)
    for (size_t p = 0; p < PARTS; p++)
        sums[p] = part_fma(part_from_bf16(w + 2 * PART * p), x[p], sums[p]);
}

INLINE void load32(const float *x, part *out)
{
    UNROLL(4)
    for (size_t p = 0; p < PARTS; p++)
        out[p] = part_load(x + PART * p);
}

/* `rows` and `ahead` are constants after inlining, here and below. */
INLINE void bf16_tile(const uint8_t *w, size_t rows, const float *x, size_t n, distance ahead,
                      float *y)
{
    part sums[DENSE_GROUP_ROWS][PARTS];
    part xs[PARTS];
    size_t whole = n / 32;
    UNROLL(4)
    for (size_t r = 0; r < rows; r++) {
        UNROLL(4)
        for (size_t p = 0; p < PARTS; p++)
            sums[r][p] = part_zero();
    }
    for (size_t i = 0; i < whole; i++) {
        load32(x + 32 * i, xs);
        UNROLL(4)
        for (size_t r = 0; r < rows; r++) {
            const uint8_t *at = w + 2 * (r * n + 32 * i);
            ask(w + (rows * i + r) * DENSE_LINE, ahead);
            take_bf16(at, xs, sums[r]);
        }
    }
    size_t rest = n % 32;
    if (rest > 0) { /* the last columns, padded with zeros */
        float last[32] = {0};
        memcpy(last, x + n - rest, rest * sizeof *last);
        load32(last, xs);
        UNROLL(4)
        for (size_t r = 0; r < rows; r++) {
            uint8_t bytes[64] = {0};
            memcpy(bytes, w + 2 * (r * n + n - rest), 2 * rest);
            take_bf16(bytes, xs, sums[r]);
        }
    }
    UNROLL(4)
    for (size_t r = 0; r < rows; r++)
        y[r] = part_fold(sums[r]);
}

/* In tiles of `tile` rows, at most DENSE_GROUP_ROWS. */
INLINE void all_bf16(const uint8_t *w, size_t rows, size_t tile, const float *x, size_t n,
                     distance ahead, float *y)
{
    size_t r = 0;
    for (; r + tile <= rows; r += tile)
        bf16_tile(w + 2 * r * n, tile, x, n, ahead, y + r);
    for (; r < rows; r++)
        bf16_tile(w + 2 * r * n, 1, x, n, ahead, y + r);
}

static void rows_bf16(const uint8_t *w, size_t rows, const float *x, size_t n, float *y)
{
    all_bf16(w, rows, BF16_ROWS, x, n, BF16_AHEAD, y);
}

static void rows_bf16_twice(const uint8_t *w, size_t rows, const float *x, size_t n, float *y)
{
    all_bf16(w, rows, BF16_ROWS_TWICE, x, n, BF16_TWICE, y);
}

/* ---- one row of x, packed -------------------------------------------------------------------- */

/* Writes the 64 numbers of one row of a block. */
INLINE void unpack_row(const uint8_t *block, size_t row, place_table table, float *out)
{
    part w[2 * PARTS];
    block_unpack(block + 64 * row, block + 256 + 32 * row, table, w);
    UNROLL(8)
    for (size_t p = 0; p < 2 * PARTS; p++)
        part_store(out + PART * p, w[p]);
}

/* A number was unpacked with a high byte of 0; this is the number with its own. */
INLINE void patch(float *number, uint32_t high)
{
    *number = float_from_bits(bits_from_float(*number) | high << 24);
}

/* Takes `columns` (1 to 64) columns of a block that has escapes or is the last; whether it is done
 * number by number or in vectors, numbers and order are the same. Returns the next escape. */
static size_t take_patched(const packed_group *group, size_t block, size_t escape, const float *x,
                           size_t columns, part (*sums)[PARTS])
{
    float w[DENSE_GROUP_ROWS][DENSE_BLOCK_COLUMNS];
    float padded[DENSE_BLOCK_COLUMNS] = {0};
    memcpy(padded, x, columns * sizeof *x);
    for (size_t r = 0; r < DENSE_GROUP_ROWS; r++)
        unpack_row(group->blocks + block * DENSE_BLOCK_BYTES, r, table_load(group->tables + 16 * r),
                   w[r]);
    for (; escape_block(group, escape, block + 1) == block; escape++) {
        uint32_t found = escape_at(group, escape);
        patch(&w[found >> 8 & 3][(found >> 10) % DENSE_BLOCK_COLUMNS], found & 255);
    }
    for (size_t r = 0; r < DENSE_GROUP_ROWS; r++)
        for (size_t k = 0; k < columns; k += 32)
            for (size_t p = 0; p < PARTS; p++)
                sums[r][p] = part_fma(part_load(w[r] + k + PART * p),
                                      part_load(padded + k + PART * p), sums[r][p]);
    return escape;
}

/* Takes the blocks [begin, end), which have no escapes. */
INLINE void take_blocks(const packed_group *group, size_t begin, size_t end, const float *x,
                        distance ahead, part (*sums_in_memory)[PARTS])
{
    part sums[DENSE_GROUP_ROWS][PARTS];
    place_table tables[DENSE_GROUP_ROWS];
    UNROLL(4)
    for (size_t r = 0; r < DENSE_GROUP_ROWS; r++) {
        tables[r] = table_load(group->tables + 16 * r);
        UNROLL(4)
        for (size_t p = 0; p < PARTS; p++)
            sums[r][p] = sums_in_memory[r][p];
    }
    for (size_t i = begin; i < end; i++) {
        const uint8_t *block = group->blocks + i * DENSE_BLOCK_BYTES;
        part xs[2 * PARTS];
        load32(x + i * DENSE_BLOCK_COLUMNS, xs);
        load32(x + i * DENSE_BLOCK_COLUMNS + 32, xs + PARTS);
        UNROLL(6)
        for (size_t line = 0; line < DENSE_BLOCK_BYTES / DENSE_LINE; line++)
            ask(block + line * DENSE_LINE, ahead);
        UNROLL(4)
        for (size_t r = 0; r < DENSE_GROUP_ROWS; r++) {
            part w[2 * PARTS];
            block_unpack(block + 64 * r, block + 256 + 32 * r, tables[r], w);
            UNROLL(8)
            for (size_t p = 0; p < 2 * PARTS; p++)
                sums[r][p % PARTS] = part_fma(w[p], xs[p], sums[r][p % PARTS]);
        }
    }
    UNROLL(4)
    for (size_t r = 0; r < DENSE_GROUP_ROWS; r++) {
        UNROLL(4)
        for (size_t p = 0; p < PARTS; p++)
            sums_in_memory[r][p] = sums[r][p];
    }
}

INLINE void packed_tile(const packed_group *group, const float *x, size_t n, distance ahead,
                        float *y)
{
    part sums[DENSE_GROUP_ROWS][PARTS];
    size_t whole = n / DENSE_BLOCK_COLUMNS;
    size_t rest = n % DENSE_BLOCK_COLUMNS;
    size_t escape = 0;
    for (size_t r = 0; r < DENSE_GROUP_ROWS; r++)
        for (size_t p = 0; p < PARTS; p++)
            sums[r][p] = part_zero();
    for (size_t block = 0; block < whole;) {
        size_t stop = escape_block(group, escape, whole);
        take_blocks(group, block, stop, x, ahead, sums);
        if (stop < whole)
            escape = take_patched(group, stop, escape, x + stop * DENSE_BLOCK_COLUMNS,
                                  DENSE_BLOCK_COLUMNS, sums);
        block = stop + 1;
    }
    if (rest > 0)
        take_patched(group, whole, escape, x + n - rest, rest, sums);
    for (size_t r = 0; r < DENSE_GROUP_ROWS; r++)
        y[r] = part_fold(sums[r]);
}

INLINE void all_packed(const uint8_t *data, const dense_group *groups, size_t count, const float *x,
                       size_t n, distance ahead, float *y)
{
    for (size_t g = 0; g < count; g++) {
        if (groups[g].escapes == DENSE_RAW) {
            bf16_tile(data + (size_t)groups[g].line * DENSE_LINE, 4, x, n, BF16_AHEAD, y + 4 * g);
            continue;
        }
        packed_group group = group_open(data, &groups[g]);
        packed_tile(&group, x, n, ahead, y + 4 * g);
    }
}

static void rows_packed(const uint8_t *data, const dense_group *groups, size_t count,
                        const float *x, size_t n, float *y)
{
    all_packed(data, groups, count, x, n, PACKED_AHEAD, y);
}

static void rows_packed_twice(const uint8_t *data, const dense_group *groups, size_t count,
                              const float *x, size_t n, float *y)
{
    all_packed(data, groups, count, x, n, AHEAD_TWICE, y);
}

/* Where x leaves no room in the first cache for a stream of weights to run through, the processor's
 * own prefetcher does not follow that stream well. */
static void rows_packed_near(const uint8_t *data, const dense_group *groups, size_t count,
                             const float *x, size_t n, float *y)
{
    if (n <= 3072)
        all_packed(data, groups, count, x, n, AHEAD_NEAR, y);
    else
        all_packed(data, groups, count, x, n, (distance){12288, 1024}, y);
}

static void unpack_bf16(const uint8_t *in, size_t n, float *out)
{
    size_t i = 0;
    for (; i + PART <= n; i += PART)
        part_store(out + i, part_from_bf16(in + 2 * i));
    for (; i < n; i++)
        out[i] = bf16_to_float((uint16_t)(in[2 * i] | in[2 * i + 1] << 8));
}

static void unpack(const uint8_t *data, const dense_group *where, size_t first, size_t rows,
                   size_t n, float *out)
{
    if (where->escapes == DENSE_RAW) {
        unpack_bf16(data + (size_t)where->line * DENSE_LINE + 2 * first * n, rows * n, out);
        return;
    }
    packed_group group = group_open(data, where);
    size_t whole = n / DENSE_BLOCK_COLUMNS;
    size_t rest = n % DENSE_BLOCK_COLUMNS;
    for (size_t r = 0; r < rows; r++) {
        place_table table = table_load(group.tables + 16 * (first + r));
        float *to = out + r * n;
        for (size_t i = 0; i < whole; i++)
            unpack_row(group.blocks + i * DENSE_BLOCK_BYTES, first + r, table, to + i * 64);
        if (rest > 0) {
            float last[DENSE_BLOCK_COLUMNS];
            unpack_row(group.blocks + whole * DENSE_BLOCK_BYTES, first + r, table, last);
            memcpy(to + n - rest, last, rest * sizeof *last);
        }
    }
    for (size_t i = 0; i < group.escape_count; i++) {
        uint32_t escape = escape_at(&group, i);
        size_t row = escape >> 8 & 3;
        if (row >= first && row < first + rows)
            patch(&out[(row - first) * n + (escape >> 10)], escape & 255);
    }
}

void DENSE_OVERLAY(dense_kernels *table, cpu_fetching fetching)
{
    table->bf16 = fetching == CPU_FETCHES_ONCE ? rows_bf16 : rows_bf16_twice;
    table->packed = fetching == CPU_FETCHES_NEAR    ? rows_packed_near
                    : fetching == CPU_FETCHES_TWICE ? rows_packed_twice
                                                    : rows_packed;
    table->unpack = unpack;
}
