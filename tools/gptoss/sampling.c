#include "sampling.h"

#include <sys/random.h>

#include "console.h"

/* A number that the next run is unlikely to draw, and that JSON readers keep exactly. */
static uint64_t fresh_seed(void)
{
    uint32_t seed;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = (uint32_t)(console_seconds() * 1e6);
    return seed;
}

gptoss_sampling sampling_asked(const options *given, const gptoss_config *config)
{
    gptoss_sampling sampling = config->sampling;
    if (given->given[FLAG_TEMP])
        sampling.temperature = (float)given->temperature;
    if (given->given[FLAG_TOP_K])
        sampling.top_k = (uint32_t)given->top_k;
    if (given->given[FLAG_TOP_P])
        sampling.top_p = (float)given->top_p;
    if (given->given[FLAG_MIN_P])
        sampling.min_p = (float)given->min_p;
    sampling.seed = given->given[FLAG_SEED] ? given->seed : fresh_seed();
    return sampling;
}

void sampling_put(json_writer *json, const gptoss_sampling *sampling)
{
    json_put_object(json, "sampling");
    json_put_single(json, "temperature", sampling->temperature);
    json_put_whole(json, "top_k", sampling->top_k);
    json_put_single(json, "top_p", sampling->top_p);
    json_put_single(json, "min_p", sampling->min_p);
    json_end_object(json);
}
