#include "parity/logit_statistics.h"

#include <math.h>
#include <stdlib.h>

#include "parity/compare.h"

/* The likeliest tokens, best first; fewer than GPTOSS_PARITY_TOP_K of a small vocabulary. */
typedef struct top_tokens {
    uint32_t ids[GPTOSS_PARITY_TOP_K];
    size_t count;
} top_tokens;

static top_tokens find_top(const double *logits, size_t vocab)
{
    top_tokens top = {.count = 0};
    for (size_t id = 0; id < vocab; id++) {
        if (top.count == GPTOSS_PARITY_TOP_K &&
            logits[id] <= logits[top.ids[GPTOSS_PARITY_TOP_K - 1]])
            continue;
        size_t at = top.count < GPTOSS_PARITY_TOP_K ? top.count++ : GPTOSS_PARITY_TOP_K - 1;
        for (; at > 0 && logits[id] > logits[top.ids[at - 1]]; at--)
            top.ids[at] = top.ids[at - 1];
        top.ids[at] = (uint32_t)id;
    }
    return top;
}

static double share_of(const top_tokens *a, const top_tokens *b)
{
    size_t shared = 0;
    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < b->count; j++)
            shared += a->ids[i] == b->ids[j];
    return (double)shared / (double)a->count;
}

/*
 * With sums S of exp(r - max r) and S' of exp(c - max c), the divergence is
 * sum exp(r - max r) (r - c) / S + (max c + log S') - (max r + log S).
 */
static double divergence(const double *reference, const double *candidate, size_t vocab,
                         double reference_max, double candidate_max)
{
    double reference_sum = 0;
    double candidate_sum = 0;
    double weighted = 0;
    for (size_t id = 0; id < vocab; id++) {
        double weight = exp(reference[id] - reference_max);
        reference_sum += weight;
        candidate_sum += exp(candidate[id] - candidate_max);
        weighted += weight * (reference[id] - candidate[id]);
    }
    double result = weighted / reference_sum + (candidate_max + log(candidate_sum)) -
                    (reference_max + log(reference_sum));
    return result > 0 ? result : 0; /* roundings can make equal distributions differ by -1e-16 */
}

static gptoss_status record(logit_statistics *s, gptoss_parity_report *report,
                            const gptoss_parity_top *found, gptoss_error *error)
{
    size_t count = report->logits.disagreement_count;
    if (count == s->room) {
        size_t room = 2 * s->room + 64;
        gptoss_parity_top *larger = realloc(report->logits.disagreements, room * sizeof *larger);
        if (larger == NULL)
            return fail_memory(error, "positions that disagree", room * sizeof *larger);
        report->logits.disagreements = larger;
        s->room = room;
    }
    report->logits.disagreements[count] = *found;
    report->logits.disagreement_count++;
    return GPTOSS_OK;
}

gptoss_status logit_statistics_row(logit_statistics *s, gptoss_parity_report *report,
                                   uint32_t token, dtype type, const double *reference,
                                   const double *candidate, size_t vocab, gptoss_error *error)
{
    if (!compare_finite(reference, vocab) || !compare_finite(candidate, vocab))
        return GPTOSS_OK;
    top_tokens mine = find_top(reference, vocab);
    top_tokens its = find_top(candidate, vocab);
    double best = reference[mine.ids[0]];
    double kl = divergence(reference, candidate, vocab, best, candidate[its.ids[0]]);
    if (report->logits.rows++ == 0 || kl > report->logits.kl_max) {
        report->logits.kl_max = kl;
        report->logits.kl_max_token = token;
    }
    s->divergence += kl;
    s->shared_top += share_of(&mine, &its);
    if (mine.ids[0] == its.ids[0]) {
        s->same_top++;
        return GPTOSS_OK;
    }
    double margin = best - reference[its.ids[0]];
    return record(s, report,
                  &(gptoss_parity_top){.token = token,
                                       .reference = mine.ids[0],
                                       .candidate = its.ids[0],
                                       .margin = margin,
                                       .ulp = margin / float_type_spacing(type, best)},
                  error);
}

void logit_statistics_end(const logit_statistics *s, gptoss_parity_report *report)
{
    double rows = (double)report->logits.rows;
    if (report->logits.rows == 0)
        return;
    report->logits.kl_mean = s->divergence / rows;
    report->logits.top1 = (double)s->same_top / rows;
    report->logits.top_k = s->shared_top / rows;
}
