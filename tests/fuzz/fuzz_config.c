/* One config.json, in either spelling. */
#include <math.h>

#include "checkpoint/config.h"
#include "fuzz.h"

/* What every user of a configuration relies on. */
static void use(const gptoss_config *config)
{
    FUZZ_CHECK(config->layers >= 1 && config->layers <= GPTOSS_MAX_LAYERS);
    FUZZ_CHECK(config->hidden >= 1 && config->hidden <= CONFIG_MAX_WIDTH);
    FUZZ_CHECK(config->intermediate >= 1 && config->intermediate <= CONFIG_MAX_WIDTH);
    FUZZ_CHECK(config->vocab >= 1 && config->vocab <= CONFIG_MAX_VOCAB);
    FUZZ_CHECK(config->kv_heads >= 1 && config->heads % config->kv_heads == 0);
    FUZZ_CHECK(config->head_dim >= 2 && config->head_dim % 2 == 0);
    FUZZ_CHECK((uint64_t)config->heads * config->head_dim <= CONFIG_MAX_WIDTH);
    FUZZ_CHECK(config->experts_per_token >= 1 && config->experts_per_token <= config->experts);
    FUZZ_CHECK(config->experts <= CONFIG_MAX_EXPERTS);
    FUZZ_CHECK(config->window >= 1 && config->context >= 1);
    FUZZ_CHECK(config->context <= CONFIG_MAX_CONTEXT);
    FUZZ_CHECK(isfinite(config->norm_eps) && config->norm_eps >= 0);
    FUZZ_CHECK(isfinite(config->swiglu_limit) && config->swiglu_limit > 0);
    FUZZ_CHECK(isfinite(config->swiglu_alpha) && config->swiglu_alpha > 0);
    FUZZ_CHECK(isfinite(config->rope.theta) && config->rope.theta > 1);
    FUZZ_CHECK(isfinite(config->rope.factor) && config->rope.factor >= 1);
    FUZZ_CHECK(isfinite(config->rope.attention_factor) && config->rope.attention_factor > 0);
    FUZZ_CHECK(!config->rope.yarn || config->rope.beta_slow > 0);
    FUZZ_CHECK(!config->rope.yarn || config->rope.beta_fast >= config->rope.beta_slow);
    FUZZ_CHECK(config->rope.original_context >= 1);
    FUZZ_CHECK(config->stop_count <= GPTOSS_MAX_STOPS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static gptoss_config config;
    json_value *document;
    gptoss_error error = {0};
    gptoss_status status = json_parse((const char *)data, size, "input", &document, &error);
    if (status == GPTOSS_OK)
        status = config_parse(document, "input", &config, &error);
    if (status == GPTOSS_OK)
        use(&config);
    json_free(document);
    return fuzz_judge(status, &error);
}
