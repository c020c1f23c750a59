/*
 * Products of MXFP4 weights with activations held as fixed-point numbers: integer multiplication,
 * so that float32-grade results run at the speed of bytes.
 *
 * An activation row is cut into groups of 32, like the weights. The numbers of a group are whole
 * multiples N of its scale s, kept as 1, 2 or 3 digits of base 256, each -128..127:
 *
 *     digits   |N| at most             N of it
 *          1   127        = 0x7f       h
 *          2   32639      = 0x7f7f     256 h + l
 *          3   8355711    = 0x7f7f7f   256 (256 h + m) + l
 *
 *     s = max|x| / limit,   N_i = nearest whole number of x_i * (limit / max|x|), ties to even,
 *
 * with one rounding for each operation, and N held within the limit. A group whose largest number
 * is below 2^-96 counts as zeros (N = 0, s = 0); one that has a NaN or an infinity has N = 0 and
 * s = NaN, which makes every product NaN.
 *
 * Weights are whole numbers w2 = 2 w, one of 0, +-1, 2, 3, 4, 6, 8, 12. The canonical product of a
 * weight row and an activation row:
 *
 *     t_g   = sum over the group of w2 * N          exact, then rounded once to float:
 *                                                   fma(high, 256, low) of three digits, where
 *                                                   high = sum w2 * (256 h + m), low = sum w2 * l
 *     f_g   = 2^(scale_g - 127) * (s_g / 2)         scale 0 is 2^-127, 255 is NaN
 *     a_m   = sum over g = m, m + 4, m + 8, ...     a_m = fma(t_g, f_g, a_m), ascending, from +0
 *     y     = ((a_0 + a_1) + a_2) + a_3
 *
 * where g runs over whole blocks of four groups: those past the end have t = f = 0. Nothing else is
 * rounded, so all kernels here are EXACT at every level, and a product is the same from dot_rows
 * and from multiply.
 */
#ifndef KERNEL_FIXED_H
#define KERNEL_FIXED_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#define FIXED_MAX_DIGITS 3

/* Numbers of a group, groups and numbers of a block. */
#define FIXED_GROUP   32
#define FIXED_GROUPS  4
#define FIXED_COLUMNS (FIXED_GROUP * FIXED_GROUPS)

/*
 * A prepared activation row is a sequence of blocks of 128 numbers:
 *
 *     | digit 0: even columns 64 | odd columns 64 | digit 1: ... | digit 2: ... | fixed_tail 64 |
 *
 * Digit 0 is the highest. Bytes 16 i .. 16 i + 15 of every 64 belong to group i of the block: even
 * and odd columns lie as the low and the high nibbles of the weights do. The last block is padded
 * with groups of zeros (s = 0).
 */
typedef struct fixed_tail {
    float half_scale[FIXED_GROUPS]; /* s / 2 */
    int32_t high[FIXED_GROUPS];     /* -12 * sum of N; of three digits, of 256 h + m */
    int32_t low[FIXED_GROUPS];      /* -12 * sum of l when there are three digits, else 0 */
    int32_t none[FIXED_GROUPS];
} fixed_tail;

/* The sums let a kernel that multiplies bytes without sign by bytes with sign take w2 + 12 for w2.
 */
#define FIXED_OFFSET 12

static inline size_t fixed_blocks(size_t columns)
{
    return (columns + FIXED_COLUMNS - 1) / FIXED_COLUMNS;
}

static inline size_t fixed_block_bytes(unsigned digits)
{
    return (size_t)FIXED_COLUMNS * digits + sizeof(fixed_tail);
}

/* Bytes of a prepared row, a multiple of 64. */
static inline size_t fixed_row_bytes(size_t columns, unsigned digits)
{
    return fixed_blocks(columns) * fixed_block_bytes(digits);
}

/*
 * A batch of activation rows is cut into tiles of at most 6, of about the same size: tile t of a
 * batch of `count` rows begins at row fixed_tile_begin(count, t). A tile lies where its rows would
 * lie as prepared rows and takes no more bytes; how they lie within it is the level's own affair.
 */
#define FIXED_TILE_ROWS 6

static inline size_t fixed_tiles(size_t count)
{
    return (count + FIXED_TILE_ROWS - 1) / FIXED_TILE_ROWS;
}

