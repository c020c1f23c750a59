#include "parity/dump_header.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/config_writer.h"
#include "checkpoint/safetensors.h"

/* ---- metadata -------------------------------------------------------------------------------- */

/* An entry, all of which are strings; without a value, nothing. */
static void put_entry(text_buffer *out, const char *key, const char *value)
{
    if (value == NULL || out->failed)
        return;
    bool first = out->bytes[out->length - 1] == '{';
    text_append(out, "%s\"%s\":", first ? "" : ",", key);
    text_append_json(out, value, strlen(value));
}

static void put_metadata(const dump_layout *layout, const gptoss_executor *executor,
                         const gptoss_dump_options *options, text_buffer *out)
{
    const char *prompt = options == NULL ? NULL : options->prompt;
    char producer[64];
    text_buffer config = {0};
    snprintf(producer, sizeof producer, "gptoss %s", gptoss_version());
    config_write(layout->config, &config);
    text_append(out, "\"__metadata__\":{");
    put_entry(out, "format", "gptoss-dump-1");
    put_entry(out, "producer", producer);
    put_entry(out, "dtype", layout->bf16 ? "bfloat16" : "float32");
    put_entry(out, "numerics", gptoss_numerics_name(gptoss_executor_numerics(executor)));
    put_entry(out, "precision", gptoss_precision_name(gptoss_executor_precision(executor)));
    put_entry(out, "device", "cpu");
    put_entry(out, "prompt", prompt);
    put_entry(out, "specials", prompt != NULL && options->specials ? "true" : NULL);
    put_entry(out, "config", config.bytes);
    text_append(out, "}");
    out->failed = out->failed || config.failed;
    text_free(&config);
}

/* ---- the directory of tensors ---------------------------------------------------------------- */

static void put_place(text_buffer *out, uint64_t begin, uint64_t bytes)
{
    text_append(out, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin, begin + bytes);
}

static void put_numbers(text_buffer *out, const char *name, size_t count, uint64_t begin)
{
    text_append(out, ",\"%s\":{\"dtype\":\"I32\",\"shape\":[%zu", name, count);
    put_place(out, begin, count * sizeof(int32_t));
}

/* hidden.N is what enters layer N; the residual behind layer N enters layer N + 1. */
static void put_name(text_buffer *out, gptoss_stage stage, uint32_t layer)
{
    if (stage == GPTOSS_STAGE_EMBEDDING || stage == GPTOSS_STAGE_RESIDUAL)
        text_append(out, ",\"hidden.%" PRIu32 "\"",
                    stage == GPTOSS_STAGE_EMBEDDING ? 0 : layer + 1);
    else if (gptoss_stage_per_layer(stage))
        text_append(out, ",\"layers.%" PRIu32 ".%s\"", layer, gptoss_stage_name(stage));
    else
        text_append(out, ",\"%s\"", gptoss_stage_name(stage));
}

static void put_stage(const dump_layout *layout, gptoss_stage stage, uint32_t layer,
                      text_buffer *out)
{
    dtype type = stage == GPTOSS_STAGE_EXPERTS ? DTYPE_I32 : layout->bf16 ? DTYPE_BF16 : DTYPE_F32;
    put_name(out, stage, layer);
    text_append(out, ":{\"dtype\":\"%s\",\"shape\":[%zu", dtype_name(type), layout->rows);
    if (gptoss_stage_per_expert(stage))
        text_append(out, ",%zu", gptoss_stage_pieces(stage, layout->config));
    text_append(out, ",%zu", gptoss_stage_columns(stage, layout->config));
    put_place(out, dump_layout_offset(layout, stage, layer, 0),
              layout->rows * layout->row_bytes[stage]);
}

static void put_tensors(const dump_layout *layout, text_buffer *out)
{
    put_numbers(out, "ids", layout->tokens, 0);
    if (layout->positions != NULL)
        put_numbers(out, "positions", layout->rows, layout->positions_begin);
    for (unsigned stage = 0; stage < GPTOSS_STAGE_COUNT; stage++) {
        uint32_t layers = gptoss_stage_per_layer(stage) ? layout->config->layers : 1;
        for (uint32_t layer = 0; layer < layers; layer++)
            if (dump_layout_holds(layout, stage, layer))
                put_stage(layout, stage, layer, out);
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

gptoss_status dump_header_make(const dump_layout *layout, const gptoss_executor *executor,
                               const gptoss_dump_options *options, text_buffer *out,
                               gptoss_error *error)
{
    *out = (text_buffer){0};
    text_append(out, "%8s{", ""); /* the length comes last */
    put_metadata(layout, executor, options, out);
    put_tensors(layout, out);
    text_append(out, "}");
    while (out->length % 8 != 0 && !out->failed)
        text_append(out, " ");
    if (out->failed)
        return fail_memory(error, "the dump's header", out->room);
    uint64_t length = out->length - 8;
    if (length > SAFETENSORS_MAX_HEADER)
        return fail(error, GPTOSS_LIMIT,
                    "the dump's header would have %" PRIu64 " bytes: expected at most %u; the "
                    "prompt is too long",
                    length, SAFETENSORS_MAX_HEADER);
    for (int i = 0; i < 8; i++)
        out->bytes[i] = (char)(length >> (8 * i));
    return GPTOSS_OK;
}
