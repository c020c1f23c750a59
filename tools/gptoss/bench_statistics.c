#include "bench_statistics.h"

#include <math.h>
#include <stdlib.h>

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

spread spread_of(double *samples, size_t count)
{
    double sum = 0.0;
    double squares = 0.0;
    for (size_t i = 0; i < count; i++)
        sum += samples[i];
    double mean = sum / (double)count;
    for (size_t i = 0; i < count; i++)
        squares += (samples[i] - mean) * (samples[i] - mean);
    qsort(samples, count, sizeof *samples, compare);
    return (spread){.mean = mean,
                    .deviation = count > 1 ? sqrt(squares / (double)(count - 1)) : 0.0,
                    .median = (samples[(count - 1) / 2] + samples[count / 2]) / 2.0};
}