static inline size_t fixed_tile_begin(size_t count, size_t tile)
{
    return count * tile / fixed_tiles(count);
}

/* Rows of a batch that are so few that VNNI reads weights for them as dot_rows does; AVX2 has a
 * limit of its own. */
#define FIXED_FEW 4

/* Weight rows that `multiply` takes at once: it unpacks them once for the whole batch. */
#define FIXED_MULTIPLY_ROWS 64

/* Bytes that `multiply` has for unpacked weights. */
#define FIXED_UNPACKED 40960

/* Bytes of scratch for `multiply` of `count` activation rows: some unpacked weights, and the
 * partial sums. */
static inline size_t fixed_scratch_bytes(size_t count)
{
    return FIXED_UNPACKED + count * FIXED_MULTIPLY_ROWS * FIXED_GROUPS * sizeof(float);
}

/* Prepares n numbers, a multiple of 32, as fixed_row_bytes(n, digits) bytes at `row`, 64-aligned.
 * A row may be prepared in parts that begin at whole blocks. */
typedef void (*fixed_quantise_fn)(const float *x, size_t n, unsigned digits, uint8_t *row);

/* y[r] = canonical product of x and weight row r. blocks [rows, columns/32, 16], scales
 * [rows, columns/32], as in a checkpoint; x: a prepared row. */
typedef void (*fixed_dot_rows_fn)(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                                  const uint8_t *x, size_t columns, unsigned digits, float *y);

/* Columns of rows of n: `count`, a multiple of 32, from `first` on, where a whole block begins. */
typedef struct fixed_columns {
    size_t n;
    size_t first;
    size_t count;
} fixed_columns;

/* Where they lie in a prepared row. */
static inline uint8_t *fixed_columns_at(uint8_t *row, fixed_columns columns, unsigned digits)
{
    return row + columns.first / FIXED_COLUMNS * fixed_block_bytes(digits);
}

/* Prepares columns of 1 to 6 rows as those of a tile at `tile`, 64-aligned, of a batch of `batch`
 * rows. rows[b] is where they begin. A tile is prepared when all its columns are, in any order. */
typedef void (*fixed_quantise_tile_fn)(const float *const rows[], size_t count, size_t batch,
                                       fixed_columns columns, unsigned digits, uint8_t *tile);

/* A batch of activation rows, in tiles. */
typedef struct fixed_batch {
    const uint8_t *tiles;
    size_t count;
} fixed_batch;

/* What to bring near meanwhile: weights of the next call. It may be empty. */
typedef struct fixed_ahead {
    const uint8_t *blocks;
    const uint8_t *scales; /* a sixteenth as many bytes */
    size_t bytes;          /* of blocks */
} fixed_ahead;

/*
 * y[b * y_stride + r] = canonical product of weight row r, of 1 to FIXED_MULTIPLY_ROWS, and row b
 * of the batch. blocks and scales as for dot_rows; scratch:
 * fixed_scratch_bytes(batch.count), 64-aligned.
 */
typedef void (*fixed_multiply_fn)(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                                  size_t columns, fixed_batch batch, unsigned digits, void *scratch,
                                  fixed_ahead ahead, float *y, size_t y_stride);

typedef struct fixed_table {
    fixed_quantise_fn quantise;
    fixed_quantise_tile_fn quantise_tile;
    fixed_dot_rows_fn dot_rows;
    fixed_multiply_fn multiply;
} fixed_table;

/* AVX2's dot_rows, to which higher levels leave what is rare. */
void fixed_dot_rows_avx2(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                         const uint8_t *x, size_t columns, unsigned digits, float *y);

/* The overlays, lowest level first. */
void fixed_overlay_plain(fixed_table *table);
void fixed_overlay_avx2(fixed_table *table);
void fixed_overlay_avx512(fixed_table *table);                         /* F, BW, DQ, VL */
void fixed_overlay_vnni(fixed_table *table);                           /* VNNI besides */
void fixed_overlay_icelake(fixed_table *table, cpu_fetching fetching); /* VNNI and VBMI besides */
void fixed_overlay_zen4(fixed_table *table); /* the same, as Zen 4 likes them */

#endif
