#include "checkpoint/config_writer.h"

#include <inttypes.h>

static void put_count(text_buffer *out, const char *key, uint32_t value)
{
    text_append(out, "\"%s\":%" PRIu32 ",", key, value);
}

static void put_double(text_buffer *out, const char *key, double value)
{
    text_append(out, "\"%s\":", key);
    text_append_double(out, value);
    text_append(out, ",");
}

static void put_float(text_buffer *out, const char *key, float value)
{
    text_append(out, "\"%s\":", key);
    text_append_float(out, value);
    text_append(out, ",");
}

static void put_flag(text_buffer *out, const char *key, bool value)
{
    text_append(out, "\"%s\":%s,", key, value ? "true" : "false");
}

static void put_layer_types(text_buffer *out, const gptoss_config *config)
{
    text_append(out, "\"layer_types\":[");
    for (uint32_t layer = 0; layer < config->layers; layer++)
        text_append(out, "%s\"%s_attention\"", layer == 0 ? "" : ",",
                    config->sliding[layer] ? "sliding" : "full");
    text_append(out, "],");
}

static void put_stops(text_buffer *out, const gptoss_config *config)
{
    text_append(out, "\"eos_token_id\":[");
    for (uint32_t i = 0; i < config->stop_count; i++)
        text_append(out, "%s%" PRIu32, i == 0 ? "" : ",", config->stops[i]);
    text_append(out, "],");
}

static void put_rope(text_buffer *out, const gptoss_config *config)
{
    put_double(out, "rope_theta", config->rope.theta);
    if (!config->rope.yarn) {
        text_append(out, "\"rope_scaling\":{\"rope_type\":\"default\"}");
        return;
    }
    text_append(out, "\"rope_scaling\":{");
    put_double(out, "factor", config->rope.factor);
    put_double(out, "beta_fast", config->rope.beta_fast);
    put_double(out, "beta_slow", config->rope.beta_slow);
    put_double(out, "original_max_position_embeddings", config->rope.original_context);
    put_double(out, "attention_factor", config->rope.attention_factor);
    put_flag(out, "truncate", config->rope.truncate);
    text_append(out, "\"rope_type\":\"yarn\"}");
}

void config_write(const gptoss_config *config, text_buffer *out)
{
    text_append(out, "{\"model_type\":\"gpt_oss\",");
    put_count(out, "num_hidden_layers", config->layers);
    put_count(out, "hidden_size", config->hidden);
    put_count(out, "intermediate_size", config->intermediate);
    put_count(out, "vocab_size", config->vocab);
    put_count(out, "num_attention_heads", config->heads);
    put_count(out, "num_key_value_heads", config->kv_heads);
    put_count(out, "head_dim", config->head_dim);
    put_count(out, "num_local_experts", config->experts);
    put_count(out, "num_experts_per_tok", config->experts_per_token);
    put_count(out, "sliding_window", config->window);
    put_count(out, "max_position_embeddings", config->context);
    put_flag(out, "tie_word_embeddings", config->tied_embeddings);
    put_flag(out, "attention_bias", config->attention_bias);
    put_float(out, "rms_norm_eps", config->norm_eps);
    put_float(out, "swiglu_limit", config->swiglu_limit);
    put_float(out, "swiglu_alpha", config->swiglu_alpha);
    put_layer_types(out, config);
    put_stops(out, config);
    put_rope(out, config);
    text_append(out, "}");
}
