#include "shape.h"

#include <string.h>

#define PUBLISHED                                                                                  \
    .hidden = 2880, .intermediate = 2880, .vocab = 201088, .heads = 64, .kv_heads = 8,             \
    .head_dim = 64, .top_k = 4, .window = 128

#define COMMON                                                                                     \
    .layer_types = "sf", .rope_theta = 150000, .rope_factor = 32, .rope_original = 4096,           \
    .rope_beta_fast = 32, .rope_beta_slow = 1, .norm_eps = 1e-5, .swiglu_limit = 7,                \
    .swiglu_alpha = 1.702

static const struct {
    const char *name;
    shape model;
} presets[] = {
    /* Query heads per kv head differ from kv heads, so that swapping them shows. */
    {"tiny",
     {.layers = 4,
      .hidden = 64,
      .intermediate = 96,
      .vocab = 256,
      .heads = 6,
      .kv_heads = 2,
      .head_dim = 16,
      .experts = 6,
      .top_k = 2,
      .window = 8,
      COMMON}},
    {"20b", {.layers = 24, .experts = 32, PUBLISHED, COMMON}},
    {"120b", {.layers = 36, .experts = 128, PUBLISHED, COMMON}},
};

const char *layout_name(layout kind)
{
    static const char *const names[] = {"original", "hf-mxfp4", "hf"};
    return names[kind];
}

const char *element_name(dtype kind)
{
    static const char *const names[DTYPE_COUNT] = {
        [DTYPE_BF16] = "BF16", [DTYPE_F16] = "F16", [DTYPE_F32] = "F32", [DTYPE_U8] = "U8"};
    return names[kind];
}

uint32_t element_bytes(dtype kind)
{
    static const uint32_t bytes[DTYPE_COUNT] = {
        [DTYPE_BF16] = 2, [DTYPE_F16] = 2, [DTYPE_F32] = 4, [DTYPE_U8] = 1};
    return bytes[kind];
}

bool shape_preset(const char *name, shape *out)
{
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (strcmp(presets[i].name, name) == 0) {
            *out = presets[i].model;
            return true;
        }
    return false;
}

uint32_t shape_published_shards(const shape *model, layout kind)
{
    if (model->hidden != 2880 || model->vocab != 201088 || kind == LAYOUT_HF)
        return 1;
    if (model->layers == 24 && model->experts == 32)
        return kind == LAYOUT_ORIGINAL ? 1 : 3;
    if (model->layers == 36 && model->experts == 128)
        return kind == LAYOUT_ORIGINAL ? 7 : 15;
    return 1;
}

bool shape_is_sliding(const shape *model, uint32_t layer)
{
    return model->layer_types[layer % strlen(model->layer_types)] == 's';
}

uint32_t shape_context(const shape *model)
{
    if (model->context > 0)
        return model->context;
    return (uint32_t)(model->rope_original * (model->rope_factor > 1 ? model->rope_factor : 1));
}

/* Things that OpenAI's config.json has no key for. */
static const char *original_fault(const shape *model)
{
    for (uint32_t layer = 0; layer < model->layers; layer++)
        if (shape_is_sliding(model, layer) != (layer % 2 == 0))
            return "in the original layout, layers alternate: sliding, full, sliding, ...";
    if (model->rope_truncate)
        return "the original layout does not truncate YaRN's bounds";
    if (model->tied || model->no_attention_bias)
        return "the original layout has an unembedding and attention biases of its own";
    if (model->norm_eps != 1e-5 || model->swiglu_alpha != 1.702)
        return "the original layout fixes --eps to 1e-5 and --swiglu-alpha to 1.702";
    return NULL;
}

const char *request_fault(const request *wanted)
{
    const shape *m = &wanted->shape;
    if (!m->layers || !m->hidden || !m->intermediate || !m->vocab || !m->heads || !m->kv_heads ||
        !m->head_dim || !m->experts || !m->top_k || !m->window)
        return "every size must be at least 1";
    if (m->heads % m->kv_heads != 0)
        return "--heads must be a multiple of --kv-heads";
    if (m->head_dim % 2 != 0)
        return "--head-dim must be even";
    if (m->top_k > m->experts)
        return "--top-k is more than --experts";
    if (strlen(m->layer_types) == 0 || strspn(m->layer_types, "sf") != strlen(m->layer_types))
        return "--layer-types is a pattern of s (sliding) and f (full), such as sffs";
    if (wanted->layout != LAYOUT_HF && (m->hidden % MX_GROUP != 0 || m->intermediate % MX_GROUP))
        return "MXFP4 needs --hidden and --intermediate to be multiples of 32";
    if (!(m->rope_theta > 1) || !(m->rope_factor >= 1) || m->rope_original < 1 ||
        m->rope_original * m->rope_factor > UINT32_MAX)
        return "--rope-theta must exceed 1, --rope-factor and --rope-original be at least 1";
    if (!wanted->directory)
        return "no directory to write to: -o DIR";
    return wanted->layout == LAYOUT_ORIGINAL ? original_fault(m) : NULL;
}
