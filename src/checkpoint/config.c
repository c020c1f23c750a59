#include "checkpoint/config.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoint/config_reader.h"

/* Values of both references when a key is missing: the 120b model's. */
#define DEFAULT_LAYERS  36
#define DEFAULT_EXPERTS 128
#define DEFAULT_VOCAB   201088
#define DEFAULT_WIDTH   2880
#define DEFAULT_HEADS   64
#define DEFAULT_KV      8
#define DEFAULT_DIM     64
#define DEFAULT_CHOSEN  4
#define DEFAULT_WINDOW  128
#define DEFAULT_EPS     1e-5
#define DEFAULT_LIMIT   7.0
#define DEFAULT_ALPHA   1.702

/* ---- stop tokens ----------------------------------------------------------------------------- */

static gptoss_status add_stop(gptoss_config *config, uint32_t id, const char *what,
                              gptoss_error *error)
{
    for (uint32_t i = 0; i < config->stop_count; i++)
        if (config->stops[i] == id)
            return GPTOSS_OK;
    if (config->stop_count == GPTOSS_MAX_STOPS)
        return fail(error, GPTOSS_LIMIT, "%s: more than %d different eos_token_id", what,
                    GPTOSS_MAX_STOPS);
    config->stops[config->stop_count++] = id;
    return GPTOSS_OK;
}

/* eos_token_id: one id, several, or null. */
static void read_stops(config_reader *in, gptoss_config *config)
{
    const json_value *value = config_member(in, "eos_token_id");
    bool several = json_is_array(value);
    for (const json_value *item = several ? json_first(value) : value;
         item != NULL && in->status == GPTOSS_OK; item = several ? json_next(item) : NULL) {
        uint64_t id = 0;
        if (json_u64(item, &id) && id < UINT32_MAX)
            in->status = add_stop(config, (uint32_t)id, in->what, in->error);
        else
            config_mismatch(in, "eos_token_id", item, "a token id or a list of token ids");
    }
}

/* ---- sampling -------------------------------------------------------------------------------- */

/* transformers' spelling of no filter is the same as ours, and greedy is "do_sample": false. */
static void read_sampling(config_reader *in, gptoss_sampling *sampling)
{
    sampling->temperature =
        (float)config_real(in, "temperature", 0.0, 100.0, (double)sampling->temperature);
    sampling->top_k = config_count(in, "top_k", 0, INT32_MAX, sampling->top_k);
    sampling->top_p = (float)config_real(in, "top_p", 1e-6, 1.0, (double)sampling->top_p);
    sampling->min_p = (float)config_real(in, "min_p", 0.0, 1.0, (double)sampling->min_p);
    if (!config_flag(in, "do_sample", true))
        sampling->temperature = 0.0F;
}

/* ---- layers ---------------------------------------------------------------------------------- */

/* Both references: the even layers slide. */
static void alternate_layers(gptoss_config *config)
{
    for (uint32_t i = 0; i < config->layers; i++)
        config->sliding[i] = i % 2 == 0;
}

static void read_layer_types(config_reader *in, gptoss_config *config)
{
    const json_value *types = config_member(in, "layer_types");
    if (types == NULL || in->status != GPTOSS_OK) {
        alternate_layers(config);
        return;
    }
    if (!json_is_array(types) || json_count(types) != config->layers) {
        char expected[64];
        snprintf(expected, sizeof expected, "an array of %u (one per layer)", config->layers);
        config_mismatch(in, "layer_types", types, expected);
        return;
    }
    uint32_t layer = 0;
    for (const json_value *item = json_first(types); item != NULL; item = json_next(item)) {
        const char *type = json_is_string(item) ? json_string(item) : "";
        config->sliding[layer] = strcmp(type, "sliding_attention") == 0;
        if (!config->sliding[layer] && strcmp(type, "full_attention") != 0) {
            config_mismatch(in, "layer_types", item, "full_attention or sliding_attention");
            return;
        }
        layer++;
    }
}

static bool any_sliding(const gptoss_config *config)
{
    for (uint32_t i = 0; i < config->layers; i++)
        if (config->sliding[i])
            return true;
    return false;
}

/* Without a window no layer may slide; the whole context then stands for it. */
static void read_window(config_reader *in, gptoss_config *config)
{
    config->window = config_count(in, "sliding_window", 1, INT32_MAX, DEFAULT_WINDOW);
    if (!config_is_null(in, "sliding_window") || in->status != GPTOSS_OK)
        return;
    config->window = config->context;
    if (any_sliding(config))
        in->status =
            fail(in->error, GPTOSS_FORMAT,
                 "%s: sliding_window is null, but layer_types has sliding_attention", in->what);
}

