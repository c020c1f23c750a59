/* How a batch of activation rows is held for products without VNNI. */
#ifndef KERNEL_X86_FIXED_BATCH_H
#define KERNEL_X86_FIXED_BATCH_H

#include "kernel/fixed.h"

/*
 * N of two digits fits 16 bits, and the sum of its products with a group's w2 fits 32: vpmaddwd
 * multiplies pairs of such numbers, where digits apart would take twice the instructions. The one
 * digit, or the last of three, is multiplied by vpmaddubsw.
 *
 * A tile has one row after another, and a row one group after another, each as
 *
 *     | 16 pairs of 16 bits: 256 h + l, or 256 h + m of three digits |   of two or three digits
 *     | 8 quads of 8 bits: h, or l of three digits                   |   of one or three
 *     | s / 2 | -12 * sums of quads: two of 16 bits |
 *
 * Pairs 4 k to 4 k + 3 of a group are its columns 8 k + 0 4, 1 5, 2 6, 3 7; quads 2 k and 2 k + 1
 * are columns 8 k + 0 2 4 6 and 1 3 5 7: as the nibbles of four bytes of codes are taken apart. The
 * last two numbers are of the first two and the last two columns of all quads, -12 * sum of N.
 */
enum { FIXED_PAIRS = FIXED_GROUP / 2, FIXED_QUADS = FIXED_GROUP / 4 };

/* Pairs and quads of a group. */
static inline size_t fixed_pairs_of(unsigned digits)
{
    return digits > 1 ? FIXED_PAIRS : 0;
}
static inline size_t fixed_quads_of(unsigned digits)
{
    return digits != 2 ? FIXED_QUADS : 0;
}

/* Where s / 2 of a group is, and the bytes of a group. */
static inline size_t fixed_batch_tail(unsigned digits)
{
    return 4 * (fixed_pairs_of(digits) + fixed_quads_of(digits));
}
static inline size_t fixed_batch_bytes(unsigned digits)
{
    return fixed_batch_tail(digits) + 8;
}

/* A fixed_quantise_tile_fn. */
void fixed_batch_quantise_avx2(const float *const rows[], size_t count, size_t n, unsigned digits,
                               uint8_t *tile);

#endif
