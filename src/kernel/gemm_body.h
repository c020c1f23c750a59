/*
 * The kernels of gemm.h, written once over a vector of PART floats and compiled once per
 * instruction set.
 *
 * The including file first defines
 *     part                      PART floats
 *     part_load, part_store     from and to unaligned floats
 *     part_zero, part_add       all lanes +0; a + b
 *     part_spread               one float in all lanes, kept in a register
 *     part_fma(a, b, c)         a * b + c rounded once
 *     quad_turn                 four columns of four rows, each column to a place of its own
 *     TILE_PARTS, TILE_TOKENS   a tile of running sums: vectors of rows by rows of x, all of which
 *                               fit into the registers; TILE_TOKENS divides 12
 *     TILE_FEW                  likewise for slivers of 4 and 8 rows of x; divides 4
 *     TILE_KEPT                 vectors of rows that fit into registers besides; the others are
 *                               read for every row of x
 *     TILE_STEPS                steps without a jump between them
 *     TILE_AHEAD                how many steps ahead weights are asked for, 0 for not at all
 *     READ_AGAIN()              keeps the compiler from keeping them all
 *     GEMM_OVERLAY              the name of the function that fills the table
 *     INLINE, UNROLL(n)         how hard to insist that tiles stay in registers
 * and includes kernel/gemm.h.
 */

#include <stdbool.h>
#include <string.h>

#define TILE_ROWS (TILE_PARTS * PART)

/* ---- arranging ------------------------------------------------------------------------------- */

/* Puts 32 columns of four rows into a step of their classes, `apart` floats between the classes. */
INLINE void arrange_step(const float *const *rows, size_t k, size_t apart, float *to)
{
    static const uint8_t place[] = {0, 4, 2, 6, 1, 5, 3, 7}; /* of column 4 i, bits reversed */
    UNROLL(8)
    for (size_t i = 0; i < 8; i++) {
        float *at = to + place[i] * apart;
        quad_turn(rows, k + 4 * i, at, at + 16 * apart, at + 8 * apart, at + 24 * apart);
    }
}

static void arrange(const float *const *rows, size_t count, size_t n, size_t width, float *sliver)
{
    size_t apart = GEMM_COLUMNS(n) / GEMM_CLASSES * width;
    size_t rest = n % GEMM_CLASSES;
    size_t k = 0;
    for (; k < n - rest; k += GEMM_CLASSES, sliver += width)
        for (size_t q = 0; q < count; q += GEMM_QUAD)
            arrange_step(rows + q, k, apart, sliver + q);
    for (size_t q = 0; q < count && rest > 0; q += GEMM_QUAD) {
        float last[GEMM_QUAD][GEMM_CLASSES] = {{0}};
        const float *four[] = {last[0], last[1], last[2], last[3]};
        for (size_t r = 0; r < GEMM_QUAD; r++)
            memcpy(last[r], rows[q + r] + k, rest * sizeof **last);
        arrange_step(four, 0, apart, sliver + q);
    }
}

/* ---- multiplying ----------------------------------------------------------------------------- */

typedef part tile[TILE_TOKENS][TILE_PARTS];

/* One partial sum of a tile, from +0. `tokens` is a constant after inlining. */
INLINE void take_class(const float *w, const float *x, size_t width, size_t steps, size_t tokens,
                       tile sums)
{
    UNROLL(16)
    for (size_t b = 0; b < tokens; b++) {
        UNROLL(4)
        for (size_t p = 0; p < TILE_PARTS; p++)
            sums[b][p] = part_zero();
    }
    UNROLL(TILE_STEPS)
    for (size_t step = 0; step < steps; step++, w += GEMM_ROWS, x += width) {
        part ws[TILE_KEPT];
        UNROLL(4)
        for (size_t p = 0; p < TILE_KEPT; p++) {
            ws[p] = part_load(w + PART * p);
            if (TILE_AHEAD > 0)
                __builtin_prefetch(w + PART * p + (size_t)TILE_AHEAD * GEMM_ROWS, 0, 3);
        }
        UNROLL(16)
        for (size_t b = 0; b < tokens; b++) {
            part xs = part_spread(x[b]);
            READ_AGAIN();
            UNROLL(4)
            for (size_t p = 0; p < TILE_PARTS; p++)
                sums[b][p] =
                    part_fma(p < TILE_KEPT ? ws[p] : part_load(w + PART * p), xs, sums[b][p]);
        }
    }
}

INLINE void add_tile(size_t tokens, const tile other, tile sums)
{
    UNROLL(16)
    for (size_t b = 0; b < tokens; b++) {
        UNROLL(4)
        for (size_t p = 0; p < TILE_PARTS; p++)
            sums[b][p] = part_add(other[b][p], sums[b][p]);
    }
}

