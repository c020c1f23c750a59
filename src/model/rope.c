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

gptoss_status rope_init(rope *out, const gptoss_config *config, gptoss_error *error)
{
    size_t half = config->head_dim / 2;
    *out = (rope){.half = half, .concentration = 1.0F};
    out->inverse_frequency = malloc(half * sizeof(float));
    if (out->inverse_frequency == NULL)
        return fail_memory(error, "the rotary table", half * sizeof(float));

    double low = 0.0;
    double high = 0.0;
    float factor = 1.0F;
    if (config->rope.yarn) {
        low = pair_of_turns(config, config->rope.beta_fast);
        high = pair_of_turns(config, config->rope.beta_slow);
        if (config->rope.truncate) {
            low = floor(low);
            high = ceil(high);
        }
        low = low > 0.0 ? low : 0.0;
        high = high < config->head_dim - 1.0 ? high : config->head_dim - 1.0;
        if (low == high)
            high += 0.001; /* as transformers does, against a division by zero */
        factor = (float)config->rope.factor;
        out->concentration = (float)config->rope.attention_factor;
    }

    for (size_t i = 0; i < half; i++) {
        float exponent = (float)(2 * i) / (float)config->head_dim;
        float frequency = (float)pow((float)config->rope.theta, exponent);
        float extrapolated = 1.0F / frequency;
        if (!config->rope.yarn) {
            out->inverse_frequency[i] = extrapolated;
            continue;
        }
        float interpolated = 1.0F / (factor * frequency);
        float ramp = ((float)i - (float)low) / (float)(high - low);
        float keep = 1.0F - (float)clamp(ramp, 0.0, 1.0);
        out->inverse_frequency[i] = interpolated * (1.0F - keep) + extrapolated * keep;
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
