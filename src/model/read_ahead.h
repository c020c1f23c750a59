/* Weights brought into memory before they are needed, and kept there. */
#ifndef MODEL_READ_AHEAD_H
#define MODEL_READ_AHEAD_H

#include "model/model.h"

/*
 * Reads what is not in memory yet of the weight files, on `threads` threads; nothing when memory is
 * too small for all of them. `progress`, which may be NULL, is told of bytes and only when there is
 * something to read.
 */
gptoss_status model_read_ahead(const gptoss_model *model, uint32_t threads,
                               gptoss_progress_fn progress, void *user, gptoss_error *error);

/* Locks what passes read of weights, packed ones and the like among it, in memory and reads what is
 * not there yet. On failure nothing is locked. */
gptoss_status model_lock(const gptoss_model *model, uint32_t threads, gptoss_progress_fn progress,
                         void *user, gptoss_error *error);

#endif
