/* One transformer layer: an attention block and a mixture-of-experts block. */
#ifndef MODEL_LAYER_H
#define MODEL_LAYER_H

#include "model/weights.h"
#include "model/workspace.h"

/* A batch on its way through the layers. What each thread of the team sees, but for `self`. */
typedef struct pass {
    const team *self;
    const gptoss_config *config;
    workspace *space;
    size_t rows;
    float *scratch; /* this thread's own */
    op_alarm *alarm;
} pass;

/* hidden += Attention(RMSNorm(hidden)); the batch's keys and values go into the caches of
 * space->views. `sliding` says whether the window applies. */
void layer_attention(const pass *p, const layer_weights *layer, bool sliding);

/* hidden += MoE(RMSNorm(hidden)) */
void layer_experts(const pass *p, const layer_weights *layer);

#endif
