/* One transformer layer: an attention block and a mixture-of-experts block. */
#ifndef MODEL_LAYER_H
#define MODEL_LAYER_H

#include "model/pass.h"
#include "model/weights.h"

/* hidden += Attention(RMSNorm(hidden)); the batch's keys and values go into the caches of
 * space->views. `sliding` says whether the window applies. */
void layer_attention(const pass *p, const layer_weights *layer, bool sliding);

/* The two halves of it: first w->normed = RMSNorm(hidden) and the caches, then the rest, which may
 * be that of fewer rows. Not with a tap. */
void layer_store(const pass *p, const layer_weights *layer, bool sliding);
void layer_attend(const pass *p, const layer_weights *layer, bool sliding);

/* hidden += MoE(RMSNorm(hidden)) */
void layer_experts(const pass *p, const layer_weights *layer);

#endif
