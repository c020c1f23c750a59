/* The weights of a checkpoint, bound by name and validated: views into the mapped files. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include "checkpoint/checkpoint.h"
#include "op/matrix.h"

/* One layer. Vectors are decoded copies, matrices lie in the checkpoint; biases of the attention
 * are NULL when the model has none. q_dim = heads * head_dim, kv_dim = kv_heads * head_dim. */
typedef struct layer_weights {
    const float *attention_norm; /* [hidden] */
    matrix q;                    /* [q_dim, hidden] */
    matrix k;                    /* [kv_dim, hidden] */
    matrix v;                    /* [kv_dim, hidden] */
    matrix out;                  /* [hidden, q_dim] */
    const float *q_bias;         /* [q_dim] */
    const float *k_bias;         /* [kv_dim] */
    const float *v_bias;         /* [kv_dim] */
    const float *out_bias;       /* [hidden] */
    const float *sinks;          /* [heads] */
    const float *mlp_norm;       /* [hidden] */
    matrix router;               /* [experts, hidden] */
    const float *router_bias;    /* [experts] */
    matrix_stack gate_up;        /* [experts][2*inter, hidden], rows gate 0, up 0, gate 1, ... */
    matrix_stack down;           /* [experts][hidden, inter] */
    const uint8_t *gate_up_bias; /* [experts, 2*inter] numbers */
    const uint8_t *down_bias;    /* [experts, hidden] numbers */
    number_format gate_up_bias_format;
    number_format down_bias_format;
} layer_weights;

typedef struct weights {
    matrix embedding;        /* [vocab, hidden] */
    const float *final_norm; /* [hidden] */
    matrix unembedding;      /* [vocab, hidden]; the embedding when tied */
    layer_weights *layers;   /* [layers] */
    float *vectors;          /* the decoded copies */
} weights;

/*
 * Finds every weight of the layout by its name and checks its shape and dtype against the
 * configuration. The error names the first tensor that is missing or wrong, with both shapes. Frees
 * nothing of `files`, which must outlive *out.
 */
gptoss_status weights_bind(const checkpoint *files, gptoss_layout layout,
                           const gptoss_config *config, weights *out, gptoss_error *error);

/* Accepts a zeroed object. */
void weights_free(weights *bound);

#endif
