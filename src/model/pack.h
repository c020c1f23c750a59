/* The dense BF16 matrices of a model, packed to 12 bits a number; the layout is drawn in
 * kernel/dense.h. */
#ifndef MODEL_PACK_H
#define MODEL_PACK_H

#include "model/weights.h"

/* Where packed matrices lie. */
typedef struct packed_memory packed_memory;

/*
 * Replaces the unembedding, which may be the embedding too, and the projections of the attention of
 * the first `layers` layers by packed ones, on `threads` threads. Matrices that are not BF16 stay,
 * and those that would not become smaller. The pages of what was packed are released: those of a
 * file as it goes, others, which are zeros then, matrix by matrix. Adds to *memory, which begins as
 * NULL. On failure *bound can be used as it is, and packed again.
 */
gptoss_status pack_weights(weights *bound, uint32_t layers, bool of_files, uint32_t threads,
                           packed_memory **memory, gptoss_progress_fn progress, void *user,
                           gptoss_error *error);

/* Where packed weights lie, stretch by stretch, in no order. Returns false behind the last one. */
bool pack_stretch(const packed_memory *memory, size_t index, const uint8_t **start, size_t *bytes);

/* Accepts NULL. What was packed may not be used any more. */
void pack_free(packed_memory *memory);

/* About how many bytes packing takes, as if there were no escapes. What is packed takes none. */
uint64_t pack_bytes(const weights *bound, uint32_t layers);

/* How many bytes fewer a token reads with the matrices packed than as they are in the checkpoint:
 * of those that are packed as measured, of the others as if they had no escapes. */
uint64_t pack_saving(const weights *bound, uint32_t layers);

#endif
