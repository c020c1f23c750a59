#include "checkpoint/naming.h"

#include <inttypes.h>
#include <stdio.h>

/* Which of the Hugging Face layouts has a role. */
typedef enum hf_variant { IN_BOTH, IN_MXFP4, IN_PLAIN } hf_variant;

/* A dot separates what is quantised in the original names (mlp1_weight.blocks), an underscore what
 * is not (mlp1_bias). Names of one layer lack their beginning, see name_prefix. */
static const struct {
    const char *original;
    const char *hf;
    hf_variant variant;
} names[WEIGHT_ROLE_COUNT] = {
    [WEIGHT_EMBEDDING] = {"embedding.weight", "model.embed_tokens.weight", IN_BOTH},
    [WEIGHT_FINAL_NORM] = {"norm.scale", "model.norm.weight", IN_BOTH},
    [WEIGHT_UNEMBEDDING] = {"unembedding.weight", "lm_head.weight", IN_BOTH},
    [WEIGHT_ATTENTION_NORM] = {"attn.norm.scale", "input_layernorm.weight", IN_BOTH},
    [WEIGHT_QKV] = {"attn.qkv.weight", NULL, IN_BOTH},
    [WEIGHT_QKV_BIAS] = {"attn.qkv.bias", NULL, IN_BOTH},
    [WEIGHT_Q] = {NULL, "self_attn.q_proj.weight", IN_BOTH},
    [WEIGHT_Q_BIAS] = {NULL, "self_attn.q_proj.bias", IN_BOTH},
    [WEIGHT_K] = {NULL, "self_attn.k_proj.weight", IN_BOTH},
    [WEIGHT_K_BIAS] = {NULL, "self_attn.k_proj.bias", IN_BOTH},
    [WEIGHT_V] = {NULL, "self_attn.v_proj.weight", IN_BOTH},
    [WEIGHT_V_BIAS] = {NULL, "self_attn.v_proj.bias", IN_BOTH},
    [WEIGHT_SINKS] = {"attn.sinks", "self_attn.sinks", IN_BOTH},
    [WEIGHT_OUT] = {"attn.out.weight", "self_attn.o_proj.weight", IN_BOTH},
    [WEIGHT_OUT_BIAS] = {"attn.out.bias", "self_attn.o_proj.bias", IN_BOTH},
    [WEIGHT_MLP_NORM] = {"mlp.norm.scale", "post_attention_layernorm.weight", IN_BOTH},
    [WEIGHT_ROUTER] = {"mlp.gate.weight", "mlp.router.weight", IN_BOTH},
    [WEIGHT_ROUTER_BIAS] = {"mlp.gate.bias", "mlp.router.bias", IN_BOTH},
    [WEIGHT_GATE_UP] = {NULL, "mlp.experts.gate_up_proj", IN_PLAIN},
    [WEIGHT_DOWN] = {NULL, "mlp.experts.down_proj", IN_PLAIN},
    [WEIGHT_GATE_UP_BLOCKS] = {"mlp.mlp1_weight.blocks", "mlp.experts.gate_up_proj_blocks",
                               IN_MXFP4},
    [WEIGHT_GATE_UP_SCALES] = {"mlp.mlp1_weight.scales", "mlp.experts.gate_up_proj_scales",
                               IN_MXFP4},
    [WEIGHT_DOWN_BLOCKS] = {"mlp.mlp2_weight.blocks", "mlp.experts.down_proj_blocks", IN_MXFP4},
    [WEIGHT_DOWN_SCALES] = {"mlp.mlp2_weight.scales", "mlp.experts.down_proj_scales", IN_MXFP4},
    [WEIGHT_GATE_UP_BIAS] = {"mlp.mlp1_bias", "mlp.experts.gate_up_proj_bias", IN_BOTH},
    [WEIGHT_DOWN_BIAS] = {"mlp.mlp2_bias", "mlp.experts.down_proj_bias", IN_BOTH},
};

const char *gptoss_layout_name(gptoss_layout layout)
{
    static const char *const layouts[] = {
        [GPTOSS_LAYOUT_ORIGINAL] = "original",
        [GPTOSS_LAYOUT_HF_MXFP4] = "hf-mxfp4",
        [GPTOSS_LAYOUT_HF] = "hf",
    };
    return layouts[layout];
}

