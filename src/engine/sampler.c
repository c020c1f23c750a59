/* Choosing a token: filters, then Gumbel-max. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "engine/sampler.h"
#include "model/sketch.h"

static gptoss_status check_sampling(const gptoss_sampling *s, gptoss_error *error)
{
    if (!(s->temperature >= 0.0F) || !isfinite(s->temperature))
        return fail(error, GPTOSS_USAGE, "temperature %g: expected a number of at least 0",
                    (double)s->temperature);
    if (!(s->top_p > 0.0F && s->top_p <= 1.0F))
        return fail(error, GPTOSS_USAGE, "top-p %g: expected a number above 0 and at most 1",
                    (double)s->top_p);
    if (!(s->min_p >= 0.0F && s->min_p <= 1.0F))
        return fail(error, GPTOSS_USAGE, "min-p %g: expected a number from 0 to 1",
                    (double)s->min_p);
    return GPTOSS_OK;
}

gptoss_status gptoss_sampler_open(uint32_t vocab, const gptoss_tokenizer *tokenizer,
                                  const gptoss_sampling *sampling, gptoss_sampler **out,
                                  gptoss_error *error)
{
    *out = NULL;
    gptoss_status status = check_sampling(sampling, error);
    if (status != GPTOSS_OK)
        return status;
    gptoss_sampler *sampler = calloc(1, sizeof *sampler);
    if (sampler == NULL)
        return fail_memory(error, "a sampler", sizeof *sampler);
    sampler->vocab = vocab;
    sampler->sampling = *sampling;
    sampler->survivors = calloc(vocab, sizeof *sampler->survivors);
    sampler->allowed = tokenizer == NULL ? NULL : calloc(vocab, sizeof *sampler->allowed);
    if (sampler->survivors == NULL || (tokenizer != NULL && sampler->allowed == NULL)) {
        gptoss_sampler_close(sampler);
        return fail_memory(error, "a sampler", vocab * sizeof *sampler->survivors);
    }
    for (uint32_t id = 0; tokenizer != NULL && id < vocab; id++) {
        size_t length;
        sampler->allowed[id] = gptoss_tokenizer_bytes(tokenizer, id, &length) != NULL;
    }
    *out = sampler;
    return GPTOSS_OK;
}

void gptoss_sampler_close(gptoss_sampler *sampler)
{
    if (sampler == NULL)
        return;
    free(sampler->allowed);
    free(sampler->survivors);
    free(sampler);
}

/* Descending value, ascending id. */
static int by_value(const void *a, const void *b)
{
    const gptoss_choice *x = a;
    const gptoss_choice *y = b;
    if (x->logprob != y->logprob)
        return x->logprob > y->logprob ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

/* Whether `a` comes after `b`: the order of the heap below, whose root is the worst. */
static bool worse(const gptoss_choice *a, const gptoss_choice *b)
{
    return by_value(a, b) > 0;
}

static void swap(gptoss_choice *a, gptoss_choice *b)
{
    gptoss_choice moved = *a;
    *a = *b;
    *b = moved;
}

static void sift_down(gptoss_choice *heap, size_t count, size_t at)
{
    for (;;) {
        size_t worst = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
            if (worse(&heap[child], &heap[worst]))
                worst = child;
        if (worst == at)
            return;
        swap(&heap[at], &heap[worst]);
        at = worst;
    }
}

/* Puts the `keep` best of `count` choices first, in order; all others stay behind them. */
static size_t keep_best(gptoss_choice *choices, size_t count, size_t keep)
{
    keep = keep < count ? keep : count;
    for (size_t at = keep / 2; at-- > 0;)
        sift_down(choices, keep, at);
    for (size_t i = keep; i < count && keep > 0; i++) {
        if (!worse(&choices[0], &choices[i]))
            continue;
        swap(&choices[0], &choices[i]);
        sift_down(choices, keep, 0);
    }
    qsort(choices, keep, sizeof *choices, by_value);
    return keep;
}

/* All allowed tokens with their logits; the count. */
static size_t collect(gptoss_sampler *sampler, const float *logits)
{
    size_t count = 0;
    for (uint32_t id = 0; id < sampler->vocab; id++)
        if (sampler->allowed == NULL || sampler->allowed[id])
            sampler->survivors[count++] = (gptoss_choice){id, logits[id]};
    return count;
}

/*
 * The smallest set of best tokens whose share of the probability of those in play is at least
 * top_p. Few are needed as a rule, so ever more are sorted until they suffice.
 */
static size_t filter_top_p(gptoss_choice *choices, size_t count, float best, double temperature,
                           double top_p)
{
    double total = 0.0;
    for (size_t i = 0; i < count; i++)
        total += exp(((double)choices[i].logprob - best) / temperature);
    for (size_t sorted = 64;; sorted *= 8) {
        size_t kept = keep_best(choices, count, sorted);
        double sum = 0.0;
        for (size_t i = 0; i < kept; i++) {
            sum += exp(((double)choices[i].logprob - best) / temperature);
            if (sum >= top_p * total)
                return i + 1;
        }
        if (kept == count)
            return count;
    }
}

/* Tokens at least min_p times as likely as the best; the order is kept. */
static size_t filter_min_p(gptoss_choice *choices, size_t count, float best, float temperature,
                           double min_p)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (row_likely(choices[i].logprob, best, temperature, min_p))
            choices[kept++] = choices[i];
    return kept;
}