INLINE void copy_tile(size_t tokens, const tile from, tile to)
{
    UNROLL(16)
    for (size_t b = 0; b < tokens; b++) {
        UNROLL(4)
        for (size_t p = 0; p < TILE_PARTS; p++)
            to[b][p] = from[b][p];
    }
}

/* Asks for the next `bytes` bytes of *ahead. */
INLINE void bring_nearer(gemm_ahead *ahead, size_t bytes)
{
    if (ahead->bytes == 0)
        return;
    bytes = bytes < ahead->bytes ? bytes : ahead->bytes;
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(ahead->data + i, 0, 2);
    ahead->data += bytes;
    ahead->bytes -= bytes;
}

/* A call of `multiply`. */
typedef struct product {
    const float *w;
    const float *x;
    const float *bias; /* [GEMM_ROWS] or NULL */
    float *y;
    size_t width;
    size_t steps; /* of a class */
    size_t apart; /* steps from a class to the next one */
    size_t y_stride;
    size_t near; /* bytes to ask for with each class */
    gemm_ahead *ahead;
} product;

/* What waits for its neighbour in folding: folded[l] is the sum of 2^l classes. */
typedef tile waiting[5];

/* Takes the class in place i to the tile at row r and row b of x; after the last, all are in
 * `sums`. */
INLINE void take_place(const product *of, size_t i, size_t r, size_t b, size_t tokens,
                       waiting folded, tile sums)
{
    size_t begin = i * of->apart;
    size_t level = 0;
    take_class(of->w + begin * GEMM_ROWS + r, of->x + begin * of->width + b, of->width, of->steps,
               tokens, sums);
    for (; i >> level & 1; level++)
        add_tile(tokens, folded[level], sums);
    if (level < 5)
        copy_tile(tokens, sums, folded[level]);
}

INLINE void store_tile(const product *of, size_t r, size_t b, size_t tokens, const tile sums)
{
    UNROLL(16)
    for (size_t t = 0; t < tokens; t++) {
        UNROLL(4)
        for (size_t p = 0; p < TILE_PARTS; p++) {
            part y = sums[t][p];
            if (of->bias != NULL)
                y = part_add(y, part_load(of->bias + r + PART * p));
            part_store(of->y + (b + t) * of->y_stride + r + PART * p, y);
        }
    }
}

/* Tiles of `tokens` rows of x, a constant after inlining, which divides the width. All tiles take a
 * class before the next one, which the nearest cache holds meanwhile. */
INLINE void take_tiles(const product *of, size_t tokens)
{
    waiting folded[GEMM_TOKENS / TILE_FEW * (GEMM_ROWS / TILE_ROWS)];
    for (size_t i = 0; i < GEMM_CLASSES; i++) {
        size_t at = 0;
        bring_nearer(of->ahead, of->near);
        for (size_t b = 0; b < of->width; b += tokens) {
            for (size_t r = 0; r < GEMM_ROWS; r += TILE_ROWS, at++) {
                tile sums;
                take_place(of, i, r, b, tokens, folded[at], sums);
                if (i == GEMM_CLASSES - 1)
                    store_tile(of, r, b, tokens, sums);
            }
        }
    }
}

static void multiply(const float *w, size_t rows, const float *x, size_t tokens, size_t n,
                     const float *bias, float *y, size_t y_stride, gemm_ahead *ahead)
{
    float own[GEMM_TOKENS * GEMM_ROWS]; /* the products, when there are less than a sliver's */
    float own_bias[GEMM_ROWS];
    product all = {.w = w,
                   .x = x,
                   .bias = bias,
                   .y = y,
                   .width = gemm_width(tokens),
                   .steps = GEMM_STEPS(n),
                   .apart = GEMM_COLUMNS(n) / GEMM_CLASSES,
                   .y_stride = y_stride,
                   .near = (ahead->share / (GEMM_CLASSES * 64) + 1) * 64,
                   .ahead = ahead};
    bool whole = rows == GEMM_ROWS && tokens == all.width;
    if (!whole) {
        all.y = own;
        all.y_stride = GEMM_ROWS;
        if (bias != NULL) {
            memset(own_bias, 0, sizeof own_bias);
            all.bias = memcpy(own_bias, bias, rows * sizeof *bias);
        }
    }
    if (all.width % TILE_TOKENS == 0)
        take_tiles(&all, TILE_TOKENS);
    else if (TILE_TOKENS > 8 && all.width == 8)
        take_tiles(&all, 8);
    else
        take_tiles(&all, TILE_FEW);
    for (size_t b = 0; b < tokens && !whole; b++)
        memcpy(y + b * y_stride, own + b * GEMM_ROWS, rows * sizeof *y);
}

void GEMM_OVERLAY(gemm_table *table)
{
    table->arrange = arrange;
    table->multiply = multiply;
}
