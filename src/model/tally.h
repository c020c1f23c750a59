/* Counting what forward passes read and compute, from shapes and from the routing. */
#ifndef MODEL_TALLY_H
#define MODEL_TALLY_H

#include "model/kv_cache.h"
#include "model/requantise.h"
#include "model/weights.h"
#include "op/op.h"
#include "op/sketch.h"

struct forward_row;

/* The time since *lap, which becomes now, as that of an operation. Thread 0 calls it. */
void tally_time(gptoss_statistics *total, gptoss_operation operation, uint64_t *lap);

/* The weights of one layer, those that were taken in 8 bits if any, and the routing that has just
 * used them. Keys and values are those of `rows` rows, all else is of the routing's rows. Thread 0
 * calls it. */
void tally_layer(gptoss_statistics *total, const gptoss_config *config, const layer_weights *layer,
                 const rounded_layer *rounded, size_t rows, const routing *route);

/* Rows of the embedding, the final norm, and the attention of all layers; of the last one only that
 * of rows that want logits unless `all`. Thread 0 calls it. */
void tally_rows(gptoss_statistics *total, const gptoss_config *config, const weights *bound,
                const struct forward_row *rows, size_t count, bool all);

/* All logits of `rows` rows, computed from the whole unembedding. Thread 0 calls it. */
void tally_unembedding(gptoss_statistics *total, const matrix *unembedding, size_t rows);

/* A search of the unembedding through its sketch. */
void tally_search(gptoss_statistics *total, const matrix *unembedding, const row_reads *read);

#endif
