/* What a model is made of: parameters and bytes by kind. */
#include "model/model.h"

static uint64_t numbers_of(const tensor *t)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        count *= t->shape[i];
    return count;
}

/* The field of *out that counts the bytes of a role's tensor. */
static uint64_t *kind_of(weight_role role, gptoss_model_info *out)
{
    switch (role) {
    case WEIGHT_EMBEDDING:
        return &out->bytes_embedding;
    case WEIGHT_UNEMBEDDING:
        return &out->bytes_unembedding;
    case WEIGHT_FINAL_NORM:
    case WEIGHT_ATTENTION_NORM:
    case WEIGHT_MLP_NORM:
        return &out->bytes_norms;
    case WEIGHT_ROUTER:
    case WEIGHT_ROUTER_BIAS:
        return &out->bytes_router;
    case WEIGHT_GATE_UP:
    case WEIGHT_DOWN:
    case WEIGHT_GATE_UP_BLOCKS:
    case WEIGHT_DOWN_BLOCKS:
        return &out->bytes_expert_weights;
    case WEIGHT_GATE_UP_SCALES:
    case WEIGHT_DOWN_SCALES:
        return &out->bytes_expert_scales;
    case WEIGHT_GATE_UP_BIAS:
    case WEIGHT_DOWN_BIAS:
        return &out->bytes_expert_biases;
    default:
        return &out->bytes_attention;
    }
}

static bool is_expert(weight_role role)
{
    return role >= WEIGHT_GATE_UP;
}

/* Numbers that a tensor stands for: a byte of blocks holds two, scales are none of their own. */
static uint64_t parameters_of(weight_role role, const tensor *t)
{
    if (role == WEIGHT_GATE_UP_BLOCKS || role == WEIGHT_DOWN_BLOCKS)
        return 2 * numbers_of(t);
    if (role == WEIGHT_GATE_UP_SCALES || role == WEIGHT_DOWN_SCALES)
        return 0;
    return numbers_of(t);
}

static void count_tensor(const gptoss_config *config, weight_role role, const tensor *t,
                         gptoss_model_info *out)
{
    uint64_t parameters = parameters_of(role, t);
    out->parameters_total += parameters;
    out->bytes_tensors += t->bytes;
    *kind_of(role, out) += t->bytes;

    uint64_t active = parameters;
    uint64_t touched = t->bytes;
    if (is_expert(role)) {
        active = parameters / config->experts * config->experts_per_token;
        touched = t->bytes / config->experts * config->experts_per_token;
    } else if (role == WEIGHT_EMBEDDING) { /* read whole only when it unembeds too */
        active = config->tied_embeddings ? parameters : 0;
        touched = t->bytes / config->vocab + (config->tied_embeddings ? t->bytes : 0);
    }
    out->parameters_active += active;
    out->bytes_per_token += touched;
}

void gptoss_model_describe(const gptoss_model *model, gptoss_model_info *out)
{
    *out = (gptoss_model_info){.layout = model->layout};
    for (size_t i = 0; i < checkpoint_file_count(model->files); i++)
        out->bytes_files += checkpoint_file_map(model->files, i).size;
    weight_walk walk = {0};
    weight_role role;
    for (const tensor *t; (t = model_next_weight(model, &walk, &role)) != NULL;)
        count_tensor(&model->config, role, t, out);
    uint64_t all = pack_saving(&model->weights, model->config.layers);
    uint64_t of_unembedding = pack_saving(&model->weights, 0);
    uint64_t plane = model_sketch_first_bytes(model->config.vocab, model->config.hidden);
    out->bytes_per_token_packed = out->bytes_per_token - all;
    if (plane == 0)
        return;
    uint64_t unembedding =
        out->bytes_unembedding > 0 ? out->bytes_unembedding : out->bytes_embedding;
    out->bytes_per_token_sketch = out->bytes_per_token - unembedding + plane;
    out->bytes_per_token_both = out->bytes_per_token_sketch - (all - of_unembedding);
}
