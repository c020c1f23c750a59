/* A forward pass: a batch of rows through all layers, in one parallel region. */
#ifndef MODEL_FORWARD_H
#define MODEL_FORWARD_H

#include "model/kv_cache.h"
#include "model/model.h"
#include "model/workspace.h"

typedef struct forward_row {
    kv_cache *cache;
    uint32_t position; /* the cache's length plus the earlier rows of the same cache */
    uint32_t token;
    bool want_logits;
} forward_row;

/* Called before each layer; returns false to abandon the pass. */
typedef bool (*forward_layer_fn)(void *user, uint32_t layer);

typedef struct forward_options {
    uint32_t threads;
    const uint16_t *processors; /* [threads] where they run; NULL: anywhere */
    gptoss_numerics numerics;
    gptoss_precision precision;
    bool blas;         /* batches of many rows through BLAS; not with torch's numerics, nor q8 */
    bool leave_logits; /* stop at the final norm; not with a tap, nor with torch's numerics */
    gptoss_tap_fn tap; /* or NULL */
    void *tap_user;
    forward_layer_fn on_layer; /* or NULL */
    void *layer_user;
} forward_options;

/*
 * Runs `count` checked rows through the model. The caches hold their keys and values afterwards,
 * but their lengths are the caller's to advance. space->normed holds [rows that want logits,
 * hidden], their final norm, and space->logits [rows that want them, vocab], unless they are left.
 * GPTOSS_NUMERIC names the layer and block behind which a value was not finite; GPTOSS_INTERRUPTED
 * means that on_layer said no.
 */
gptoss_status forward(const gptoss_model *model, workspace *space, const forward_options *options,
                      const forward_row *rows, size_t count, gptoss_error *error);

/* The logits that a pass left: those of the first `rows` rows of space->normed. */
gptoss_status forward_logits(const gptoss_model *model, workspace *space,
                             const forward_options *options, size_t rows, gptoss_error *error);

#endif
