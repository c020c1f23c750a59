/* Feeding tokens and choosing the next one, from as few logits as that takes. */
#include <math.h>

#include "base/clock.h"
#include "base/status.h"
#include "engine/executor.h"
#include "engine/sampler.h"
#include "model/tally.h"

/* Whether tokens can be chosen without all logits: nobody wants to see these, and what is computed
 * is the product that the sketch bounds. */
static bool is_bounded(const gptoss_executor *executor, const gptoss_sampler *sampler)
{
    return executor->model->sketch != NULL && executor->search.memory != NULL &&
           executor->options.tap == NULL && executor->options.numerics == GPTOSS_NUMERICS_F32 &&
           sampler_is_bounded(sampler);
}

/* One search, counted among what is read. */
static bool find_best(gptoss_executor *executor, bool again, const row_query *query,
                      ranked_row *best, size_t *found)
{
    token_search *u = &executor->search;
    row_reads before = u->reads;
    uint64_t lap = clock_now();
    bool good = token_search_best(u, executor->space.normed, again, query, best, found);
    row_reads read = {.high = u->reads.high - before.high,
                      .low = u->reads.low - before.low,
                      .exact = u->reads.exact - before.exact};
    tally_search(&executor->space.statistics, u->search.weights, &read);
    tally_time(&executor->space.statistics, GPTOSS_OPERATION_UNEMBEDDING, &lap);
    return good && *found > 0;
}

/* Chooses through the sketch; false when that cannot be done for this row. */
static bool choose_bounded(gptoss_executor *executor, gptoss_sampler *sampler, uint32_t position,
                           uint32_t *id)
{
    ranked_row best[TOKEN_SEARCH_MAX];
    row_query query = sampler_query(sampler, position);
    size_t found;
    if (!find_best(executor, false, &query, best, &found))
        return false;
    if (sampler_query_again(sampler, best[0].product, position, &query) &&
        !find_best(executor, true, &query, best, &found))
        return false;
    executor->space.statistics.logit_rows++;
    *id = sampler_pick(sampler, best, found, position);
    return true;
}

static gptoss_status choose(gptoss_executor *executor, gptoss_sampler *sampler, uint32_t position,
                            bool bounded, uint32_t *id, gptoss_error *error)
{
    gptoss_status status = GPTOSS_OK;
    if (bounded && choose_bounded(executor, sampler, position, id))
        return GPTOSS_OK;
    executor->chosen_from_all++;
    if (bounded)
        status = forward_logits(executor->model, &executor->space, &executor->options, 1, error);
    if (status == GPTOSS_OK)
        status = sampler_choose_id(sampler, executor->space.logits, position, id, error);
    return status;
}

gptoss_status gptoss_executor_feed_choose(gptoss_executor *executor, gptoss_sequence *sequence,
                                          const uint32_t *tokens, size_t count,
                                          gptoss_sampler *sampler, gptoss_progress_fn progress,
                                          void *user, gptoss_choice *out, gptoss_error *error)
{
    uint32_t vocab = gptoss_model_config(executor->model)->vocab;
    const float *logits;
    if (count == 0)
        return fail(error, GPTOSS_USAGE, "no token is fed: expected at least one");
    if (sampler->vocab != vocab)
        return fail(error, GPTOSS_USAGE, "a sampler of %u tokens: expected one of the model's %u",
                    sampler->vocab, vocab);
    bool bounded = is_bounded(executor, sampler);
    executor->options.leave_logits = bounded;
    gptoss_status status =
        gptoss_executor_feed(executor, sequence, tokens, count, progress, user, &logits, error);
    executor->options.leave_logits = false;
    if (status != GPTOSS_OK)
        return status;
    out->logprob = NAN;
    executor->chosen++;
    return choose(executor, sampler, gptoss_sequence_length(sequence), bounded, &out->id, error);
}

void gptoss_executor_unembedded(const gptoss_executor *executor, gptoss_unembedded *out)
{
    const row_reads *reads = &executor->search.reads;
    *out = (gptoss_unembedded){.tokens = executor->chosen,
                               .from_all = executor->chosen_from_all,
                               .high_rows = reads->high,
                               .low_rows = reads->low,
                               .exact_rows = reads->exact};
}
