/* An open model: its checkpoint, configuration and bound weights. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "checkpoint/naming.h"
#include "model/pack.h"
#include "model/requantise.h"
#include "model/rope.h"
#include "model/sketch.h"
#include "model/weights.h"

struct gptoss_model {
    checkpoint *files;
    gptoss_config config;
    gptoss_layout layout;
    weights weights;
    packed_memory *packed;   /* or NULL */
    rounded_weights rounded; /* of gptoss_model_prepare; empty without it */
    bool only_q8;            /* nobody is going to read what they stand for */
    rope rope;
    model_sketch *sketch; /* of the unembedding; NULL until it is prepared */
    char identity[65];    /* of a model in memory, which packing takes apart; else empty */
};

/* Binds the weights of model->files, whose configuration is known. `where` names it in errors. */
gptoss_status model_bind(gptoss_model *model, const char *where, gptoss_error *error);

/* What gptoss_model_identity gives, found from the tensors. */
gptoss_status model_identify(const gptoss_model *model, char out[65], gptoss_error *error);

/* A walk over the tensors that are weights of the model, role by role. Start from zero. */
typedef struct weight_walk {
    weight_role next_role;
    uint32_t next_layer;
} weight_walk;

/* The next weight and its role, or NULL at the end. */
const tensor *model_next_weight(const gptoss_model *model, weight_walk *walk, weight_role *role);

#endif
