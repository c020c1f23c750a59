/* Attention over the caches of a batch's rows, as an operation of op/op.h. */
#ifndef OP_ATTENTION_H
#define OP_ATTENTION_H

#include "kernel/attend.h"
#include "op/kv_view.h"
#include "op/parallel.h"

/* The shape that all rows of an attention call share. */
typedef struct attention_shape {
    size_t heads;
    size_t kv_heads;
    size_t head_dim;
    size_t window; /* keys visible to a row, its own included; SIZE_MAX for all */
} attention_shape;

/* Puts the keys and values of every row into its cache, caches[row], at its position.
 * k, v [rows, kv_heads, head_dim] with rows `stride` apart. */
void op_store_kv(const team *self, const attention_shape *shape, const kv_view *caches,
                 const uint32_t *positions, const float *k, const float *v, size_t stride,
                 size_t rows);

/* A softmax over more keys than this, a multiple of KERNEL_ATTEND_KEYS, is merged from parts that
 * begin at multiples of it, in ascending order, by whichever threads they are computed. */
#define OP_ATTENTION_PART 2048

/* Most rows of a tile, which go through the cache together. */
#define OP_ATTENTION_TILE 16

/*
 * What the threads of a team work in: each has op_attention_floats of them, one thread's behind
 * another's, and reads what others have left in theirs.
 */
typedef struct attention_scratch {
    float *own;    /* this thread's */
    size_t stride; /* floats from a thread's to the next one's */
} attention_scratch;

/* Floats of scratch that a thread needs for sequences of at most `context` positions. */
uint64_t op_attention_floats(uint64_t head_dim, uint64_t context);

/*
 * Causal attention with a learned sink: softmax over the visible keys and one more logit, sinks[h],
 * whose value is zero. q [rows, heads, head_dim] with rows q_stride apart, sinks [heads],
 * out [rows, heads, head_dim]; sink_mass [rows, heads], the softmax of the sink, or NULL. Query
 * head h reads key-value head h / (heads / kv_heads). Source: sdpa of gpt_oss/torch/model.py.
 *
 * The work is cut by row, by head, and at multiples of OP_ATTENTION_PART positions. In what tiles
 * rows are taken and by how many threads changes no bit.
 */
void op_attention(const team *self, const attention_shape *shape, const kv_view *caches,
                  const uint32_t *positions, const float *q, size_t q_stride, const float *sinks,
                  size_t rows, float *out, float *sink_mass, attention_scratch scratch);

#endif
