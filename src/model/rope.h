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
 * Computes the table in double precision and rounds it once. The references compute it in float32:
 * seven of the published model's 32 frequencies are a unit or two off there, and others with other
 * vector instructions (torch 2.13), so that no table is bit-equal to all of them; this one lies
 * between. Source: RotaryEmbedding of gpt_oss/torch/model.py; _compute_yarn_parameters of
 * transformers; docs/MODEL.md.
 */
gptoss_status rope_init(rope *out, const gptoss_config *config, gptoss_error *error);

/* Accepts a zeroed object. */
void rope_free(rope *table);

/* cosine, sine [half] of a position: the angle is a float32 product, cosine and sine are computed
 * in double precision and rounded once, then multiplied by the concentration. */
void rope_angles(const rope *table, uint32_t position, float *cosine, float *sine);

#endif
