/* Mean, standard deviation and median of repetitions. */
#include "../../tools/gptoss/bench_statistics.h"

#include <math.h>
#include <stdbool.h>

#include "check.h"

static const struct {
    size_t count;
    double samples[6];
    spread expected;
} cases[] = {
    {1, {7}, {7, 0, 7}},
    {2, {4, 2}, {3, 1.4142135623730951, 3}},
    {3, {9, 1, 2}, {4, 4.358898943540674, 2}},
    {4, {5, 5, 5, 5}, {5, 0, 5}},
    {6, {1, 100, 3, 2, 5, 4}, {19.166666666666668, 39.62532860010963, 3.5}},
};

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-12 * (fabs(a) + fabs(b));
}

int main(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double samples[6];
        for (size_t s = 0; s < 6; s++)
            samples[s] = cases[i].samples[s];
        spread found = spread_of(samples, cases[i].count);
        CHECK(near(found.mean, cases[i].expected.mean), "case %zu: %.17g", i, found.mean);
        CHECK(near(found.deviation, cases[i].expected.deviation), "case %zu: %.17g", i,
              found.deviation);
        CHECK(near(found.median, cases[i].expected.median), "case %zu: %.17g", i, found.median);
    }
    return test_result();
}
