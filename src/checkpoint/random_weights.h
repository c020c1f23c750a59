/*
 * Random weights with which activations keep unit scale and routing is balanced. Every value is a
 * function of (seed, tensor, index) alone, so that pieces can be made in any order, by any number
 * of threads, in any layout.
 */
#ifndef CHECKPOINT_RANDOM_WEIGHTS_H
#define CHECKPOINT_RANDOM_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "checkpoint/safetensors.h"

/* What a weight is for. The numbers choose random streams, so that their order must stay. */
typedef enum random_role {
    RANDOM_EMBEDDING,
    RANDOM_FINAL_NORM,
    RANDOM_UNEMBEDDING,
    RANDOM_ATTENTION_NORM,
    RANDOM_QKV, /* rows of q, then k, then v */
    RANDOM_QKV_BIAS,
    RANDOM_SINKS,
    RANDOM_OUT,
    RANDOM_OUT_BIAS,
    RANDOM_MLP_NORM,
    RANDOM_ROUTER,
    RANDOM_ROUTER_BIAS,
    RANDOM_GATE_UP, /* its codes; its scales and its bias follow, here and below */
    RANDOM_GATE_UP_SCALES,
    RANDOM_GATE_UP_BIAS,
    RANDOM_DOWN,
    RANDOM_DOWN_SCALES,
    RANDOM_DOWN_BIAS,
} random_role;

/* Standard deviations of what is no matrix; a matrix has 1 / sqrt(columns), the embedding 1. */
#define RANDOM_NORM_DEVIATION 0.1 /* around 1 */
#define RANDOM_BIAS_DEVIATION 0.1
#define RANDOM_SINK_DEVIATION 1.0

/* The stream of random words that belongs to one tensor of one layer; UINT32_MAX is the layer of
 * what is outside the layers. */
uint64_t random_stream(uint64_t seed, uint32_t layer, random_role role);

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
    dtype type; /* BF16, F16 or F32 */
    uint32_t codes[NORMAL_QUANTILES];
} normal;

void normal_make(normal *out, double mean, double deviation, dtype type);

/* Writes values number first .. first + count - 1 of a stream. */
void normal_fill(const normal *table, uint64_t stream, uint64_t first, size_t count, void *out);

/*
 * Winners in an unembedding, as trained models have them: behind token t, the logit of t + 1 (of 0
 * behind the last token) stands RANDOM_WINNER_MARGIN standard deviations above the mean of all. For
 * that, row t + 1 has its first columns in common with row t of the embedding, which the residual
 * still holds at the end; its other columns are its own. Each number alone is drawn as without
 * winners.
 */
#define RANDOM_WINNER_MARGIN 8.0

typedef struct winners {
    uint64_t embedding; /* stream of the embedding's values */
    uint64_t rows;
    uint64_t columns;
    uint64_t common; /* columns of a row that come from the embedding; 0: no winners */
} winners;

/* A model with few columns or many layers may have a smaller margin. */
void winners_make(winners *out, uint64_t embedding, uint64_t rows, uint64_t columns,
                  uint32_t layers);

/* As normal_fill, of an unembedding with winners. */
void winners_fill(const winners *planted, const normal *table, uint64_t stream, uint64_t first,
                  size_t count, void *out);

/* The bits that stand for `value`, the low ones of the result. */
uint32_t random_encode(float value, dtype type);

/* Numbers that share one MXFP4 scale. */
#define MX_GROUP 32

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

#endif
