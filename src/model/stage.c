/* The stages of a pass: names and shapes. */
#include <string.h>

#include "gptoss.h"

/* What the numbers of a piece are. */
typedef enum width {
    WIDTH_HIDDEN,
    WIDTH_QUERIES,
    WIDTH_KEYS,
    WIDTH_HEADS,
    WIDTH_EXPERTS,
    WIDTH_CHOSEN,
    WIDTH_GATE_UP,
    WIDTH_INTERMEDIATE,
    WIDTH_VOCAB,
} width;

typedef struct stage_row {
    const char *name;
    width columns;
    bool per_expert; /* a piece for each chosen expert */
} stage_row;

static const stage_row stages[GPTOSS_STAGE_COUNT] = {
    [GPTOSS_STAGE_EMBEDDING] = {"embedding", WIDTH_HIDDEN, false},
    [GPTOSS_STAGE_ATTENTION_NORM] = {"attention_norm", WIDTH_HIDDEN, false},
    [GPTOSS_STAGE_Q] = {"q", WIDTH_QUERIES, false},
    [GPTOSS_STAGE_K] = {"k", WIDTH_KEYS, false},
    [GPTOSS_STAGE_V] = {"v", WIDTH_KEYS, false},
    [GPTOSS_STAGE_Q_ROTARY] = {"q_rotary", WIDTH_QUERIES, false},
    [GPTOSS_STAGE_K_ROTARY] = {"k_rotary", WIDTH_KEYS, false},
    [GPTOSS_STAGE_SINK_MASS] = {"sink_mass", WIDTH_HEADS, false},
    [GPTOSS_STAGE_ATTENTION] = {"attention", WIDTH_QUERIES, false},
    [GPTOSS_STAGE_ATTENTION_OUT] = {"attention_out", WIDTH_HIDDEN, false},
    [GPTOSS_STAGE_ATTENTION_RESIDUAL] = {"attention_residual", WIDTH_HIDDEN, false},
    [GPTOSS_STAGE_MLP_NORM] = {"mlp_norm", WIDTH_HIDDEN, false},
    [GPTOSS_STAGE_ROUTER] = {"router", WIDTH_EXPERTS, false},
    [GPTOSS_STAGE_EXPERTS] = {"experts", WIDTH_CHOSEN, false},
    [GPTOSS_STAGE_ROUTING_WEIGHTS] = {"routing_weights", WIDTH_CHOSEN, false},
    [GPTOSS_STAGE_GATE_UP] = {"gate_up", WIDTH_GATE_UP, true},
    [GPTOSS_STAGE_ACTIVATED] = {"activated", WIDTH_INTERMEDIATE, true},
    [GPTOSS_STAGE_EXPERT_OUT] = {"expert_out", WIDTH_HIDDEN, true},
    [GPTOSS_STAGE_COMBINED] = {"combined", WIDTH_HIDDEN, false},
    [GPTOSS_STAGE_RESIDUAL] = {"residual", WIDTH_HIDDEN, false},
    [GPTOSS_STAGE_FINAL_NORM] = {"final_norm", WIDTH_HIDDEN, false},
    [GPTOSS_STAGE_LOGITS] = {"logits", WIDTH_VOCAB, false},
};

const char *gptoss_stage_name(gptoss_stage stage)
{
    return stages[stage].name;
}

gptoss_stage gptoss_stage_named(const char *name)
{
    unsigned stage = 0;
    while (stage < GPTOSS_STAGE_COUNT && strcmp(stages[stage].name, name) != 0)
        stage++;
    return (gptoss_stage)stage;
}

bool gptoss_stage_per_layer(gptoss_stage stage)
{
    return stage > GPTOSS_STAGE_EMBEDDING && stage < GPTOSS_STAGE_FINAL_NORM;
}

bool gptoss_stage_per_expert(gptoss_stage stage)
{
    return stages[stage].per_expert;
}

size_t gptoss_stage_pieces(gptoss_stage stage, const gptoss_config *config)
{
    return stages[stage].per_expert ? config->experts_per_token : 1;
}

size_t gptoss_stage_columns(gptoss_stage stage, const gptoss_config *config)
{
    switch (stages[stage].columns) {
    case WIDTH_HIDDEN:
        return config->hidden;
    case WIDTH_QUERIES:
        return (size_t)config->heads * config->head_dim;
    case WIDTH_KEYS:
        return (size_t)config->kv_heads * config->head_dim;
    case WIDTH_HEADS:
        return config->heads;
    case WIDTH_EXPERTS:
        return config->experts;
    case WIDTH_CHOSEN:
        return config->experts_per_token;
    case WIDTH_GATE_UP:
        return 2 * (size_t)config->intermediate;
    case WIDTH_INTERMEDIATE:
        return config->intermediate;
    case WIDTH_VOCAB:
        break;
    }
    return config->vocab;
}
