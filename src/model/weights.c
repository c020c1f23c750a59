#include "model/weights.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "checkpoint/naming.h"

/* What binding needs at every step. The first failure is kept and ends it. */
typedef struct binder {
    const checkpoint *files;
    const gptoss_config *config;
    gptoss_layout layout;
    uint32_t layer;
    float *next; /* where the next decoded vector goes */
    gptoss_error *error;
    gptoss_status status;
} binder;

typedef struct shape {
    uint32_t rank;
    uint64_t size[4];
} shape;

#define SHAPE(...)                                                                                 \
    (shape)                                                                                        \
    {                                                                                              \
        sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t),                                      \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static void print_shape(char *text, size_t room, uint32_t rank, const uint64_t *size)
{
    size_t used = (size_t)snprintf(text, room, "[");
    for (uint32_t i = 0; i < rank && used < room; i++)
        used += (size_t)snprintf(text + used, room - used, "%s%llu", i == 0 ? "" : ", ",
                                 (unsigned long long)size[i]);
    if (used < room)
        snprintf(text + used, room - used, "]");
}

/* The tensor for a role with exactly this shape, or NULL after a failure. */
static const tensor *bind_tensor(binder *b, weight_role role, shape expected)
{
    char name[SAFETENSORS_MAX_NAME];
    if (b->status != GPTOSS_OK)
        return NULL;
    if (!naming_of(b->layout, role, b->layer, name)) {
        b->status = fail(b->error, GPTOSS_FORMAT, "layout %s has no weight of role %d",
                         gptoss_layout_name(b->layout), (int)role);
        return NULL;
    }
    const tensor *found = checkpoint_find(b->files, name);
    if (found == NULL) {
        b->status = fail(b->error, GPTOSS_FORMAT,
                         "%s: tensor %s is missing: the configuration says %u layers in layout %s",
                         checkpoint_directory(b->files), name, b->config->layers,
                         gptoss_layout_name(b->layout));
        return NULL;
    }
    bool same = found->rank == expected.rank;
    for (uint32_t i = 0; same && i < expected.rank; i++)
        same = found->shape[i] == expected.size[i];
    if (!same) {
        char want[128];
        char have[224];
        print_shape(want, sizeof want, expected.rank, expected.size);
        print_shape(have, sizeof have, found->rank, found->shape);
        b->status = fail(b->error, GPTOSS_FORMAT,
                         "%s: tensor %s: the configuration asks for shape %s, found %s",
                         checkpoint_file_path(b->files, found->file), name, want, have);
        return NULL;
    }
    return found;
}

/* The number format of a float tensor. */
static number_format bind_format(binder *b, const tensor *found)
{
    if (found->type == DTYPE_BF16)
        return NUMBER_BF16;
    if (found->type == DTYPE_F16)
        return NUMBER_F16;
    if (found->type == DTYPE_F32)
        return NUMBER_F32;
    b->status = fail(
        b->error, GPTOSS_UNSUPPORTED, "%s: tensor %s: expected dtype BF16, F16 or F32, found %s",
        checkpoint_file_path(b->files, found->file), found->name, dtype_name(found->type));
    return NUMBER_F32;
}

static matrix bind_matrix(binder *b, weight_role role, uint64_t rows, uint64_t columns)
{
    const tensor *found = bind_tensor(b, role, SHAPE(rows, columns));
    if (found == NULL)
        return (matrix){0};
    return (matrix){
        .data = found->data, .rows = rows, .columns = columns, .format = bind_format(b, found)};
}

static const float *bind_vector(binder *b, weight_role role, uint64_t n)
{
    const tensor *found = bind_tensor(b, role, SHAPE(n));
    if (found == NULL)
        return NULL;
    number_format format = bind_format(b, found);
    if (b->status != GPTOSS_OK)
        return NULL;
    float *copy = b->next;
    numbers_decode(format, found->data, 0, n, copy);
    b->next += n;
    return copy;
}