/*
 * The token with the largest logit / temperature + Gumbel noise, which is distributed as the
 * softmax says. The noise of a token depends on nothing but the seed, the position and its id.
 */
static uint32_t gumbel_max(const gptoss_choice *choices, size_t count,
                           const gptoss_sampling *sampling, uint32_t position)
{
    uint32_t chosen = choices[0].id;
    double best = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        double score = row_score(choices[i].logprob, choices[i].id, sampling->temperature,
                                 sampling->seed, position);
        if (score > best || (score == best && choices[i].id < chosen)) {
            best = score;
            chosen = choices[i].id;
        }
    }
    return chosen;
}

static uint32_t sample(gptoss_sampler *sampler, size_t count, float best, uint32_t position)
{
    const gptoss_sampling *s = &sampler->sampling;
    gptoss_choice *choices = sampler->survivors;
    if (s->top_k > 0)
        count = keep_best(choices, count, s->top_k);
    if (s->top_p < 1.0F)
        count = filter_top_p(choices, count, best, s->temperature, s->top_p);
    if (s->min_p > 0.0F)
        count = filter_min_p(choices, count, best, s->temperature, s->min_p);
    return gumbel_max(choices, count, s, position);
}

gptoss_status sampler_choose_id(gptoss_sampler *sampler, const float *logits, uint32_t position,
                                uint32_t *id, gptoss_error *error)
{
    size_t count = collect(sampler, logits);
    if (count == 0)
        return fail(error, GPTOSS_USAGE,
                    "no token can be chosen: the tokenizer knows none of the "
                    "model's %u ids",
                    sampler->vocab);
    gptoss_choice best = sampler->survivors[0];
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(sampler->survivors[i].logprob))
            return fail(error, GPTOSS_NUMERIC, "the logit of token %u at position %u is not finite",
                        sampler->survivors[i].id, position);
        if (sampler->survivors[i].logprob > best.logprob)
            best = sampler->survivors[i];
    }
    *id = sampler->sampling.temperature == 0.0F ? best.id
                                                : sample(sampler, count, best.logprob, position);
    return GPTOSS_OK;
}

gptoss_status gptoss_sampler_choose(gptoss_sampler *sampler, const float *logits, uint32_t position,
                                    gptoss_choice *out, gptoss_error *error)
{
    gptoss_status status = sampler_choose_id(sampler, logits, position, &out->id, error);
    if (status == GPTOSS_OK)
        out->logprob = (float)gptoss_logprob(logits, sampler->vocab, out->id);
    return status;
}

/* ---- without all logits ---------------------------------------------------------------------- */

bool sampler_is_bounded(const gptoss_sampler *sampler)
{
    const gptoss_sampling *s = &sampler->sampling;
    if (s->temperature == 0.0F)
        return true;
    return s->top_k > 0 ? s->top_k <= TOKEN_SEARCH_MAX : s->top_p == 1.0F;
}

row_query sampler_query(const gptoss_sampler *sampler, uint32_t position)
{
    const gptoss_sampling *s = &sampler->sampling;
    row_query query = {
        .count = 1, .allowed = sampler->allowed, .seed = s->seed, .position = position};
    if (s->temperature == 0.0F)
        return query;
    if (s->top_k > 0)
        query.count = s->top_k;
    else if (s->min_p == 0.0F)
        query.temperature = s->temperature;
    return query;
}

bool sampler_query_again(const gptoss_sampler *sampler, float best, uint32_t position,
                         row_query *query)
{
    const gptoss_sampling *s = &sampler->sampling;
    if (s->temperature == 0.0F || s->top_k > 0 || s->min_p == 0.0F)
        return false;
    *query = (row_query){.count = 1,
                         .allowed = sampler->allowed,
                         .temperature = s->temperature,
                         .seed = s->seed,
                         .position = position,
                         .best = best,
                         .least_share = s->min_p};
    return true;
}

uint32_t sampler_pick(gptoss_sampler *sampler, const ranked_row *best, size_t count,
                      uint32_t position)
{
    if (count == 1 || sampler->sampling.temperature == 0.0F)
        return best[0].id;
    for (size_t i = 0; i < count; i++)
        sampler->survivors[i] = (gptoss_choice){best[i].id, best[i].product};
    return sample(sampler, count, best[0].product, position);
}

size_t gptoss_sampler_top(gptoss_sampler *sampler, const float *logits, size_t count,
                          gptoss_choice *out)
{
    size_t kept = keep_best(sampler->survivors, collect(sampler, logits), count);
    if (kept == 0)
        return 0;
    float first = sampler->survivors[0].logprob;
    double base = gptoss_logprob(logits, sampler->vocab, sampler->survivors[0].id);
    for (size_t i = 0; i < kept; i++)
        out[i] = (gptoss_choice){sampler->survivors[i].id,
                                 (float)(base + (sampler->survivors[i].logprob - (double)first))};
    return kept;
}

double gptoss_logprob(const float *logits, uint32_t vocab, uint32_t id)
{
    float top = logits[0];
    for (uint32_t i = 1; i < vocab; i++)
        top = logits[i] > top ? logits[i] : top;
    double sum = 0.0;
    for (uint32_t i = 0; i < vocab; i++)
        sum += exp((double)logits[i] - top);
    return (double)logits[id] - top - log(sum);
}
