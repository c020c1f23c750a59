/* Copies of the dense matrices in 8 bits, for passes of precision q8. */
#ifndef MODEL_REQUANTISE_H
#define MODEL_REQUANTISE_H

#include "base/status.h"
#include "model/weights.h"
#include "op/q8.h"

/* The matrices of a layer's attention. The router stays as it is: which experts a row goes to is
 * worth more than the few bytes. */
typedef struct rounded_layer {
    q8_matrix q;
    q8_matrix k;
    q8_matrix v;
    q8_matrix out;
} rounded_layer;

typedef struct rounded_weights {
    rounded_layer *layers; /* [layers]; NULL when nothing was rounded */
    void *memory;
    size_t bytes;
} rounded_weights;

/*
 * Rounds the attention's matrices of all layers on `threads` threads. A model with one whose
 * columns are no multiple of 32 is left as it is. With `release` the originals' pages, which are a
 * file's, no longer count as memory of this process. `progress`, which may be NULL, is told bytes.
 * On failure *out is empty.
 */
gptoss_status requantise(const gptoss_config *config, const weights *bound, bool release,
                         uint32_t threads, gptoss_progress_fn progress, void *user,
                         rounded_weights *out, gptoss_error *error);

/* Bytes of the copies; 0 for a model that is left as it is. */
uint64_t requantise_bytes(const gptoss_config *config, const weights *bound);

/* Accepts a zeroed object. */
void rounded_weights_free(rounded_weights *rounded);

#endif
