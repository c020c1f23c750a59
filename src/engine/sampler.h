/* What a sampler is made of, and choosing from less than all logits. */
#ifndef ENGINE_SAMPLER_H
#define ENGINE_SAMPLER_H

#include "gptoss.h"
#include "op/sketch.h"

struct gptoss_sampler {
    uint32_t vocab;
    gptoss_sampling sampling;
    bool *allowed;            /* [vocab]; NULL: all are */
    gptoss_choice *survivors; /* [vocab] logits of the tokens still in play, in `logprob` */
};

/* Chooses as gptoss_sampler_choose does, without the probability. */
gptoss_status sampler_choose_id(gptoss_sampler *sampler, const float *logits, uint32_t position,
                                uint32_t *id, gptoss_error *error);

/*
 * Whether the best of the logits suffice to choose: not for top-p without top-k, whose share needs
 * the sum over all.
 */
bool sampler_is_bounded(const gptoss_sampler *sampler);

/* What a bounded sampler asks first, and whether it asks again knowing the largest logit; if so
 * *query becomes that second question. */
row_query sampler_query(const gptoss_sampler *sampler, uint32_t position);
bool sampler_query_again(const gptoss_sampler *sampler, float best, uint32_t position,
                         row_query *query);

/* The choice from the answer to the last question, at least one row. */
uint32_t sampler_pick(gptoss_sampler *sampler, const ranked_row *best, size_t count,
                      uint32_t position);

#endif
