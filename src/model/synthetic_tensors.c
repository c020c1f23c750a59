#include "model/synthetic_tensors.h"

#include <math.h>
#include <stdlib.h>

#include "checkpoint/naming.h"

#define PAGE 4096U

typedef struct lister {
    const gptoss_config *config;
    uint64_t seed;
    uint32_t layer; /* UINT32_MAX outside the layers */
    synthetic_tensors *list;
} lister;

/* Adds a tensor of `rank` dimensions and returns its recipe. */
static synthetic_recipe *add(lister *l, weight_role role, random_role stream, dtype type,
                             uint32_t rank, const uint64_t *shape)
{
    synthetic_tensors *list = l->list;
    size_t index = list->count++;
    tensor *made = &list->tensors[index];
    char *name = list->names + index * SAFETENSORS_MAX_NAME;
    naming_of(GPTOSS_LAYOUT_HF_MXFP4, role, l->layer, name);
    *made = (tensor){.name = name,
                     .bytes = dtype_bytes(type),
                     .offset = list->bytes,
                     .rank = rank,
                     .type = type};
    for (uint32_t i = 0; i < rank; i++) {
        made->shape[i] = shape[i];
        made->bytes *= shape[i];
    }
    list->bytes += (made->bytes + PAGE - 1) / PAGE * PAGE;
    list->recipes[index] = (synthetic_recipe){.stream = random_stream(l->seed, l->layer, stream)};
    return &list->recipes[index];
}

static synthetic_recipe *add_normal(lister *l, weight_role role, random_role stream, uint32_t rank,
                                    const uint64_t *shape, double mean, double deviation)
{
    synthetic_recipe *recipe = add(l, role, stream, DTYPE_BF16, rank, shape);
    recipe->mean = mean;
    recipe->deviation = deviation;
    return recipe;
}

static void add_unembedding(lister *l, bool with_winners)
{
    const gptoss_config *c = l->config;
    const uint64_t table[] = {c->vocab, c->hidden};
    synthetic_recipe *recipe =
        add_normal(l, WEIGHT_UNEMBEDDING, RANDOM_UNEMBEDDING, 2, table, 0.0, 1.0 / sqrt(c->hidden));
    if (with_winners)
        winners_make(&recipe->planted, random_stream(l->seed, l->layer, RANDOM_EMBEDDING), c->vocab,
                     c->hidden, c->layers);
}

static void add_vector(lister *l, weight_role role, random_role stream, uint64_t n, double mean,
                       double deviation)
{
    add_normal(l, role, stream, 1, &n, mean, deviation);
}

/* A matrix [rows, columns] that keeps unit scale, and its bias, which follows in both enumerations.
 * `before` rows of the same streams belong to others. */
static void add_linear(lister *l, weight_role role, random_role stream, uint64_t before,
                       uint64_t rows, uint64_t columns, bool biased)
{
    const uint64_t shape[] = {rows, columns};
    synthetic_recipe *recipe =
        add_normal(l, role, stream, 2, shape, 0.0, 1.0 / sqrt((double)columns));
    recipe->first = before * columns;
    if (biased)
        add_normal(l, role + 1, stream + 1, 1, &rows, 0.0, RANDOM_BIAS_DEVIATION)->first = before;
}

static void add_attention(lister *l)
{
    const gptoss_config *c = l->config;
    uint64_t q_dim = (uint64_t)c->heads * c->head_dim;
    uint64_t kv_dim = (uint64_t)c->kv_heads * c->head_dim;
    bool biased = c->attention_bias;
    add_vector(l, WEIGHT_ATTENTION_NORM, RANDOM_ATTENTION_NORM, c->hidden, 1.0,
               RANDOM_NORM_DEVIATION);
    add_linear(l, WEIGHT_Q, RANDOM_QKV, 0, q_dim, c->hidden, biased);
    add_linear(l, WEIGHT_K, RANDOM_QKV, q_dim, kv_dim, c->hidden, biased);
    add_linear(l, WEIGHT_V, RANDOM_QKV, q_dim + kv_dim, kv_dim, c->hidden, biased);
    add_vector(l, WEIGHT_SINKS, RANDOM_SINKS, c->heads, 0.0, RANDOM_SINK_DEVIATION);
    add_linear(l, WEIGHT_OUT, RANDOM_OUT, 0, c->hidden, q_dim, biased);
}

