/*
 * Kernels for dense matrices: BF16 rows as they lie in a file and BF16 rows packed to 12 bits,
 * against one row of x. All keep the canonical order of kernel.h, so that for the same numbers
 * all give the same bits.
 *
 * The packing is lossless. Of a BF16 number the low byte is kept; the high byte, sign and upper
 * exponent, is one of the row's fifteen commonest and becomes its place among them, 4 bits. The
 * sixteenth place marks the others, the escapes, whose high bytes stand in a list. Rows lie in
 * groups of four, columns in blocks of 64, all beginning on cache lines:
 *
 *     group    | tables | escapes ... | block 0 | block 1 | ...
 *     tables   [4 rows][16] high bytes, the last one 0
 *     escapes  [n] column << 10 | row << 8 | high byte, ascending, padded to whole lines
 *     block    [4 rows][64] low bytes, then [4 rows][32] pairs of places
 *
 * Within a block columns are permuted so that interleaving the low bytes with the looked-up high
 * bytes, as the unpack instructions of 128 bits do, and taking the even or the odd halves of 32
 * bits gives floats in the order of the partial sums:
 *
 *     byte 16 L + 2 d      holds column      4 L + d      (L, d < 4)
 *     byte 16 L + 2 d + 1  holds column 16 + 4 L + d
 *     byte 16 L + 2 d + 8  holds column 32 + 4 L + d
 *     byte 16 L + 2 d + 9  holds column 48 + 4 L + d
 *
 * Byte b of the pairs has the place of byte b below, that of byte b + 32 above. What a matrix lacks
 * to whole groups and blocks is +0. A group with too many escapes holds its four rows as they are.
 */
#ifndef KERNEL_DENSE_H
#define KERNEL_DENSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#define DENSE_GROUP_ROWS    4
#define DENSE_BLOCK_COLUMNS 64
#define DENSE_BLOCK_BYTES   384
#define DENSE_LINE          64

/* Columns that an escape can name. */
#define DENSE_MAX_COLUMNS ((size_t)1 << 22)

/* Where a group of packed rows lies. */
typedef struct dense_group {
    uint32_t line;    /* its first cache line, counted from the matrix's data */
    uint32_t escapes; /* how many, or DENSE_RAW */
} dense_group;

#define DENSE_RAW UINT32_MAX /* the group is [4, n] BF16 numbers */

/* y[r] = canonical dot of x and row r of w [rows, n], BF16 numbers that need no alignment. */
typedef void (*dense_bf16_fn)(const uint8_t *w, size_t rows, const float *x, size_t n, float *y);

/* y[4 * g + r] = canonical dot of x and row r of group g, for r < 4, g < count. */
typedef void (*dense_packed_fn)(const uint8_t *data, const dense_group *groups, size_t count,
                                const float *x, size_t n, float *y);

/* Decodes rows [first, first + rows) of one group to out [rows, n], exactly. */
typedef void (*dense_unpack_fn)(const uint8_t *data, const dense_group *group, size_t first,
                                size_t rows, size_t n, float *out);

/*
 * Packs 64 BF16 numbers of a row to 64 low bytes and 32 pairs of places. place [256] by high byte,
 * 15 for those without one; table [16]. Returns whether a number has no place.
 */
typedef int (*dense_pack_fn)(const uint8_t *numbers, const uint8_t *place, const uint8_t *table,
                             uint8_t *low, uint8_t *pairs);

typedef struct dense_kernels {
    dense_bf16_fn bf16;
    dense_packed_fn packed;
    dense_unpack_fn unpack;
    dense_pack_fn pack;
} dense_kernels;

/* The overlays, lowest level first. */
void dense_overlay_plain(dense_kernels *table);
void dense_overlay_avx2(dense_kernels *table);
void dense_overlay_avx512(dense_kernels *table, cpu_fetching fetching);

/* Packing in plain C. */
int dense_pack_plain(const uint8_t *numbers, const uint8_t *place, const uint8_t *table,
                     uint8_t *low, uint8_t *pairs);

/* Bytes that the largest group of n columns takes. */
size_t dense_group_room(size_t n);

/*
 * Packs `rows` (1 to 4) rows of n BF16 numbers, rows_in [rows, n], to `out`, which begins on a
 * cache line and has dense_group_room(n) bytes. Sets group->escapes and returns the bytes used,
 * whole cache lines.
 */
size_t dense_pack_group(const dense_kernels *table, const uint8_t *rows_in, size_t rows, size_t n,
                        uint8_t *out, dense_group *group);

#endif
