/* The operations of a pass, by name. */
#include "gptoss.h"

typedef struct operation_row {
    const char *name;
    bool multiplies;
} operation_row;

static const operation_row operations[GPTOSS_OPERATION_COUNT] = {
    [GPTOSS_OPERATION_EMBEDDING] = {"embedding", false},
    [GPTOSS_OPERATION_NORM] = {"norm", false},
    [GPTOSS_OPERATION_QUANTISE] = {"quantise", false},
    [GPTOSS_OPERATION_QKV] = {"qkv", true},
    [GPTOSS_OPERATION_ROTARY] = {"rotary", false},
    [GPTOSS_OPERATION_ATTENTION] = {"attention", true},
    [GPTOSS_OPERATION_ATTENTION_OUT] = {"attention_out", true},
    [GPTOSS_OPERATION_RESIDUAL] = {"residual", false},
    [GPTOSS_OPERATION_ROUTER] = {"router", true},
    [GPTOSS_OPERATION_ROUTING] = {"routing", false},
    [GPTOSS_OPERATION_GATE_UP] = {"gate_up", true},
    [GPTOSS_OPERATION_ACTIVATION] = {"activation", false},
    [GPTOSS_OPERATION_DOWN] = {"down", true},
    [GPTOSS_OPERATION_COMBINE] = {"combine", false},
    [GPTOSS_OPERATION_UNEMBEDDING] = {"unembedding", true},
};

const char *gptoss_operation_name(gptoss_operation operation)
{
    return operations[operation].name;
}

bool gptoss_operation_multiplies(gptoss_operation operation)
{
    return operations[operation].multiplies;
}