bool naming_of(gptoss_layout layout, weight_role role, uint32_t layer,
               char name[SAFETENSORS_MAX_NAME])
{
    bool original = layout == GPTOSS_LAYOUT_ORIGINAL;
    const char *end = original ? names[role].original : names[role].hf;
    hf_variant absent = layout == GPTOSS_LAYOUT_HF ? IN_MXFP4 : IN_PLAIN;
    if (end == NULL || (!original && names[role].variant == absent))
        return false;
    if (role < WEIGHT_ATTENTION_NORM)
        snprintf(name, SAFETENSORS_MAX_NAME, "%s", end);
    else
        snprintf(name, SAFETENSORS_MAX_NAME, "%s.%" PRIu32 ".%s",
                 original ? "block" : "model.layers", layer, end);
    return true;
}

static bool has_role(const checkpoint *files, gptoss_layout layout, weight_role role)
{
    char name[SAFETENSORS_MAX_NAME];
    return naming_of(layout, role, 0, name) && checkpoint_find(files, name) != NULL;
}

/* Names that other programs give to the experts of layer 0, and what to say about them. */
static const struct {
    const char *name;
    const char *sentence;
} foreign[] = {
    {"block.0.mlp.mlp1_weight",
     "its experts are unquantised under OpenAI's names; only MXFP4 blocks and scales are supported "
     "there"},
    {"model.layers.0.mlp.experts.0.gate_proj.weight",
     "its experts are separate tensors (experts.0.gate_proj); only fused gate_up_proj tensors are "
     "supported"},
    {"model.layers.0.mlp.experts.gate_up_projs.0.weight",
     "its experts are separate tensors (gate_up_projs.0); only fused gate_up_proj tensors are "
     "supported"},
    {"model.layers.0.mlp.gate_proj.weight",
     "its layer 0 has no experts (mlp.gate_proj); only mixtures of experts are supported"},
};

static gptoss_status fail_experts(const checkpoint *files, const char *expected,
                                  gptoss_error *error)
{
    const char *directory = checkpoint_directory(files);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (checkpoint_find(files, foreign[i].name) != NULL)
            return fail(error, GPTOSS_UNSUPPORTED, "%s: %s", directory, foreign[i].sentence);
    return fail(error, GPTOSS_FORMAT, "%s has no experts of layer 0: %s is missing", directory,
                expected);
}

gptoss_status naming_detect(const checkpoint *files, gptoss_layout *out, gptoss_error *error)
{
    const char *directory = checkpoint_directory(files);
    bool original = has_role(files, GPTOSS_LAYOUT_ORIGINAL, WEIGHT_EMBEDDING);
    bool hf = has_role(files, GPTOSS_LAYOUT_HF, WEIGHT_EMBEDDING);
    if (original && hf)
        return fail(error, GPTOSS_FORMAT,
                    "%s holds two models: both embedding.weight and model.embed_tokens.weight are "
                    "there; give one file with -m",
                    directory);
    if (!original && !hf)
        return fail(error, GPTOSS_FORMAT,
                    "%s is no gpt-oss checkpoint: neither embedding.weight nor "
                    "model.embed_tokens.weight is among its %zu tensors (the first is \"%.80s\")",
                    directory, checkpoint_tensor_count(files),
                    checkpoint_tensor_count(files) > 0 ? checkpoint_tensor(files, 0)->name : "");
    if (original) {
        *out = GPTOSS_LAYOUT_ORIGINAL;
        return has_role(files, GPTOSS_LAYOUT_ORIGINAL, WEIGHT_GATE_UP_BLOCKS)
                   ? GPTOSS_OK
                   : fail_experts(files, "block.0.mlp.mlp1_weight.blocks", error);
    }
    bool mxfp4 = has_role(files, GPTOSS_LAYOUT_HF_MXFP4, WEIGHT_GATE_UP_BLOCKS);
    bool plain = has_role(files, GPTOSS_LAYOUT_HF, WEIGHT_GATE_UP);
    if (mxfp4 && plain)
        return fail(error, GPTOSS_FORMAT,
                    "%s holds layer 0's experts twice, as mlp.experts.gate_up_proj and as "
                    "mlp.experts.gate_up_proj_blocks",
                    directory);
    *out = mxfp4 ? GPTOSS_LAYOUT_HF_MXFP4 : GPTOSS_LAYOUT_HF;
    if (!mxfp4 && !plain)
        return fail_experts(
            files, "model.layers.0.mlp.experts.gate_up_proj_blocks (or gate_up_proj)", error);
    return GPTOSS_OK;
}
