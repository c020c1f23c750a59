/* YaRN rotary embedding: inverse frequencies and the angles of a position. */
#ifndef MODEL_ROPE_H
#define MODEL_ROPE_H

#include <stddef.h>
#include <stdint.h>

#include "gptoss.h"

typedef struct rope {
    size_t half;              /* head_dim / 2 pairs */
    float *inverse_frequency; /* [half] */
    float concentration;      /* multiplies cosine and sine */
} rope;

/*
 * Computes the table in float32 in the order of operations of the references, so that its values
 * are theirs. Powers are rounded correctly. For the published table so are those of torch 2.13's
 * scalar code; its vectorised code is an ulp off at pairs 6 and 10, which shows in bfloat16 after
 * some hundred positions. Source: RotaryEmbedding of gpt_oss/torch/model.py;
 * _compute_yarn_parameters of transformers; docs/MODEL.md.
 */
gptoss_status rope_init(rope *out, const gptoss_config *config, gptoss_error *error);

/* Accepts a zeroed object. */
void rope_free(rope *table);

/* cosine, sine [half] of a position: the angle is a float32 product, cosine and sine are computed
 * in double precision and rounded once, then multiplied by the concentration. */
void rope_angles(const rope *table, uint32_t position, float *cosine, float *sine);

#endif
