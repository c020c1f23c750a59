/* The names that the three layouts give to the same weights. */
#ifndef CHECKPOINT_NAMING_H
#define CHECKPOINT_NAMING_H

#include "checkpoint/checkpoint.h"

/* What a tensor is for. Names below are of the Hugging Face layouts. */
typedef enum weight_role {
    WEIGHT_EMBEDDING,
    WEIGHT_FINAL_NORM,
    WEIGHT_UNEMBEDDING,
    /* one each per layer from here on */
    WEIGHT_ATTENTION_NORM,
    WEIGHT_QKV, /* original layout only: rows of q, then k, then v */
    WEIGHT_QKV_BIAS,
    WEIGHT_Q, /* Hugging Face layouts only, to WEIGHT_V_BIAS */
    WEIGHT_Q_BIAS,
    WEIGHT_K,
    WEIGHT_K_BIAS,
    WEIGHT_V,
    WEIGHT_V_BIAS,
    WEIGHT_SINKS,
    WEIGHT_OUT,
    WEIGHT_OUT_BIAS,
    WEIGHT_MLP_NORM,
    WEIGHT_ROUTER,
    WEIGHT_ROUTER_BIAS,
    WEIGHT_GATE_UP, /* unquantised [experts, hidden, 2*inter], to WEIGHT_DOWN */
    WEIGHT_DOWN,
    WEIGHT_GATE_UP_BLOCKS, /* MXFP4, to WEIGHT_DOWN_SCALES */
    WEIGHT_GATE_UP_SCALES,
    WEIGHT_DOWN_BLOCKS,
    WEIGHT_DOWN_SCALES,
    WEIGHT_GATE_UP_BIAS,
    WEIGHT_DOWN_BIAS,
    WEIGHT_ROLE_COUNT
} weight_role;

/* The layout by the names found; fails when there is no embedding or no expert of layer 0. */
gptoss_status naming_detect(const checkpoint *files, gptoss_layout *out, gptoss_error *error);

/* Writes the name of a role in a layout into `name`; false when the layout has no such tensor.
 * `layer` is ignored by roles that are not per layer. */
bool naming_of(gptoss_layout layout, weight_role role, uint32_t layer,
               char name[SAFETENSORS_MAX_NAME]);

#endif