/* ---- transformers' spelling ------------------------------------------------------------------ */

/* Only what names gpt_oss itself is read: relatives share most keys and compute something else. */
static void check_architecture(config_reader *in)
{
    const char *type = config_text(in, "model_type", NULL);
    const json_value *list = config_member(in, "architectures");
    const json_value *first = json_is_array(list) ? json_first(list) : NULL;
    const char *architecture = json_is_string(first) ? json_string(first) : NULL;
    if (in->status != GPTOSS_OK)
        return;
    if (type != NULL && strcmp(type, "gpt_oss") != 0)
        in->status = fail(in->error, GPTOSS_UNSUPPORTED,
                          "%s: model_type should be \"gpt_oss\" but is \"%.64s\"", in->what, type);
    else if (architecture != NULL && strcmp(architecture, "GptOssForCausalLM") != 0)
        in->status = fail(in->error, GPTOSS_UNSUPPORTED,
                          "%s: architectures should be [\"GptOssForCausalLM\"] but begins with "
                          "\"%.64s\"",
                          in->what, architecture);
    else if (type == NULL && architecture == NULL)
        in->status =
            fail(in->error, GPTOSS_FORMAT,
                 "%s: neither model_type nor architectures says which model this is", in->what);
}

/* mxfp4 needs nothing from here: the tensors' names tell which of them are quantised. */
static void check_quantization(config_reader *in)
{
    const json_value *object = config_member(in, "quantization_config");
    const json_value *method = json_member(object, "quant_method");
    if (in->status == GPTOSS_OK && json_is_string(method) &&
        strcmp(json_string(method), "mxfp4") != 0)
        in->status = fail(in->error, GPTOSS_UNSUPPORTED,
                          "%s: weights quantised with \"%.48s\" are not supported; mxfp4 and "
                          "unquantised ones are",
                          in->what, json_string(method));
}

/* num_experts is another name of num_local_experts. */
static uint32_t read_experts(config_reader *in)
{
    uint32_t other = config_count(in, "num_experts", 1, CONFIG_MAX_EXPERTS, DEFAULT_EXPERTS);
    uint32_t experts = config_count(in, "num_local_experts", 1, CONFIG_MAX_EXPERTS, other);
    if (config_member(in, "num_experts") != NULL && experts != other && in->status == GPTOSS_OK)
        in->status = fail(in->error, GPTOSS_FORMAT,
                          "%s: num_local_experts is %u, but its other name num_experts is %u",
                          in->what, experts, other);
    return experts;
}

/* hidden_act is not read: it says "silu", transformers ignores it, and the experts compute the
 * clamped SwiGLU of swiglu_limit and swiglu_alpha whatever it says. */
static void read_transformers(config_reader *in, gptoss_config *out)
{
    check_architecture(in);
    check_quantization(in);
    out->layers = config_count(in, "num_hidden_layers", 1, GPTOSS_MAX_LAYERS, DEFAULT_LAYERS);
    out->hidden = config_count(in, "hidden_size", 1, CONFIG_MAX_WIDTH, DEFAULT_WIDTH);
    out->intermediate = config_count(in, "intermediate_size", 1, CONFIG_MAX_WIDTH, DEFAULT_WIDTH);
    out->vocab = config_count(in, "vocab_size", 1, CONFIG_MAX_VOCAB, DEFAULT_VOCAB);
    out->heads = config_count(in, "num_attention_heads", 1, CONFIG_MAX_WIDTH, DEFAULT_HEADS);
    out->kv_heads =
        config_count(in, "num_key_value_heads", 1, CONFIG_MAX_WIDTH,
                     config_is_null(in, "num_key_value_heads") ? out->heads : DEFAULT_KV);
    out->head_dim =
        config_count(in, "head_dim", 1, CONFIG_MAX_WIDTH,
                     config_is_null(in, "head_dim") ? out->hidden / out->heads : DEFAULT_DIM);
    out->experts = read_experts(in);
    out->experts_per_token =
        config_count(in, "experts_per_token", 1, CONFIG_MAX_EXPERTS, DEFAULT_CHOSEN);
    out->experts_per_token =
        config_count(in, "num_experts_per_tok", 1, CONFIG_MAX_EXPERTS, out->experts_per_token);
    out->context = config_count(in, "max_position_embeddings", 1, CONFIG_MAX_CONTEXT, 131072);
    out->tied_embeddings = config_flag(in, "tie_word_embeddings", false);
    out->attention_bias = config_flag(in, "attention_bias", true);
    out->norm_eps = (float)config_real(in, "rms_norm_eps", 0.0, 1.0, DEFAULT_EPS);
    out->swiglu_limit = (float)config_real(in, "swiglu_limit", 1e-6, 1e30, DEFAULT_LIMIT);
    out->swiglu_alpha = (float)config_real(in, "swiglu_alpha", 1e-6, 1e6, DEFAULT_ALPHA);
    read_layer_types(in, out);
    read_window(in, out);
    config_read_rope(in, out);
    read_stops(in, out);
}

