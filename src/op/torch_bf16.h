/*
 * Operations with the roundings of OpenAI's torch code in bfloat16 (gpt_oss/torch/model.py), where
 * these are others than rounding the result of the operation in op.h. For parity: clear rather than
 * fast. Numbers stay in floats, inputs are bfloat16 values, and the last rounding, that of the
 * result, is left to torch_round. Arguments as in op.h.
 */
#ifndef OP_TORCH_BF16_H
#define OP_TORCH_BF16_H

#include "op/attention.h"
#include "op/op.h"

/* Rounds `count` vectors of n elements, `stride` apart, to bfloat16: nearest, ties to even. */
void torch_round(const team *self, float *x, size_t count, size_t n, size_t stride);

/* Rounds each product. cosine, sine: bfloat16 values. */
void torch_rotate(const team *self, const float *cosine, const float *sine, size_t rows,
                  size_t heads, size_t half, float *x, size_t x_stride);

/* Rounds the scores, the scaled scores and the probabilities. Needs no scratch. */
void torch_attention(const team *self, const attention_shape *shape, const kv_view *caches,
                     const uint32_t *positions, const float *q, size_t q_stride, const float *sinks,
                     size_t rows, float *out, float *sink_mass, attention_scratch scratch);

/* Rounds before the bias. */
void torch_grouped_linear(const team *self, const routing *route, const matrix_stack *weights,
                          number_format bias_format, const uint8_t *bias, const float *x,
                          const uint32_t *index, float *y, product_space space);

/* Rounds each step. */
void torch_swiglu(const team *self, const float *h, size_t rows, size_t n, float alpha, float limit,
                  float *z);

#endif
