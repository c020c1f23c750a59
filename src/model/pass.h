/* A batch on its way through the model, and how each of its stages ends. */
#ifndef MODEL_PASS_H
#define MODEL_PASS_H

#include "gptoss.h"
#include "model/requantise.h"
#include "model/workspace.h"

/* What each thread of the team sees: the same, but for `self` and `scratch`. */
typedef struct pass {
    const team *self;
    const gptoss_config *config;
    workspace *space;
    size_t rows;
    uint32_t layer; /* the present one */
    float *scratch; /* this thread's own */
    op_alarm *alarm;
    gptoss_precision precision;   /* of the inputs of matrix products */
    const rounded_layer *rounded; /* the present layer's attention in 8 bits, or NULL */
    bool bfloat;                  /* matrix products of numbers rounded to bfloat16 */
    bool blas;                    /* matrix products through BLAS */
    bool torch;                   /* round as OpenAI's torch code does */
    gptoss_tap_fn tap;            /* or NULL */
    void *tap_user;
} pass;

/*
 * Ends a stage whose pieces lie `stride` floats apart at `data`, and the operation that made it:
 * rounds it to bfloat16 when `torch` says so, then shows it to the tap, which may overwrite it. The
 * whole team calls it, and returns when the values are final. In float32 and without a tap it costs
 * a look at the clock.
 */
void pass_settle(const pass *p, gptoss_stage stage, float *data, size_t stride);

/* Ends an operation behind which no stage ends: what passed since the last one was its time. */
void pass_lap(const pass *p, gptoss_operation operation);

/* Ends GPTOSS_STAGE_EXPERTS, the ids of the routing. */
void pass_settle_experts(const pass *p);

#endif