/* The experts' matrices [experts, rows, columns] as codes and scales; their bias. */
static void add_experts(lister *l, weight_role blocks, weight_role bias, random_role stream,
                        uint64_t rows, uint64_t columns)
{
    uint64_t experts = l->config->experts;
    const uint64_t shape[] = {experts, rows, columns / MX_GROUP, MX_GROUP / 2};
    for (int part = 0; part < 2; part++) { /* codes, then scales */
        synthetic_recipe *recipe =
            add(l, blocks + part, stream, DTYPE_U8, part == 0 ? 4 : 3, shape);
        recipe->how = part == 0 ? SYNTHETIC_BLOCKS : SYNTHETIC_SCALES;
        recipe->scale_stream = random_stream(l->seed, l->layer, stream + 1);
        recipe->columns = (uint32_t)columns;
    }
    add_normal(l, bias, stream + 2, 2, shape, 0.0, RANDOM_BIAS_DEVIATION);
}

static void add_layer(lister *l)
{
    const gptoss_config *c = l->config;
    add_attention(l);
    add_vector(l, WEIGHT_MLP_NORM, RANDOM_MLP_NORM, c->hidden, 1.0, RANDOM_NORM_DEVIATION);
    add_linear(l, WEIGHT_ROUTER, RANDOM_ROUTER, 0, c->experts, c->hidden, true);
    add_experts(l, WEIGHT_GATE_UP_BLOCKS, WEIGHT_GATE_UP_BIAS, RANDOM_GATE_UP,
                2 * (uint64_t)c->intermediate, c->hidden);
    add_experts(l, WEIGHT_DOWN_BLOCKS, WEIGHT_DOWN_BIAS, RANDOM_DOWN, c->hidden, c->intermediate);
}

gptoss_status synthetic_list(const gptoss_config *config, uint64_t seed, bool with_winners,
                             synthetic_tensors *out, gptoss_error *error)
{
    size_t most = WEIGHT_ATTENTION_NORM + (size_t)config->layers * WEIGHT_ROLE_COUNT;
    *out = (synthetic_tensors){.tensors = calloc(most, sizeof *out->tensors),
                               .recipes = calloc(most, sizeof *out->recipes),
                               .names = calloc(most, SAFETENSORS_MAX_NAME)};
    if (out->tensors == NULL || out->recipes == NULL || out->names == NULL) {
        synthetic_free(out);
        return fail_memory(error, "the directory of tensors", most * sizeof *out->tensors);
    }
    lister l = {config, seed, UINT32_MAX, out};
    const uint64_t table[] = {config->vocab, config->hidden};
    add_normal(&l, WEIGHT_EMBEDDING, RANDOM_EMBEDDING, 2, table, 0.0,
               config->tied_embeddings ? 1.0 / sqrt(config->hidden) : 1.0);
    add_vector(&l, WEIGHT_FINAL_NORM, RANDOM_FINAL_NORM, config->hidden, 1.0,
               RANDOM_NORM_DEVIATION);
    if (!config->tied_embeddings)
        add_unembedding(&l, with_winners);
    for (l.layer = 0; l.layer < config->layers; l.layer++)
        add_layer(&l);
    return GPTOSS_OK;
}

void synthetic_free(synthetic_tensors *list)
{
    free(list->tensors);
    free(list->recipes);
    free(list->names);
    *list = (synthetic_tensors){0};
}

void synthetic_make(const synthetic_recipe *recipe, const normal *table, uint64_t first,
                    size_t count, uint8_t *out)
{
    mx_matrix matrix;
    if (recipe->planted.common > 0) {
        winners_fill(&recipe->planted, table, recipe->stream, first, count, out);
        return;
    }
    if (recipe->how == SYNTHETIC_NORMAL) {
        normal_fill(table, recipe->stream, recipe->first + first, count, out);
        return;
    }
    mx_make(&matrix, recipe->stream, recipe->scale_stream, recipe->columns);
    (recipe->how == SYNTHETIC_BLOCKS ? mx_fill_blocks : mx_fill_scales)(&matrix, first, count, out);
}
