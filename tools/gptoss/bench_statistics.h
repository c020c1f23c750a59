/* What is told of repeated measurements. */
#ifndef GPTOSS_TOOL_BENCH_STATISTICS_H
#define GPTOSS_TOOL_BENCH_STATISTICS_H

#include <stddef.h>

typedef struct spread {
    double mean;
    double deviation; /* of the samples, over count - 1; 0 for one */
    double median;
} spread;

/* `count` is at least 1. Puts the samples into ascending order. */
spread spread_of(double *samples, size_t count);

#endif