/* ---- OpenAI's spelling ----------------------------------------------------------------------- */

/* Source: OpenAI's torch code. It has YaRN only above a factor of 1 and never rounds its bounds; a
 * window of 0 is none. */
static void read_openai(config_reader *in, gptoss_config *out)
{
    out->layers = config_count(in, "num_hidden_layers", 1, GPTOSS_MAX_LAYERS, DEFAULT_LAYERS);
    out->hidden = config_count(in, "hidden_size", 1, CONFIG_MAX_WIDTH, DEFAULT_WIDTH);
    out->intermediate = config_count(in, "intermediate_size", 1, CONFIG_MAX_WIDTH, DEFAULT_WIDTH);
    out->vocab = config_count(in, "vocab_size", 1, CONFIG_MAX_VOCAB, DEFAULT_VOCAB);
    out->heads = config_count(in, "num_attention_heads", 1, CONFIG_MAX_WIDTH, DEFAULT_HEADS);
    out->kv_heads = config_count(in, "num_key_value_heads", 1, CONFIG_MAX_WIDTH, DEFAULT_KV);
    out->head_dim = config_count(in, "head_dim", 1, CONFIG_MAX_WIDTH, DEFAULT_DIM);
    out->experts = config_count(in, "num_experts", 1, CONFIG_MAX_EXPERTS, DEFAULT_EXPERTS);
    out->experts_per_token =
        config_count(in, "experts_per_token", 1, CONFIG_MAX_EXPERTS, DEFAULT_CHOSEN);
    out->attention_bias = true;
    out->norm_eps = (float)DEFAULT_EPS;
    out->swiglu_limit = (float)config_real(in, "swiglu_limit", 1e-6, 1e30, DEFAULT_LIMIT);
    out->swiglu_alpha = (float)DEFAULT_ALPHA;

    uint32_t initial = config_count(in, "initial_context_length", 1, CONFIG_MAX_CONTEXT, 4096);
    double factor = config_real(in, "rope_scaling_factor", 0.0, 1e6, 32.0);
    out->rope.yarn = factor > 1.0;
    out->rope.factor = out->rope.yarn ? factor : 1.0;
    out->rope.theta = config_real(in, "rope_theta", 2.0, 1e15, 150000.0);
    out->rope.beta_fast = config_real(in, "rope_ntk_beta", 1e-6, 1e6, 32.0);
    out->rope.beta_slow = config_real(in, "rope_ntk_alpha", 1e-6, 1e6, 1.0);
    out->rope.original_context = initial;
    out->rope.attention_factor = 0.1 * log(out->rope.factor) + 1.0;
    double context = floor(initial * out->rope.factor);
    out->context = context <= CONFIG_MAX_CONTEXT ? (uint32_t)context : CONFIG_MAX_CONTEXT;

    out->window = config_count(in, "sliding_window", 0, INT32_MAX, DEFAULT_WINDOW);
    if (out->window > 0)
        alternate_layers(out);
    else
        out->window = out->context;
    if (out->rope.beta_fast < out->rope.beta_slow && in->status == GPTOSS_OK)
        in->status = fail(in->error, GPTOSS_FORMAT,
                          "%s: rope_ntk_beta should be at least rope_ntk_alpha, %g, but is %g",
                          in->what, out->rope.beta_slow, out->rope.beta_fast);
    if (context > CONFIG_MAX_CONTEXT && in->status == GPTOSS_OK)
        in->status = fail(in->error, GPTOSS_LIMIT,
                          "%s: initial_context_length * rope_scaling_factor should be at most %u "
                          "but is %.0f",
                          in->what, CONFIG_MAX_CONTEXT, context);
}

/* ---- both ------------------------------------------------------------------------------------ */

static bool has_any(const json_value *object, const char *const *keys)
{
    for (; *keys != NULL; keys++)
        if (json_member(object, *keys) != NULL)
            return true;
    return false;
}

