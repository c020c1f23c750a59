#include "model/rope.h"

#include <math.h>
#include <stdlib.h>

#include "base/status.h"

/* The pair that turns `turns` times over the original context: (D/2) ln(C / (2 pi turns)) / ln
 * theta */
static double pair_of_turns(const gptoss_config *config, double turns)
{
    double length = config->rope.original_context / (turns * 2.0 * M_PI);
    return config->head_dim * log(length) / (2.0 * log(config->rope.theta));
}

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* Between which pairs positions go over from extrapolated to interpolated. */
typedef struct ramp {
    double low;
    double high;
} ramp;

static ramp find_ramp(const gptoss_config *config)
{
    ramp found = {pair_of_turns(config, config->rope.beta_fast),
                  pair_of_turns(config, config->rope.beta_slow)};
    if (config->rope.truncate)
        found = (ramp){floor(found.low), ceil(found.high)};
    found.low = found.low > 0.0 ? found.low : 0.0;
    found.high = found.high < config->head_dim - 1.0 ? found.high : config->head_dim - 1.0;
    if (found.low == found.high)
        found.high += 0.001; /* as transformers does, against a division by zero */
    return found;
}

gptoss_status rope_init(rope *out, const gptoss_config *config, gptoss_error *error)
{
    size_t half = config->head_dim / 2;
    *out = (rope){.half = half, .concentration = 1.0F};
    out->inverse_frequency = malloc(half * sizeof(float));
    if (out->inverse_frequency == NULL)
        return fail_memory(error, "the rotary table", half * sizeof(float));

    ramp over = {0.0, 1.0};
    if (config->rope.yarn) {
        over = find_ramp(config);
        out->concentration = (float)config->rope.attention_factor;
    }
    for (size_t i = 0; i < half; i++) {
        double extrapolated = pow(config->rope.theta, -2.0 * (double)i / config->head_dim);
        double interpolated = extrapolated / config->rope.factor;
        double keep = 1.0 - clamp(((double)i - over.low) / (over.high - over.low), 0.0, 1.0);
        out->inverse_frequency[i] =
            (float)(config->rope.yarn ? interpolated * (1.0 - keep) + extrapolated * keep
                                      : extrapolated);
    }
    return GPTOSS_OK;
}

void rope_free(rope *table)
{
    free(table->inverse_frequency);
    *table = (rope){0};
}

void rope_angles(const rope *table, uint32_t position, float *cosine, float *sine)
{
    for (size_t i = 0; i < table->half; i++) {
        float angle = (float)position * table->inverse_frequency[i];
        cosine[i] = (float)cos(angle) * table->concentration;
        sine[i] = (float)sin(angle) * table->concentration;
    }
}
