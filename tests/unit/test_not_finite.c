/* NaN and infinity in weights, in whatever precision and form: the check names the tensor, a pass
 * names the layer and the block behind which they appear. Nothing goes on with them. */
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "check.h"
#include "gptoss.h"
#include "scratch.h"

#define PUBLISHED GPTOSS_SOURCE_DIR "/tests/golden/published/"

/* Where the numbers of a tensor are noticed first. */
typedef struct place {
    const char *tensor; /* the end of its name in layer 1, or the name of one outside the layers */
    const char *sentence;
} place;

static const place places[] = {
    {"model.embed_tokens.weight", "the embedding of a token is not finite"},
    {"input_layernorm.weight", "layer 1: the output of the attention is not finite"},
    {"self_attn.q_proj.weight", "layer 1: the output of the attention is not finite"},
    {"self_attn.k_proj.weight", "layer 1: the output of the attention is not finite"},
    {"self_attn.v_proj.weight", "layer 1: the output of the attention is not finite"},
    {"self_attn.o_proj.weight", "layer 1: the output of the attention is not finite"},
    {"self_attn.q_proj.bias", "layer 1: the output of the attention is not finite"},
    {"self_attn.k_proj.bias", "layer 1: the output of the attention is not finite"},
    {"self_attn.v_proj.bias", "layer 1: the output of the attention is not finite"},
    {"self_attn.o_proj.bias", "layer 1: the output of the attention is not finite"},
    {"self_attn.sinks", "layer 1: the output of the attention is not finite"},
    {"post_attention_layernorm.weight", "layer 1: the output of the experts is not finite"},
    {"mlp.router.weight", "layer 1: the output of the experts is not finite"},
    {"mlp.router.bias", "layer 1: the output of the experts is not finite"},
    {"mlp.experts.gate_up_proj", "layer 1: the output of the experts is not finite"},
    {"mlp.experts.gate_up_proj_scales", "layer 1: the output of the experts is not finite"},
    {"mlp.experts.gate_up_proj_bias", "layer 1: the output of the experts is not finite"},
    {"mlp.experts.down_proj", "layer 1: the output of the experts is not finite"},
    {"mlp.experts.down_proj_scales", "layer 1: the output of the experts is not finite"},
    {"mlp.experts.down_proj_bias", "layer 1: the output of the experts is not finite"},
    {"model.norm.weight", "a logit is not finite"},
    {"lm_head.weight", "a logit is not finite"},
};

static gptoss_model *open_model(const char *directory)
{
    gptoss_model *model = NULL;
    gptoss_error error = {0};
    CHECK(gptoss_model_open(directory, &model, &error) == GPTOSS_OK, "%s", error.message);
    if (model == NULL)
        exit(test_result());
    return model;
}

/* The tensor of a place; false when the layout has none such. */
static bool find_tensor(const gptoss_model *model, const char *tail, gptoss_tensor_info *out)
{
    char name[256];
    bool outside = strncmp(tail, "model.", 6) == 0 || strncmp(tail, "lm_head", 7) == 0;
    snprintf(name, sizeof name, "%s%s", outside ? "" : "model.layers.1.", tail);
    for (size_t i = 0; i < gptoss_model_tensor_count(model); i++) {
        gptoss_model_tensor(model, i, out);
        if (strcmp(out->name, name) == 0)
            return true;
    }
    return false;
}

/* A copy of the model in `bad`, all of one tensor's numbers NaN or, with `infinite`, infinity. */
static void spoil(const char *layout, const gptoss_tensor_info *tensor, bool infinite)
{
    file_map map;
    CHECK(file_map_read(tensor->file, UINT64_MAX, &map, NULL) == GPTOSS_OK, "%s", tensor->file);
    uint8_t *bytes = malloc(map.size);
    memcpy(bytes, map.data, map.size);
    for (uint64_t i = 0; i < tensor->bytes; i++) {
        uint8_t *at = bytes + tensor->offset + i;
        if (strcmp(tensor->dtype, "U8") == 0)
            *at = 255; /* a scale that stands for NaN */
        else if (strcmp(tensor->dtype, "BF16") == 0)
            *at = i % 2 == 1 ? 0x7f : (infinite ? 0x80 : 0xc0);
        else
            *at = i % 4 == 3 ? 0x7f : (i % 4 == 2 ? (infinite ? 0x80 : 0xc0) : 0);
    }
    scratch_write_bytes(scratch_path("bad/model.safetensors"), bytes, map.size);
    free(bytes);
    file_map_close(&map);
    char path[512];
    snprintf(path, sizeof path, PUBLISHED "%s/config.json", layout);
    CHECK(file_map_read(path, UINT64_MAX, &map, NULL) == GPTOSS_OK, "%s", path);
    scratch_write_bytes(scratch_path("bad/config.json"), map.data, map.size);
    file_map_close(&map);
}

