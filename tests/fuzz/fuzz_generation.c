/* One generation_config.json, beside a config.json that has stop tokens too. */
#include <math.h>

#include "checkpoint/config.h"
#include "fuzz.h"

/* As many as leave room for three. */
#define STOPS_BESIDE (GPTOSS_MAX_STOPS - 3)
static const char beside[] = "{\"model_type\":\"gpt_oss\",\"eos_token_id\":"
                             "[1,2,3,4,5,6,7,8,9,10,11,12,13]}";

static void read_beside(gptoss_config *config)
{
    json_value *document;
    FUZZ_CHECK(json_parse(beside, sizeof beside - 1, "config", &document, NULL) == GPTOSS_OK);
    FUZZ_CHECK(config_parse(document, "config", config, NULL) == GPTOSS_OK);
    FUZZ_CHECK(config->stop_count == STOPS_BESIDE);
    json_free(document);
}

static void use(const gptoss_config *config)
{
    const gptoss_sampling *sampling = &config->sampling;
    gptoss_sampler *sampler;
    FUZZ_CHECK(config->stop_count >= STOPS_BESIDE);
    FUZZ_CHECK(config->stop_count <= GPTOSS_MAX_STOPS);
    for (uint32_t i = 0; i < config->stop_count; i++)
        for (uint32_t j = 0; j < i; j++)
            FUZZ_CHECK(config->stops[i] != config->stops[j]);
    FUZZ_CHECK(isfinite(sampling->temperature) && sampling->temperature >= 0);
    FUZZ_CHECK(sampling->top_p > 0 && sampling->top_p <= 1);
    FUZZ_CHECK(sampling->min_p >= 0 && sampling->min_p <= 1);
    FUZZ_CHECK(gptoss_sampler_open(100, NULL, sampling, &sampler, NULL) == GPTOSS_OK);
    gptoss_sampler_close(sampler);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static gptoss_config start;
    static gptoss_config config;
    json_value *document;
    gptoss_error error = {0};
    if (start.layers == 0)
        read_beside(&start);
    config = start;
    gptoss_status status = json_parse((const char *)data, size, "input", &document, &error);
    if (status == GPTOSS_OK)
        status = config_parse_generation(document, "input", &config, &error);
    if (status == GPTOSS_OK)
        use(&config);
    json_free(document);
    return fuzz_judge(status, &error);
}
