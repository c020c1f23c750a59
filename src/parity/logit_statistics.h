/* What logits mean for the next token: likeliest tokens and distance of the distributions. */
#ifndef PARITY_LOGIT_STATISTICS_H
#define PARITY_LOGIT_STATISTICS_H

#include "parity/float_type.h"

/* Sums over rows; the rest is in the report. */
typedef struct logit_statistics {
    double divergence;
    size_t same_top;
    double shared_top;
    size_t room; /* of disagreements */
} logit_statistics;

/*
 * Takes a row of decoded logits into the report: the divergence of Kullback and Leibler, sum of
 * p (log p - log q) over all tokens with p = softmax(reference) and q = softmax(candidate), the
 * GPTOSS_PARITY_TOP_K likeliest tokens of both, ties to the lower id. `type` is the reference's. A
 * row with a logit that is not finite is left out.
 */
gptoss_status logit_statistics_row(logit_statistics *s, gptoss_parity_report *report,
                                   uint32_t token, dtype type, const double *reference,
                                   const double *candidate, size_t vocab, gptoss_error *error);

/* Means over the rows. */
void logit_statistics_end(const logit_statistics *s, gptoss_parity_report *report);

#endif
