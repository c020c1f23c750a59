#include <math.h>
#include <string.h>

#include "kernel/kernel.h"
#include "op/op.h"

void op_rotate(const team *self, const float *cosine, const float *sine, size_t rows, size_t heads,
               size_t half, float *x, size_t x_stride)
{
    size_t begin;
    size_t end;
    team_share(self, rows * heads, 1, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        size_t row = i / heads;
        kernel()->rotate(x + row * x_stride + i % heads * 2 * half, cosine + row * half,
                         sine + row * half, half);
    }
    team_wait(self);
}

void op_store_kv(const team *self, const attention_shape *shape, const kv_view *caches,
                 const uint32_t *positions, const float *k, const float *v, size_t stride,
                 size_t rows)
{
    size_t dim = shape->head_dim;
    size_t begin;
    size_t end;
    team_share(self, rows * shape->kv_heads, 1, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        size_t row = i / shape->kv_heads;
        size_t head = i % shape->kv_heads;
        const kv_view *cache = &caches[row];
        size_t slot = (head * cache->slots + positions[row] % cache->slots) * dim;
        memcpy(cache->keys + slot, k + row * stride + head * dim, dim * sizeof *k);
        memcpy(cache->values + slot, v + row * stride + head * dim, dim * sizeof *v);
    }
    team_wait(self);
}

/* The running softmax of the query heads that share a key-value head. */
typedef struct head_group {
    size_t count;
    float *max; /* [count] */
    float *sum; /* [count] */
    float *out; /* [count, head_dim] */
} head_group;

/*
 * One row and one key-value head. The softmax starts from the sink alone (its logit as maximum, a
 * sum of 1, an output of 0) and takes in the visible keys block by block:
 *
 *     positions   0 ........ 64 ....... 128 ...... 192 ...
 *                     |<----- visible: window ----->|
 *     blocks          [64-x  ][    64    ][    y   ]
 */
static void attend_row(const attention_shape *shape, const kv_view *cache, size_t position,
                       size_t kv_head, const float *q, const float *sinks, head_group group)
{
    size_t dim = shape->head_dim;
    float scale = (float)(1.0 / sqrt((double)dim));
    size_t first = position + 1 > shape->window ? position + 1 - shape->window : 0;
    const float *keys = cache->keys + kv_head * cache->slots * dim;
    const float *values = cache->values + kv_head * cache->slots * dim;

    for (size_t g = 0; g < group.count; g++) {
        group.max[g] = sinks[g];
        group.sum[g] = 1.0F;
    }
    memset(group.out, 0, group.count * dim * sizeof *group.out);
    for (size_t begin = first; begin <= position;) {
        size_t end = (begin / KERNEL_ATTEND_KEYS + 1) * KERNEL_ATTEND_KEYS;
        if (end > position + 1)
            end = position + 1;
        size_t slot = begin % cache->slots * dim;
        for (size_t g = 0; g < group.count; g++)
            kernel()->attend_block(q + g * dim, keys + slot, values + slot, end - begin, dim, scale,
                                   &group.max[g], &group.sum[g], group.out + g * dim);
        begin = end;
    }
}

/* What share of the finished softmax the sinks have. */
static void weigh_sinks(const float *sinks, head_group group, float *mass)
{
    for (size_t g = 0; g < group.count; g++)
        mass[g] = sinks[g] - group.max[g];
    kernel()->exp(mass, group.count, mass);
    for (size_t g = 0; g < group.count; g++)
        mass[g] /= group.sum[g];
}

void op_attention(const team *self, const attention_shape *shape, const kv_view *caches,
                  const uint32_t *positions, const float *q, size_t q_stride, const float *sinks,
                  size_t rows, float *out, float *sink_mass, float *scratch)
{
    size_t dim = shape->head_dim;
    size_t count = shape->heads / shape->kv_heads;
    head_group group = {count, scratch, scratch + count, scratch + 2 * count};
    size_t begin;
    size_t end;
    team_share(self, rows * shape->kv_heads, 1, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        size_t row = i / shape->kv_heads;
        size_t head = i % shape->kv_heads * count; /* the first that reads this key-value head */
        attend_row(shape, &caches[row], positions[row], head / count,
                   q + row * q_stride + head * dim, sinks + head, group);
        float *to = out + (row * shape->heads + head) * dim;
        for (size_t g = 0; g < count; g++)
            for (size_t d = 0; d < dim; d++)
                to[g * dim + d] = group.out[g * dim + d] / group.sum[g];
        if (sink_mass != NULL)
            weigh_sinks(sinks + head, group, sink_mass + row * shape->heads + head);
    }
    team_wait(self);
}
