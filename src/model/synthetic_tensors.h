/* The tensors of a random model: names, shapes, and how their values are made. */
#ifndef MODEL_SYNTHETIC_TENSORS_H
#define MODEL_SYNTHETIC_TENSORS_H

#include "checkpoint/random_weights.h"

typedef enum synthetic_fill {
    SYNTHETIC_NORMAL, /* BF16, normally distributed */
    SYNTHETIC_BLOCKS, /* MXFP4 codes, two a byte */
    SYNTHETIC_SCALES, /* MXFP4 scales */
} synthetic_fill;

/* How one tensor is made. Its type and shape are in the tensor itself. */
typedef struct synthetic_recipe {
    synthetic_fill how;
    uint64_t stream;       /* of the values, or of the MXFP4 codes */
    uint64_t scale_stream; /* MXFP4 only */
    uint64_t first;        /* where in the stream it begins: k and v lie behind q */
    uint32_t columns;      /* MXFP4 only: inputs of a row */
    double mean;           /* normal only */
    double deviation;
    winners planted; /* normal only: none but in an unembedding */
} synthetic_recipe;

typedef struct synthetic_tensors {
    tensor *tensors;           /* offsets are set, data is not */
    synthetic_recipe *recipes; /* [count] */
    char *names;               /* [count][SAFETENSORS_MAX_NAME] */
    size_t count;
    uint64_t bytes; /* of all, each beginning on a page of its own */
} synthetic_tensors;

/*
 * Lists what a model of this checked configuration needs, in the layout of transformers with MXFP4.
 * The values are those of `make-checkpoint` for the same shape and seed, with --winners or without.
 */
gptoss_status synthetic_list(const gptoss_config *config, uint64_t seed, bool with_winners,
                             synthetic_tensors *out, gptoss_error *error);

/* Accepts a zeroed object. */
void synthetic_free(synthetic_tensors *list);

/* Makes elements first .. first + count - 1 of a tensor (bytes, of MXFP4) at `out`. `table` is the
 * normal distribution of the recipe, where it has one. */
void synthetic_make(const synthetic_recipe *recipe, const normal *table, uint64_t first,
                    size_t count, uint8_t *out);

#endif
