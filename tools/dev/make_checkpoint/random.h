/*
 * Random weights. Every value is a function of (seed, tensor, index) alone, so that pieces can be
 * made in any order, by any number of threads, in any layout.
 */
#ifndef MAKE_CHECKPOINT_RANDOM_H
#define MAKE_CHECKPOINT_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "shape.h"

/* The stream of random words that belongs to one tensor of one layer. */
uint64_t random_stream(uint64_t seed, uint32_t layer, uint32_t tensor);

/* Word number `index` of a stream: the output function of SplitMix64 on a Weyl sequence. */
static inline uint64_t random_word(uint64_t stream, uint64_t index)
{
    uint64_t z = stream + (index + 1) * 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/*
 * A normal distribution as its 4096 quantiles in the encoding of a number format. They lie on a
 * grid of at most 256 steps of a power of two to either side of zero, so that BF16, F16 and F32
 * hold the same values.
 */
#define NORMAL_QUANTILES 4096
typedef struct normal {
    element dtype;
    uint32_t codes[NORMAL_QUANTILES];
} normal;

void normal_make(normal *out, double mean, double deviation, element dtype);

/* Writes values number first .. first + count - 1 of a stream. */
void normal_fill(const normal *table, uint64_t stream, uint64_t first, size_t count, void *out);

/* One bit string of `dtype` that stands for `value`, in the low bits. */
uint32_t element_encode(float value, element dtype);

/*
 * A random MXFP4 matrix: uniform codes and two neighbouring scales, mixed so that the values have
 * variance 1 / columns. Rows of ceil(columns / 32) groups.
 */
typedef struct mx_matrix {
    uint64_t codes;  /* stream of the blocks: two words each */
    uint64_t scales; /* stream of the scales: eight a word */
    uint8_t low;     /* the lesser scale */
    uint8_t share;   /* how many of 256 are one greater */
} mx_matrix;

void mx_make(mx_matrix *out, uint64_t codes, uint64_t scales, uint32_t columns);

/* Writes bytes first .. first + count - 1 of the blocks, or as many scales. */
void mx_fill_blocks(const mx_matrix *matrix, uint64_t first, size_t count, uint8_t *out);
void mx_fill_scales(const mx_matrix *matrix, uint64_t first, size_t count, uint8_t *out);

/*
 * Decodes group `group` of rows first .. first + rows - 1 (of `groups` groups each) and writes it
 * transposed: out[column][row], for the first `columns` (at most 32) of the group's columns.
 */
void mx_fill_transposed(const mx_matrix *matrix, uint64_t first, uint32_t rows, uint32_t group,
                        uint32_t groups, uint32_t columns, element dtype, void *out);

#endif
