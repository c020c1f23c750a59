#include "plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/random_weights.h"

typedef struct builder {
    const request *wanted;
    const shape *model;
    planned_tensor *tensors;
    size_t count;
    size_t capacity;
    uint32_t layer;
} builder;

/* Appends a tensor named by the layout's prefix for this layer and `name`. */
static planned_tensor *add(builder *b, const char *prefix, const char *name, dtype type,
                           uint32_t rank, const uint64_t *dims)
{
    if (b->count == b->capacity) {
        b->capacity = b->capacity ? 2 * b->capacity : 64;
        b->tensors = realloc(b->tensors, b->capacity * sizeof *b->tensors);
        if (!b->tensors) {
            fprintf(stderr, "make-checkpoint: out of memory\n");
            exit(1);
        }
    }
    planned_tensor *made = &b->tensors[b->count++];
    *made = (planned_tensor){.dtype = type, .rank = rank};
    if (strcmp(prefix, "") == 0)
        snprintf(made->name, sizeof made->name, "%s", name);
    else
        snprintf(made->name, sizeof made->name, "%s.%u.%s", prefix, b->layer, name);
    made->bytes = element_bytes(type);
    for (uint32_t i = 0; i < rank; i++) {
        made->shape[i] = dims[i];
        made->bytes *= dims[i];
    }
    return made;
}

static const char *prefix_of(const builder *b)
{
    return b->wanted->layout == LAYOUT_ORIGINAL ? "block" : "model.layers";
}

static const char *pick(const builder *b, const char *original, const char *hf)
{
    return b->wanted->layout == LAYOUT_ORIGINAL ? original : hf;
}

/* A tensor outside the layers. */
static void add_global(builder *b, random_role which, const char *original, const char *hf,
                       uint32_t rank, const uint64_t *dims, double mean, double deviation)
{
    planned_tensor *made = add(b, "", pick(b, original, hf), b->wanted->dtype, rank, dims);
    made->stream = random_stream(b->wanted->seed, UINT32_MAX, which);
    made->mean = mean;
    made->deviation = deviation;
}

static void add_unembedding(builder *b)
{
    const shape *m = b->model;
    add_global(b, RANDOM_UNEMBEDDING, "unembedding.weight", "lm_head.weight", 2,
               (uint64_t[]){m->vocab, m->hidden}, 0, 1 / sqrt(m->hidden));
    if (b->wanted->winners)
        winners_make(&b->tensors[b->count - 1].planted,
                     random_stream(b->wanted->seed, UINT32_MAX, RANDOM_EMBEDDING), m->vocab,
                     m->hidden, m->layers);
}

static planned_tensor *add_dense(builder *b, random_role which, const char *name, uint32_t rank,
                                 const uint64_t *dims, double mean, double deviation)
{
    planned_tensor *made = add(b, prefix_of(b), name, b->wanted->dtype, rank, dims);
    made->stream = random_stream(b->wanted->seed, b->layer, which);
    made->mean = mean;
    made->deviation = deviation;
    return made;
}

static void add_vector(builder *b, random_role which, const char *original, const char *hf,
                       uint64_t length, double mean, double deviation)
{
    add_dense(b, which, pick(b, original, hf), 1, &length, mean, deviation);
}

/* A matrix [rows, columns] that keeps unit scale, and its bias. */
static void add_linear(builder *b, random_role which, const char *original, const char *hf,
                       uint64_t rows, uint64_t columns, bool biased)
{
    char name[64];
    snprintf(name, sizeof name, "%s.weight", pick(b, original, hf));
    add_dense(b, which, name, 2, (uint64_t[]){rows, columns}, 0, 1 / sqrt((double)columns));
    snprintf(name, sizeof name, "%s.bias", pick(b, original, hf));
    if (biased)
        add_dense(b, which + 1, name, 1, &rows, 0, RANDOM_BIAS_DEVIATION);
}

/* q, k and v: rows of one matrix in the original layout, three that hold its slices otherwise. */
static void add_qkv(builder *b)
{
    const shape *m = b->model;
    uint64_t q = (uint64_t)m->heads * m->head_dim, kv = (uint64_t)m->kv_heads * m->head_dim;
    if (b->wanted->layout == LAYOUT_ORIGINAL) {
        add_linear(b, RANDOM_QKV, "attn.qkv", NULL, q + 2 * kv, m->hidden, true);
        return;
    }
    static const char *const names[] = {"q", "k", "v"};
    const uint64_t rows[] = {q, kv, kv};
    uint64_t first = 0;
    for (int i = 0; i < 3; i++) {
        char name[40];
        snprintf(name, sizeof name, "self_attn.%s_proj", names[i]);
        size_t before = b->count;
        add_linear(b, RANDOM_QKV, NULL, name, rows[i], m->hidden, !m->no_attention_bias);
        b->tensors[before].first = first * m->hidden;
        if (!m->no_attention_bias)
            b->tensors[before + 1].first = first;
        first += rows[i];
    }
}

static void add_attention(builder *b)
{
    const shape *m = b->model;
    add_vector(b, RANDOM_ATTENTION_NORM, "attn.norm.scale", "input_layernorm.weight", m->hidden, 1,
               RANDOM_NORM_DEVIATION);
    add_qkv(b);
    add_vector(b, RANDOM_SINKS, "attn.sinks", "self_attn.sinks", m->heads, 0,
               RANDOM_SINK_DEVIATION);
    add_linear(b, RANDOM_OUT, "attn.out", "self_attn.o_proj", m->hidden,
               (uint64_t)m->heads * m->head_dim, !m->no_attention_bias);
}

