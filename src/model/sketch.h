/* The sketch of the unembedding, and the search for the best tokens through it. */
#ifndef MODEL_SKETCH_H
#define MODEL_SKETCH_H

#include "base/status.h"
#include "op/sketch.h"

struct gptoss_model;

/* A sketch and the memory that it lies in. */
typedef struct model_sketch {
    sketch of;
    float largest_norm;
    void *memory;
    size_t bytes;
} model_sketch;

/* Bytes of a sketch of [rows, columns], and of its high plane and what is read with that. Both 0
 * for more columns than sketches can have. */
uint64_t model_sketch_bytes(uint64_t rows, uint64_t columns);
uint64_t model_sketch_first_bytes(uint64_t rows, uint64_t columns);

/*
 * Makes model->sketch, unless it is there. A model that is too wide for sketches stays without.
 * `progress`, which may be NULL, is told bytes of the unembedding; GPTOSS_INTERRUPTED when it said
 * no.
 */
gptoss_status model_sketch_make(struct gptoss_model *model, uint32_t threads,
                                gptoss_progress_fn progress, void *user, gptoss_error *error);

/* Accepts NULL. */
void model_sketch_free(model_sketch *made);

/* ---- the best tokens ------------------------------------------------------------------------- */

/* Most tokens that one search finds. */
#define TOKEN_SEARCH_MAX 1024

/* What a search works in; belongs to one executor. */
typedef struct token_search {
    row_search search;
    uint32_t threads;
    const uint16_t *processors; /* [threads] or NULL, as in parallel_run_on */
    float *scratch;             /* [threads][scratch_floats] */
    size_t scratch_floats;
    void *memory;
    size_t bytes;
    row_reads reads; /* since the beginning */
} token_search;

/* For a model that has a sketch, and outlives *out. */
gptoss_status token_search_init(token_search *out, const struct gptoss_model *model,
                                uint32_t threads, const uint16_t *processors, gptoss_error *error);

/* Accepts a zeroed object. */
void token_search_free(token_search *of);

/*
 * The best tokens for x [hidden], the final norm of a row: writes them to `best` [query->count], in
 * order, and their number to *found. `again` says that the call before had the same x. Returns
 * false when x has no bounds or a logit is not finite: then only all logits tell more.
 */
bool token_search_best(token_search *of, const float *x, bool again, const row_query *query,
                       ranked_row *best, size_t *found);

#endif
