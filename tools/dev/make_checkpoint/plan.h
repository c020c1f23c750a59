/* Every tensor of a checkpoint: name, shape, place in the files, and how its values are made. */
#ifndef MAKE_CHECKPOINT_PLAN_H
#define MAKE_CHECKPOINT_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "shape.h"

typedef enum fill {
    FILL_NORMAL,  /* normally distributed */
    FILL_BLOCKS,  /* MXFP4 codes, two a byte */
    FILL_SCALES,  /* MXFP4 scales */
    FILL_EXPERTS, /* an MXFP4 matrix, decoded and transposed to [expert, in, out] */
} fill;

typedef struct planned_tensor {
    char name[128];
    dtype dtype;
    uint32_t rank;
    uint64_t shape[4];
    uint64_t bytes;
    uint32_t file;
    uint64_t offset; /* among the tensors' bytes of its file */

    fill how;
    uint64_t stream;       /* of the values, or of the MXFP4 codes */
    uint64_t scale_stream; /* MXFP4 only */
    uint64_t first;        /* where in the stream it begins: k and v lie behind q */
    double mean;           /* FILL_NORMAL only */
    double deviation;
    winners planted;  /* FILL_NORMAL only: none but in an unembedding */
    uint32_t columns; /* MXFP4 only: inputs of a row */
} planned_tensor;

typedef struct plan {
    planned_tensor *tensors; /* in the order of the files and offsets */
    size_t count;
    uint32_t files;
    uint64_t bytes;
} plan;

/* Lists the tensors of a faultless request and shares them out among files. Out of memory ends the
 * program. */
void plan_make(const request *wanted, plan *out);
void plan_free(plan *tensors);

/* Writes the name of a file, as the published checkpoints spell it. */
#define PLAN_FILE_NAME 64
void plan_file_name(const plan *tensors, layout kind, uint32_t file, char name[PLAN_FILE_NAME]);

#endif