static const uint8_t *bind_expert_bias(binder *b, weight_role role, uint64_t n,
                                       number_format *format)
{
    const tensor *found = bind_tensor(b, role, SHAPE(b->config->experts, n));
    if (found == NULL)
        return NULL;
    *format = bind_format(b, found);
    return found->data;
}

/* Blocks of codes [experts, rows, columns/32, 16] and scales [experts, rows, columns/32], both U8.
 */
static matrix_stack bind_mxfp4(binder *b, weight_role blocks_role, weight_role scales_role,
                               uint64_t rows, uint64_t columns)
{
    uint64_t experts = b->config->experts;
    if (b->status == GPTOSS_OK && columns % 32 != 0)
        b->status = fail(b->error, GPTOSS_UNSUPPORTED,
                         "%s: MXFP4 experts need hidden and intermediate sizes that are multiples "
                         "of 32, found %llu",
                         checkpoint_directory(b->files), (unsigned long long)columns);
    const tensor *blocks = bind_tensor(b, blocks_role, SHAPE(experts, rows, columns / 32, 16));
    const tensor *scales = bind_tensor(b, scales_role, SHAPE(experts, rows, columns / 32));
    if (blocks == NULL || scales == NULL)
        return (matrix_stack){0};
    const tensor *wrong = blocks->type != DTYPE_U8   ? blocks
                          : scales->type != DTYPE_U8 ? scales
                                                     : NULL;
    if (wrong != NULL)
        b->status =
            fail(b->error, GPTOSS_UNSUPPORTED, "%s: tensor %s: expected dtype U8, found %s",
                 checkpoint_file_path(b->files, wrong->file), wrong->name, dtype_name(wrong->type));
    return (matrix_stack){.first = {.data = blocks->data,
                                    .scales = scales->data,
                                    .rows = rows,
                                    .columns = columns,
                                    .format = NUMBER_MXFP4},
                          .count = experts};
}

/* Unquantised experts [experts, columns, rows]. */
static matrix_stack bind_transposed(binder *b, weight_role role, uint64_t rows, uint64_t columns)
{
    const tensor *found = bind_tensor(b, role, SHAPE(b->config->experts, columns, rows));
    if (found == NULL)
        return (matrix_stack){0};
    return (matrix_stack){.first = {.data = found->data,
                                    .rows = rows,
                                    .columns = columns,
                                    .format = bind_format(b, found),
                                    .transposed = true},
                          .count = b->config->experts};
}

/* The original layout keeps q, k and v as rows of one matrix, in this order. */
static void bind_fused_qkv(binder *b, uint64_t q_dim, uint64_t kv_dim, layer_weights *layer)
{
    matrix fused = bind_matrix(b, WEIGHT_QKV, q_dim + 2 * kv_dim, b->config->hidden);
    const float *bias = bind_vector(b, WEIGHT_QKV_BIAS, q_dim + 2 * kv_dim);
    if (b->status != GPTOSS_OK)
        return;
    layer->q = matrix_slice(&fused, 0, q_dim);
    layer->k = matrix_slice(&fused, q_dim, kv_dim);
    layer->v = matrix_slice(&fused, q_dim + kv_dim, kv_dim);
    layer->q_bias = bias;
    layer->k_bias = bias + q_dim;
    layer->v_bias = bias + q_dim + kv_dim;
}

static void bind_attention(binder *b, layer_weights *layer)
{
    const gptoss_config *c = b->config;
    uint64_t q_dim = (uint64_t)c->heads * c->head_dim;
    uint64_t kv_dim = (uint64_t)c->kv_heads * c->head_dim;
    layer->attention_norm = bind_vector(b, WEIGHT_ATTENTION_NORM, c->hidden);
    if (b->layout == GPTOSS_LAYOUT_ORIGINAL) {
        bind_fused_qkv(b, q_dim, kv_dim, layer);
    } else {
        layer->q = bind_matrix(b, WEIGHT_Q, q_dim, c->hidden);
        layer->k = bind_matrix(b, WEIGHT_K, kv_dim, c->hidden);
        layer->v = bind_matrix(b, WEIGHT_V, kv_dim, c->hidden);
        if (c->attention_bias) {
            layer->q_bias = bind_vector(b, WEIGHT_Q_BIAS, q_dim);
            layer->k_bias = bind_vector(b, WEIGHT_K_BIAS, kv_dim);
            layer->v_bias = bind_vector(b, WEIGHT_V_BIAS, kv_dim);
        }
    }
    layer->sinks = bind_vector(b, WEIGHT_SINKS, c->heads);
    layer->out = bind_matrix(b, WEIGHT_OUT, c->hidden, q_dim);
    if (c->attention_bias)
        layer->out_bias = bind_vector(b, WEIGHT_OUT_BIAS, c->hidden);
}