/* The published file of transformers' spelling also has keys of OpenAI's, not the reverse. */
static bool is_transformers(const json_value *object)
{
    static const char *const keys[] = {
        "model_type",          "architectures",        "max_position_embeddings",
        "num_local_experts",   "num_experts_per_tok",  "rms_norm_eps",
        "rope_scaling",        "rope_parameters",      "layer_types",
        "attention_bias",      "tie_word_embeddings",  "eos_token_id",
        "quantization_config", "transformers_version", NULL};
    return has_any(object, keys);
}

static bool is_openai(const json_value *object)
{
    static const char *const keys[] = {"num_hidden_layers", "num_experts",   "experts_per_token",
                                       "hidden_size",       "vocab_size",    "rope_scaling_factor",
                                       "rope_ntk_alpha",    "rope_ntk_beta", NULL};
    return has_any(object, keys);
}

static void check_agreement(config_reader *in, const gptoss_config *config)
{
    if (in->status != GPTOSS_OK)
        return;
    if (config->heads % config->kv_heads != 0)
        in->status =
            fail(in->error, GPTOSS_FORMAT,
                 "%s: num_attention_heads should be a multiple of num_key_value_heads, %u, "
                 "but is %u",
                 in->what, config->kv_heads, config->heads);
    else if (config->head_dim == 0 || config->head_dim % 2 != 0)
        in->status = fail(in->error, GPTOSS_FORMAT,
                          "%s: head_dim should be an even number above 0 but is %u", in->what,
                          config->head_dim);
    else if ((uint64_t)config->heads * config->head_dim > CONFIG_MAX_WIDTH)
        in->status = fail(in->error, GPTOSS_LIMIT,
                          "%s: num_attention_heads * head_dim should be at most %u but is %ju",
                          in->what, CONFIG_MAX_WIDTH, (uintmax_t)config->heads * config->head_dim);
    else if (config->experts_per_token > config->experts)
        in->status = fail(in->error, GPTOSS_FORMAT,
                          "%s: experts per token should be at most the number of experts, %u, but "
                          "is %u",
                          in->what, config->experts, config->experts_per_token);
}

gptoss_status config_parse(const json_value *document, const char *what, gptoss_config *out,
                           gptoss_error *error)
{
    *out = (gptoss_config){.sampling = GPTOSS_SAMPLING_DEFAULT};
    if (!json_is_object(document))
        return fail(error, GPTOSS_FORMAT, "%s should be a JSON object", what);
    config_reader in = {.object = document, .what = what, .error = error};
    if (is_transformers(document))
        read_transformers(&in, out);
    else if (is_openai(document))
        read_openai(&in, out);
    else
        return fail(error, GPTOSS_FORMAT,
                    "%s describes no model: it has keys neither of transformers' config.json "
                    "(model_type, ...) nor of OpenAI's (num_experts, ...)",
                    what);
    check_agreement(&in, out);
    return in.status;
}

gptoss_status config_parse_generation(const json_value *document, const char *what,
                                      gptoss_config *config, gptoss_error *error)
{
    if (!json_is_object(document))
        return fail(error, GPTOSS_FORMAT, "%s should be a JSON object", what);
    config_reader in = {.object = document, .what = what, .error = error};
    read_stops(&in, config);
    read_sampling(&in, &config->sampling);
    return in.status;
}

/* Parses `directory`/`name`; *out stays NULL when there is no such file. */
static gptoss_status parse_beside(const char *directory, const char *name, char **path,
                                  json_value **out, gptoss_error *error)
{
    struct stat info;
    *out = NULL;
    if (asprintf(path, "%s/%s", directory, name) < 0) {
        *path = NULL;
        return fail_memory(error, name, strlen(directory));
    }
    if (stat(*path, &info) != 0 && errno == ENOENT)
        return GPTOSS_OK;
    return json_parse_file(*path, out, error);
}

gptoss_status config_load(const char *directory, gptoss_config *out, gptoss_error *error)
{
    char *path = NULL;
    json_value *document = NULL;
    *out = (gptoss_config){0};
    gptoss_status status = parse_beside(directory, "config.json", &path, &document, error);
    if (status == GPTOSS_OK && document == NULL)
        status = fail(error, GPTOSS_IO, "%s has no config.json, which belongs beside the weights",
                      directory);
    if (status == GPTOSS_OK)
        status = config_parse(document, path, out, error);
    json_free(document);
    free(path);
    if (status != GPTOSS_OK)
        return status;
    status = parse_beside(directory, "generation_config.json", &path, &document, error);
    if (status == GPTOSS_OK && document != NULL)
        status = config_parse_generation(document, path, out, error);
    json_free(document);
    free(path);
    return status;
}