/* The experts' matrices [experts, rows, columns] in the layout's form, and their biases. */
static void add_experts(builder *b, random_role which, const char *original, const char *hf,
                        uint64_t rows, uint32_t columns)
{
    const request *wanted = b->wanted;
    uint64_t experts = b->model->experts, groups = (columns + MX_GROUP - 1) / MX_GROUP;
    size_t first = b->count;
    char name[64];
    if (wanted->layout == LAYOUT_HF) {
        snprintf(name, sizeof name, "mlp.experts.%s", hf);
        add(b, prefix_of(b), name, wanted->dtype, 3, (uint64_t[]){experts, columns, rows})->how =
            FILL_EXPERTS;
    } else {
        bool own = wanted->layout == LAYOUT_ORIGINAL;
        snprintf(name, sizeof name, own ? "mlp.%s_weight.blocks" : "mlp.experts.%s_blocks",
                 pick(b, original, hf));
        add(b, prefix_of(b), name, DTYPE_U8, 4, (uint64_t[]){experts, rows, groups, MX_GROUP / 2})
            ->how = FILL_BLOCKS;
        snprintf(name, sizeof name, own ? "mlp.%s_weight.scales" : "mlp.experts.%s_scales",
                 pick(b, original, hf));
        add(b, prefix_of(b), name, DTYPE_U8, 3, (uint64_t[]){experts, rows, groups})->how =
            FILL_SCALES;
    }
    for (size_t i = first; i < b->count; i++) {
        b->tensors[i].stream = random_stream(wanted->seed, b->layer, which);
        b->tensors[i].scale_stream = random_stream(wanted->seed, b->layer, which + 1);
        b->tensors[i].columns = columns;
    }
    snprintf(name, sizeof name,
             wanted->layout == LAYOUT_ORIGINAL ? "mlp.%s_bias" : "mlp.experts.%s_bias",
             pick(b, original, hf));
    add_dense(b, which + 2, name, 2, (uint64_t[]){experts, rows}, 0, RANDOM_BIAS_DEVIATION);
}

static void add_layer(builder *b)
{
    const shape *m = b->model;
    add_attention(b);
    add_vector(b, RANDOM_MLP_NORM, "mlp.norm.scale", "post_attention_layernorm.weight", m->hidden,
               1, RANDOM_NORM_DEVIATION);
    add_linear(b, RANDOM_ROUTER, "mlp.gate", "mlp.router", m->experts, m->hidden, true);
    add_experts(b, RANDOM_GATE_UP, "mlp1", "gate_up_proj", 2 * (uint64_t)m->intermediate,
                m->hidden);
    add_experts(b, RANDOM_DOWN, "mlp2", "down_proj", m->hidden, m->intermediate);
}

/* Puts the tensors, in their order, into files of about equal size. */
static void share_out(const request *wanted, plan *out)
{
    uint64_t share = wanted->shard_size;
    if (wanted->shards > 0)
        share = (out->bytes + wanted->shards - 1) / wanted->shards;
    uint64_t before = 0, offset = 0;
    uint32_t file = 0;
    for (size_t i = 0; i < out->count; i++) {
        planned_tensor *made = &out->tensors[i];
        if (share > 0 && offset > 0 && before / share > file) {
            file++;
            offset = 0;
        }
        made->file = file;
        made->offset = offset;
        offset += made->bytes;
        before += made->bytes;
    }
    out->files = file + 1;
}

void plan_make(const request *wanted, plan *out)
{
    const shape *m = &wanted->shape;
    builder b = {.wanted = wanted, .model = m};
    const uint64_t table[] = {m->vocab, m->hidden};
    add_global(&b, RANDOM_EMBEDDING, "embedding.weight", "model.embed_tokens.weight", 2, table, 0,
               m->tied ? 1 / sqrt(m->hidden) : 1);
    for (b.layer = 0; b.layer < m->layers; b.layer++)
        add_layer(&b);
    add_global(&b, RANDOM_FINAL_NORM, "norm.scale", "model.norm.weight", 1, &table[1], 1,
               RANDOM_NORM_DEVIATION);
    if (!m->tied)
        add_unembedding(&b);

    *out = (plan){.tensors = b.tensors, .count = b.count};
    for (size_t i = 0; i < out->count; i++)
        out->bytes += out->tensors[i].bytes;
    share_out(wanted, out);
}

void plan_free(plan *tensors)
{
    free(tensors->tensors);
}

void plan_file_name(const plan *tensors, layout kind, uint32_t file, char name[PLAN_FILE_NAME])
{
    if (tensors->files == 1)
        snprintf(name, PLAN_FILE_NAME, "model.safetensors");
    else if (kind == LAYOUT_ORIGINAL)
        snprintf(name, PLAN_FILE_NAME, "model--%05u-of-%05u.safetensors", file + 1, tensors->files);
    else /* the published files count from 0 to one less than there are */
        snprintf(name, PLAN_FILE_NAME, "model-%05u-of-%05u.safetensors", file, tensors->files - 1);
}
