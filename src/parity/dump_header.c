#include "parity/dump_header.h"

#include <inttypes.h>
#include <stdio.h>

#include "checkpoint/config_writer.h"

/* ---- metadata -------------------------------------------------------------------------------- */

static gptoss_status put_metadata(const dump_layout *layout, const gptoss_executor *executor,
                                  const gptoss_dump_options *options, safetensors_header *out,
                                  gptoss_error *error)
{
    const char *prompt = options == NULL ? NULL : options->prompt;
    char producer[64];
    text_buffer config = {0};
    snprintf(producer, sizeof producer, "gptoss %s", gptoss_version());
    config_write(layout->config, &config);
    safetensors_put_entry(out, "format", "gptoss-dump-1");
    safetensors_put_entry(out, "producer", producer);
    safetensors_put_entry(out, "dtype", layout->bf16 ? "bfloat16" : "float32");
    safetensors_put_entry(out, "numerics",
                          gptoss_numerics_name(gptoss_executor_numerics(executor)));
    safetensors_put_entry(out, "precision",
                          gptoss_precision_name(gptoss_executor_precision(executor)));
    safetensors_put_entry(out, "device", "cpu");
    safetensors_put_entry(out, "prompt", prompt);
    safetensors_put_entry(out, "specials", prompt != NULL && options->specials ? "true" : NULL);
    safetensors_put_entry(out, "config", config.bytes);
    gptoss_status status =
        config.failed ? fail_memory(error, "a configuration", config.room) : GPTOSS_OK;
    text_free(&config);
    return status;
}

/* ---- the directory of tensors ---------------------------------------------------------------- */

/* hidden.N is what enters layer N; the residual behind layer N enters layer N + 1. */
static void name_stage(gptoss_stage stage, uint32_t layer, char *out, size_t room)
{
    if (stage == GPTOSS_STAGE_EMBEDDING || stage == GPTOSS_STAGE_RESIDUAL)
        snprintf(out, room, "hidden.%" PRIu32, stage == GPTOSS_STAGE_EMBEDDING ? 0 : layer + 1);
    else if (gptoss_stage_per_layer(stage))
        snprintf(out, room, "layers.%" PRIu32 ".%s", layer, gptoss_stage_name(stage));
    else
        snprintf(out, room, "%s", gptoss_stage_name(stage));
}

static void put_stage(const dump_layout *layout, gptoss_stage stage, uint32_t layer,
                      safetensors_header *out)
{
    dtype type = stage == GPTOSS_STAGE_EXPERTS ? DTYPE_I32 : layout->bf16 ? DTYPE_BF16 : DTYPE_F32;
    uint64_t shape[3] = {layout->rows};
    uint32_t rank = 1;
    char name[64];
    if (gptoss_stage_per_expert(stage))
        shape[rank++] = gptoss_stage_pieces(stage, layout->config);
    shape[rank++] = gptoss_stage_columns(stage, layout->config);
    name_stage(stage, layer, name, sizeof name);
    safetensors_put_tensor(out, name, type, shape, rank,
                           dump_layout_offset(layout, stage, layer, 0));
}

static void put_tensors(const dump_layout *layout, safetensors_header *out)
{
    safetensors_put_tensor(out, "ids", DTYPE_I32, (const uint64_t[]){layout->tokens}, 1, 0);
    if (layout->positions != NULL)
        safetensors_put_tensor(out, "positions", DTYPE_I32, (const uint64_t[]){layout->rows}, 1,
                               layout->positions_begin);
    for (unsigned stage = 0; stage < GPTOSS_STAGE_COUNT; stage++) {
        uint32_t layers = gptoss_stage_per_layer(stage) ? layout->config->layers : 1;
        for (uint32_t layer = 0; layer < layers; layer++)
            if (dump_layout_holds(layout, stage, layer))
                put_stage(layout, stage, layer, out);
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

gptoss_status dump_header_make(const dump_layout *layout, const gptoss_executor *executor,
                               const gptoss_dump_options *options, safetensors_header *out,
                               gptoss_error *error)
{
    *out = (safetensors_header){.bytes = 0};
    gptoss_status status = put_metadata(layout, executor, options, out, error);
    if (status != GPTOSS_OK)
        return status;
    put_tensors(layout, out);
    return safetensors_end_header(out, "the dump of this prompt", error);
}