static void bind_mlp(binder *b, layer_weights *layer)
{
    const gptoss_config *c = b->config;
    uint64_t doubled = 2 * (uint64_t)c->intermediate;
    layer->mlp_norm = bind_vector(b, WEIGHT_MLP_NORM, c->hidden);
    layer->router = bind_matrix(b, WEIGHT_ROUTER, c->experts, c->hidden);
    layer->router_bias = bind_vector(b, WEIGHT_ROUTER_BIAS, c->experts);
    if (b->layout == GPTOSS_LAYOUT_HF) {
        layer->gate_up = bind_transposed(b, WEIGHT_GATE_UP, doubled, c->hidden);
        layer->down = bind_transposed(b, WEIGHT_DOWN, c->hidden, c->intermediate);
    } else {
        layer->gate_up =
            bind_mxfp4(b, WEIGHT_GATE_UP_BLOCKS, WEIGHT_GATE_UP_SCALES, doubled, c->hidden);
        layer->down =
            bind_mxfp4(b, WEIGHT_DOWN_BLOCKS, WEIGHT_DOWN_SCALES, c->hidden, c->intermediate);
    }
    layer->gate_up_bias =
        bind_expert_bias(b, WEIGHT_GATE_UP_BIAS, doubled, &layer->gate_up_bias_format);
    layer->down_bias = bind_expert_bias(b, WEIGHT_DOWN_BIAS, c->hidden, &layer->down_bias_format);
}

/* Floats of all decoded vectors together. */
static uint64_t vector_floats(const gptoss_config *c)
{
    uint64_t q_dim = (uint64_t)c->heads * c->head_dim;
    uint64_t kv_dim = (uint64_t)c->kv_heads * c->head_dim;
    uint64_t layer = 3 * (uint64_t)c->hidden + q_dim + 2 * kv_dim + c->heads + c->experts;
    return c->layers * layer + c->hidden;
}

gptoss_status weights_bind(const checkpoint *files, gptoss_layout layout,
                           const gptoss_config *config, weights *out, gptoss_error *error)
{
    uint64_t floats = vector_floats(config);
    *out = (weights){0};
    out->layers = calloc(config->layers, sizeof *out->layers);
    out->vectors = memory_allocate(floats * sizeof *out->vectors);
    if (out->layers == NULL || out->vectors == NULL) {
        weights_free(out);
        return fail_memory(error, "the norms, sinks and biases", floats * sizeof(float));
    }

    binder b = {.files = files,
                .config = config,
                .layout = layout,
                .next = out->vectors,
                .error = error,
                .status = GPTOSS_OK};
    out->embedding = bind_matrix(&b, WEIGHT_EMBEDDING, config->vocab, config->hidden);
    out->final_norm = bind_vector(&b, WEIGHT_FINAL_NORM, config->hidden);
    out->unembedding = config->tied_embeddings
                           ? out->embedding
                           : bind_matrix(&b, WEIGHT_UNEMBEDDING, config->vocab, config->hidden);
    for (; b.layer < config->layers && b.status == GPTOSS_OK; b.layer++) {
        bind_attention(&b, &out->layers[b.layer]);
        bind_mlp(&b, &out->layers[b.layer]);
    }
    if (b.status != GPTOSS_OK)
        weights_free(out);
    return b.status;
}

void weights_free(weights *bound)
{
    free(bound->layers);
    free(bound->vectors);
    *bound = (weights){0};
}
