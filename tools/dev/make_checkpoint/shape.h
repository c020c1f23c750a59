/* What checkpoint to make: the architecture and how it is laid out in files. */
#ifndef MAKE_CHECKPOINT_SHAPE_H
#define MAKE_CHECKPOINT_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/random_weights.h"

typedef enum layout { LAYOUT_ORIGINAL, LAYOUT_HF_MXFP4, LAYOUT_HF } layout;

typedef struct shape {
    uint32_t layers;
    uint32_t hidden;
    uint32_t intermediate;
    uint32_t vocab;
    uint32_t heads;
    uint32_t kv_heads;
    uint32_t head_dim;
    uint32_t experts;
    uint32_t top_k;
    uint32_t window;
    uint32_t rope_original;
    uint32_t context;        /* 0: rope_original * rope_factor */
    const char *layer_types; /* 's' sliding, 'f' full, repeated over the layers */
    double rope_theta;
    double rope_factor; /* 1: plain rotary embedding */
    double rope_beta_fast;
    double rope_beta_slow;
    double norm_eps;
    double swiglu_limit;
    double swiglu_alpha;
    bool rope_truncate;
    bool tied;
    bool no_attention_bias;
} shape;

typedef struct request {
    shape shape;
    layout layout;
    dtype dtype; /* of every tensor that is not MXFP4 */
    uint64_t seed;
    uint32_t shards;     /* 0: by shard_size */
    uint64_t shard_size; /* bytes of tensors in a file, about; 0: one file */
    bool winners;        /* behind a token, the logit of the next id stands out */
    bool sparse;         /* headers only, the weights are holes that read as zero */
    bool no_index;       /* no index file beside several shards */
    bool unaligned;      /* tensors begin at odd addresses, which the format allows */
    const char *directory;
} request;

/* "original" and the like; "BF16" and the like; bytes of one number. */
const char *layout_name(layout kind);
const char *element_name(dtype kind);
uint32_t element_bytes(dtype kind);

/* Shapes by name: "tiny", "20b", "120b". Returns false when there is no such preset. */
bool shape_preset(const char *name, shape *out);

/* Shards of the published checkpoints of this shape in this layout; 1 for any other shape. */
uint32_t shape_published_shards(const shape *model, layout kind);

bool shape_is_sliding(const shape *model, uint32_t layer);
uint32_t shape_context(const shape *model);

/* NULL, or the sentence that says why no checkpoint can be made of this. */
const char *request_fault(const request *wanted);

#endif
