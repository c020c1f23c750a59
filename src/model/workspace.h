/* The work space of a forward pass: planned once for the largest batch, then only carved. */
#ifndef MODEL_WORKSPACE_H
#define MODEL_WORKSPACE_H

#include "base/status.h"
#include "op/attention.h"
#include "op/op.h"

/*
 *     shared by the team                                      one part per thread
 *     | hidden | normed | qkv | ... | grouped_down | logits | scratch 0 | scratch 1 | ...
 *
 * Address space is reserved for the whole; pages are taken when a batch first uses them, so that a
 * batch of one row costs little and logits cost only the rows that want them.
 */
typedef struct workspace {
    float *hidden;        /* [rows, hidden] the residual stream */
    float *normed;        /* [rows, hidden]; in the end of the rows that want logits */
    float *qkv;           /* [rows, (heads + 2 * kv_heads) * head_dim] */
    float *attended;      /* [rows, heads * head_dim] */
    float *sink_mass;     /* [rows, heads] */
    float *block_out;     /* [rows, hidden] what a block adds to the residual */
    float *router_logits; /* [rows, experts] */
    uint8_t *prepared;    /* the inputs of a matrix product as its kernels read them */
    float *expert_h;      /* [rows * top, 2 * inter] */
    float *expert_z;      /* [rows * top, inter], or prepared for the next product */
    float *expert_out;    /* [rows * top, hidden] */
    float *cosine;        /* [rows, head_dim / 2] */
    float *sine;          /* [rows, head_dim / 2] */
    float *logits;        /* [rows, vocab] */
    float *scratch;       /* [threads][scratch_floats] */
    size_t scratch_floats;
    uint32_t *tokens;    /* [rows] */
    uint32_t *positions; /* [rows] */
    kv_view *views;      /* [rows] the cache of each row at the present layer */
    routing route;
    op_alarm *alarms;             /* [2 * layers + 2] one per place where numbers are checked */
    gptoss_statistics statistics; /* of all passes so far */
    uint64_t lap;                 /* when the present pass's last operation ended; thread 0's */
    void *memory;
    size_t bytes; /* reserved */
} workspace;

/* Bytes that passes of at most `rows` rows on `threads` threads touch when `logit_rows` of them
 * want logits. */
uint64_t workspace_bytes(const gptoss_config *config, uint32_t rows, uint32_t threads,
                         uint32_t logit_rows);

gptoss_status workspace_init(workspace *out, const gptoss_config *config, uint32_t rows,
                             uint32_t threads, gptoss_error *error);

/* Accepts a zeroed object. */
void workspace_free(workspace *space);

#endif