static gptoss_status feed(gptoss_model *model, gptoss_precision precision, uint32_t count,
                          bool choose, gptoss_error *error)
{
    static const uint32_t tokens[] = {1, 2, 3, 4, 5, 6, 7};
    const gptoss_executor_options options = {.threads = 2, .precision = precision};
    const gptoss_sampling greedy = {.top_p = 1};
    gptoss_executor *executor = NULL;
    gptoss_sequence *sequence = NULL;
    gptoss_sampler *sampler = NULL;
    gptoss_choice choice;
    const float *logits;
    CHECK(gptoss_executor_open(model, &options, &executor, error) == GPTOSS_OK, "%s",
          error->message);
    CHECK(gptoss_sequence_open(model, NULL, &sequence, error) == GPTOSS_OK, "%s", error->message);
    CHECK(gptoss_sampler_open(gptoss_model_config(model)->vocab, NULL, &greedy, &sampler, error) ==
              GPTOSS_OK,
          "%s", error->message);
    gptoss_status status = choose ? gptoss_executor_feed_choose(executor, sequence, tokens, count,
                                                                sampler, NULL, NULL, &choice, error)
                                  : gptoss_executor_feed(executor, sequence, tokens, count, NULL,
                                                         NULL, &logits, error);
    gptoss_sampler_close(sampler);
    gptoss_sequence_close(sequence);
    gptoss_executor_close(executor);
    return status;
}

/* In every precision, as stored and packed, in 8 bits and with a sketch; one row and several. */
static void check_passes(const char *what, const char *sentence)
{
    for (int form = 0; form < 2; form++) {
        for (int precision = 0; precision <= GPTOSS_PRECISION_Q8; precision++) {
            gptoss_model *model = open_model(scratch_path("bad"));
            const gptoss_prepare_options forms = {.pack = form == 1,
                                                  .sketch = form == 1,
                                                  .requantise = precision == GPTOSS_PRECISION_Q8};
            CHECK(gptoss_model_prepare(model, &forms, NULL, NULL, NULL) == GPTOSS_OK, "forms");
            for (uint32_t count = 1; count <= 7; count += 6) {
                gptoss_error error = {0};
                gptoss_status status =
                    feed(model, (gptoss_precision)precision, count, form == 1, &error);
                CHECK(status == GPTOSS_NUMERIC && strstr(error.message, sentence) == error.message,
                      "%s, precision %d, form %d, %u rows: status %d \"%s\", expected \"%s\"", what,
                      precision, form, count, status, error.message, sentence);
            }
            gptoss_model_close(model);
        }
    }
}

static void check_layout(const char *layout)
{
    char directory[256];
    char name[256];
    size_t found = 0;
    snprintf(directory, sizeof directory, PUBLISHED "%s", layout);
    gptoss_model *model = open_model(directory);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        gptoss_tensor_info tensor;
        if (!find_tensor(model, places[i].tensor, &tensor))
            continue;
        found++;
        snprintf(name, sizeof name, "%s", tensor.name);
        bool scale = strcmp(tensor.dtype, "U8") == 0;
        for (int infinite = 0; infinite < (scale ? 1 : 2); infinite++) {
            gptoss_error error = {0};
            spoil(layout, &tensor, infinite == 1);
            gptoss_model *bad = open_model(scratch_path("bad"));
            CHECK(gptoss_model_check(bad, NULL, NULL, &error) == GPTOSS_NUMERIC &&
                      strstr(error.message, name) != NULL,
                  "%s: %s", name, error.message);
            gptoss_model_close(bad);
            /* The activation clamps what comes from there: infinity is its limit. */
            if (infinite == 1 && strcmp(places[i].tensor, "mlp.experts.gate_up_proj_bias") == 0)
                continue;
            check_passes(name, places[i].sentence);
        }
    }
    CHECK(found >= 18, "%s: only %zu kinds of tensors", layout, found);
    gptoss_model_close(model);
}

int main(void)
{
    scratch_begin();
    check_layout("hf");
    check_layout("hf-mxfp4");
    return test_result();
}
