#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "writer.h"

/* Vocabularies that reach so far have harmony's special tokens. */
#define HARMONY_IDS 200019

/* ,\n  "name": value */
static void member(FILE *out, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void member(FILE *out, const char *name, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fprintf(out, ",\n  \"%s\": ", name);
    vfprintf(out, format, values);
    va_end(values);
}

typedef struct decimal {
    char text[32];
} decimal;

/* The shortest decimal that reads back as this number, with a point or an exponent in it: some
 * readers take "7" for an integer where they want 7.0. */
static decimal number(double value)
{
    decimal out;
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(out.text, sizeof out.text, "%.*g", digits, value);
        if (strtod(out.text, NULL) == value)
            break;
    }
    if (!strpbrk(out.text, ".e"))
        snprintf(out.text + strlen(out.text), 3, ".0");
    return out;
}

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

static void write_original(FILE *out, const shape *m)
{
    fprintf(out, "{\n  \"num_hidden_layers\": %u", m->layers);
    member(out, "num_experts", "%u", m->experts);
    member(out, "experts_per_token", "%u", m->top_k);
    member(out, "vocab_size", "%u", m->vocab);
    member(out, "hidden_size", "%u", m->hidden);
    member(out, "intermediate_size", "%u", m->intermediate);
    member(out, "swiglu_limit", "%s", number(m->swiglu_limit).text);
    member(out, "head_dim", "%u", m->head_dim);
    member(out, "num_attention_heads", "%u", m->heads);
    member(out, "num_key_value_heads", "%u", m->kv_heads);
    member(out, "sliding_window", "%u", m->window);
    member(out, "initial_context_length", "%u", m->rope_original);
    member(out, "rope_theta", "%s", number(m->rope_theta).text);
    member(out, "rope_scaling_factor", "%s", number(m->rope_factor).text);
    member(out, "rope_ntk_alpha", "%s", number(m->rope_beta_slow).text);
    member(out, "rope_ntk_beta", "%s", number(m->rope_beta_fast).text);
}

static void write_rope(FILE *out, const shape *m)
{
    member(out, "rope_theta", "%s", number(m->rope_theta).text);
    if (m->rope_factor <= 1) {
        member(out, "rope_scaling", "{\"rope_type\": \"default\"}");
        return;
    }
    member(out, "rope_scaling",
           "{\"beta_fast\": %s, \"beta_slow\": %s, \"factor\": %s, "
           "\"original_max_position_embeddings\": %u, \"rope_type\": \"yarn\", "
           "\"truncate\": %s}",
           number(m->rope_beta_fast).text, number(m->rope_beta_slow).text,
           number(m->rope_factor).text, m->rope_original, truth(m->rope_truncate));
}

static void write_hf(FILE *out, const request *wanted)
{
    static const char *const torch_names[DTYPE_COUNT] = {
        [DTYPE_BF16] = "bfloat16", [DTYPE_F16] = "float16", [DTYPE_F32] = "float32"};
    const shape *m = &wanted->shape;
    fprintf(out, "{\n  \"architectures\": [\"GptOssForCausalLM\"]");
    member(out, "model_type", "\"gpt_oss\"");
    member(out, "attention_bias", "%s", truth(!m->no_attention_bias));
    member(out, "attention_dropout", "0.0");
    if (m->vocab >= HARMONY_IDS)
        member(out, "eos_token_id", "200002,\n  \"pad_token_id\": 199999");
    member(out, "head_dim", "%u", m->head_dim);
    member(out, "hidden_act", "\"silu\"");
    member(out, "hidden_size", "%u", m->hidden);
    member(out, "intermediate_size", "%u", m->intermediate);
    member(out, "layer_types", "[");
    for (uint32_t layer = 0; layer < m->layers; layer++)
        fprintf(out, "%s\"%s_attention\"", layer ? ", " : "",
                shape_is_sliding(m, layer) ? "sliding" : "full");
    fprintf(out, "]");
    member(out, "max_position_embeddings", "%u", shape_context(m));
    member(out, "num_attention_heads", "%u", m->heads);
    member(out, "num_experts_per_tok", "%u", m->top_k);
    member(out, "num_hidden_layers", "%u", m->layers);
    member(out, "num_key_value_heads", "%u", m->kv_heads);
    member(out, "num_local_experts", "%u", m->experts);
    if (wanted->layout == LAYOUT_HF_MXFP4)
        member(out, "quantization_config",
               "{\"quant_method\": \"mxfp4\", \"modules_to_not_convert\": "
               "[\"model.layers.*.self_attn\", \"model.layers.*.mlp.router\", "
               "\"model.embed_tokens\", \"lm_head\"]}");
    member(out, "rms_norm_eps", "%s", number(m->norm_eps).text);
    write_rope(out, m);
    member(out, "sliding_window", "%u", m->window);
    member(out, "swiglu_alpha", "%s", number(m->swiglu_alpha).text);
    member(out, "swiglu_limit", "%s", number(m->swiglu_limit).text);
    member(out, "tie_word_embeddings", "%s", truth(m->tied));
    member(out, "torch_dtype", "\"%s\"", torch_names[wanted->dtype]);
    member(out, "use_cache", "true");
    member(out, "vocab_size", "%u", m->vocab);
}

bool write_config(const request *wanted)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/config.json", wanted->directory);
    FILE *out = fopen(path, "w");
    bool good = out != NULL;
    if (good) {
        if (wanted->layout == LAYOUT_ORIGINAL)
            write_original(out, &wanted->shape);
        else
            write_hf(out, wanted);
        fprintf(out, "\n}\n");
        good = !ferror(out);
        good = fclose(out) == 0 && good;
    }
    if (!good)
        fprintf(stderr, "make-checkpoint: cannot write %s: %s\n", path, strerror(errno));
    return good;
}
