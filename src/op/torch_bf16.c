#include "op/torch_bf16.h"

#include <math.h>
#include <string.h>

#include "base/number.h"
#include "kernel/kernel.h"

void torch_round(const team *self, float *x, size_t count, size_t n, size_t stride)
{
    size_t begin;
    size_t end;
    team_share(self, count, 1, &begin, &end);
    for (size_t i = begin; i < end; i++)
        for (size_t j = 0; j < n; j++)
            x[i * stride + j] = bf16_round(x[i * stride + j]);
    team_wait(self);
}

void torch_rotate(const team *self, const float *cosine, const float *sine, size_t rows,
                  size_t heads, size_t half, float *x, size_t x_stride)
{
    size_t begin;
    size_t end;
    team_share(self, rows * heads, 1, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        size_t row = i / heads;
        float *first = x + row * x_stride + i % heads * 2 * half;
        float *second = first + half;
        for (size_t d = 0; d < half; d++) {
            float c = cosine[row * half + d];
            float s = sine[row * half + d];
            float a = first[d];
            float b = second[d];
            first[d] = bf16_round(a * c) - bf16_round(b * s);
            second[d] = bf16_round(b * c) + bf16_round(a * s);
        }
    }
    team_wait(self);
}

/* ---- attention ------------------------------------------------------------------------------- */

/* A row's view of one key-value head. */
typedef struct visible_keys {
    const kv_view *cache;
    size_t head;
    size_t dim;
    size_t first; /* positions [first, end) are visible */
    size_t end;
    float scale;
} visible_keys;

static visible_keys visible_from(const attention_shape *shape, const kv_view *cache, size_t head,
                                 size_t position)
{
    size_t dim = shape->head_dim;
    size_t first = position + 1 > shape->window ? position + 1 - shape->window : 0;
    return (visible_keys){.cache = cache,
                          .head = head,
                          .dim = dim,
                          .first = first,
                          .end = position + 1,
                          .scale = (float)(1.0 / sqrt((double)dim))};
}

/* The scores of the keys from `begin` to the end of its block; returns how many. */
static size_t score_block(const visible_keys *seen, const float *q, size_t begin, float *scores)
{
    size_t end = (begin / KERNEL_ATTEND_KEYS + 1) * KERNEL_ATTEND_KEYS;
    size_t count = (end < seen->end ? end : seen->end) - begin;
    for (size_t j = 0; j < count; j++) {
        float key[KERNEL_MAX_HEAD_DIM];
        kv_get_key(seen->cache, seen->dim, seen->head, begin + j, key);
        kernel()->dot_panel(key, 1, q, 1, seen->dim, &scores[j], 0);
        scores[j] = bf16_round(bf16_round(scores[j]) * seen->scale);
    }
    return count;
}

/* exp(score - max) of a block; returns how many. */
static size_t exp_block(const visible_keys *seen, const float *q, size_t begin, float max,
                        float *terms)
{
    size_t count = score_block(seen, q, begin, terms);
    for (size_t j = 0; j < count; j++)
        terms[j] -= max;
    kernel()->exp(terms, count, terms);
    return count;
}

/*
 * One query head in three walks over the keys: for the largest score, for the sum of the
 * exponentials, for the output. The softmax is in float32 inside; its sum is kept in double
 * precision, which no order of summation can be far from. Returns the sink's probability.
 */
static float attend_head(const visible_keys *seen, const float *q, float sink, float *out)
{
    float block[KERNEL_ATTEND_KEYS];
    float max = sink;
    for (size_t begin = seen->first; begin < seen->end;) {
        size_t count = score_block(seen, q, begin, block);
        for (size_t j = 0; j < count; j++)
            max = block[j] > max ? block[j] : max;
        begin += count;
    }
    float sink_term = sink - max;
    kernel()->exp(&sink_term, 1, &sink_term);
    double sum = sink_term;
    for (size_t begin = seen->first; begin < seen->end;) {
        size_t count = exp_block(seen, q, begin, max, block);
        for (size_t j = 0; j < count; j++)
            sum += block[j];
        begin += count;
    }
    memset(out, 0, seen->dim * sizeof *out);
    for (size_t begin = seen->first; begin < seen->end;) {
        size_t count = exp_block(seen, q, begin, max, block);
        for (size_t j = 0; j < count; j++) {
            float value[KERNEL_MAX_HEAD_DIM];
            kv_get_value(seen->cache, seen->dim, seen->head, begin + j, value);
            kernel()->axpy(bf16_round(block[j] / (float)sum), value, seen->dim, out);
        }
        begin += count;
    }
    return sink_term / (float)sum;
}

void torch_attention(const team *self, const attention_shape *shape, const kv_view *caches,
                     const uint32_t *positions, const float *q, size_t q_stride, const float *sinks,
                     size_t rows, float *out, float *sink_mass, attention_scratch scratch)
{
    size_t dim = shape->head_dim;
    size_t group = shape->heads / shape->kv_heads;
    size_t begin;
    size_t end;
    (void)scratch;
    team_share(self, rows * shape->heads, 1, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        size_t row = i / shape->heads;
        size_t head = i % shape->heads;
        visible_keys seen = visible_from(shape, &caches[row], head / group, positions[row]);
        float mass =
            attend_head(&seen, q + row * q_stride + head * dim, sinks[head], out + i * dim);
        if (sink_mass != NULL)
            sink_mass[i] = mass;
    }
    team_wait(self);
}

/* ---- mixture of experts ---------------------------------------------------------------------- */

void torch_grouped_linear(const team *self, const routing *route, const matrix_stack *weights,
                          number_format bias_format, const uint8_t *bias, const float *x,
                          const uint32_t *index, float *y, product_space space)
{
    size_t n = weights->first.rows;
    size_t begin;
    size_t end;
    op_grouped_linear(self, route, weights, bias_format, NULL, x, index, y, space);
    team_share(self, n, MATRIX_UNIT_ROWS, &begin, &end);
    for (size_t expert = 0; expert < route->experts; expert++) {
        for (size_t first = begin; first < end; first += MATRIX_UNIT_ROWS) {
            size_t count = end - first < MATRIX_UNIT_ROWS ? end - first : MATRIX_UNIT_ROWS;
            float values[MATRIX_UNIT_ROWS];
            numbers_decode(bias_format, bias, expert * n + first, count, values);
            for (size_t place = route->start[expert]; place < route->start[expert + 1]; place++) {
                float *to = y + place * n + first;
                for (size_t i = 0; i < count; i++)
                    to[i] = bf16_round(to[i]) + values[i];
            }
        }
    }
    team_wait(self);
}

void torch_swiglu(const team *self, const float *h, size_t rows, size_t n, float alpha, float limit,
                  float *z)
{
    float top = bf16_round(limit);
    size_t begin;
    size_t end;
    team_share(self, rows, 1, &begin, &end);
    for (size_t i = begin * n; i < end * n; i++) {
        float gate = h[2 * i] > top ? top : h[2 * i];
        float up = h[2 * i + 1] > top ? top : h[2 * i + 1] < -top ? -top : h[2 * i + 1];
        float sigmoid = bf16_round(1.0F / (1.0F + expf(-bf16_round(alpha * gate))));
        z[i] = bf16_round(gate * sigmoid) * bf16_round(up + 1.0F);
    }
    team_wait(self);
}
