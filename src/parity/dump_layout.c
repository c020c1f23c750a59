#include "parity/dump_layout.h"

#include <inttypes.h>

#include "base/memory.h"

#define BIT(stage) (UINT32_C(1) << (stage))

/* ---- the selection --------------------------------------------------------------------------- */

static gptoss_status select_layers(dump_layout *l, const gptoss_dump_options *options,
                                   gptoss_error *error)
{
    uint32_t layers = l->config->layers;
    l->layer_begin = options->layer_begin;
    l->layer_end = options->layer_end == 0 ? layers : options->layer_end;
    if (l->layer_end > layers)
        return fail(error, GPTOSS_USAGE,
                    "a dump of the layers below %" PRIu32 ": the model has %" PRIu32, l->layer_end,
                    layers);
    if (l->layer_begin >= l->layer_end)
        return fail(error, GPTOSS_USAGE,
                    "a dump of the layers from %" PRIu32 " to below %" PRIu32
                    ": expected at least one",
                    l->layer_begin, l->layer_end);
    return GPTOSS_OK;
}

static gptoss_status select_positions(dump_layout *l, const gptoss_dump_options *options,
                                      gptoss_error *error)
{
    const uint32_t *positions = options->positions;
    l->positions = positions;
    l->rows = positions == NULL ? l->tokens : options->position_count;
    if (l->rows == 0)
        return fail(error, GPTOSS_USAGE, "a dump of no position: expected at least one");
    for (size_t i = 0; positions != NULL && i < l->rows; i++) {
        if (positions[i] >= l->tokens)
            return fail(error, GPTOSS_USAGE,
                        "a dump of position %" PRIu32 ": expected one below the %zu tokens",
                        positions[i], l->tokens);
        if (i > 0 && positions[i] <= positions[i - 1])
            return fail(error, GPTOSS_USAGE,
                        "a dump of position %" PRIu32 " after %" PRIu32
                        ": expected ascending positions",
                        positions[i], positions[i - 1]);
    }
    return GPTOSS_OK;
}

static gptoss_status select_stages(dump_layout *l, const gptoss_dump_options *options,
                                   gptoss_error *error)
{
    l->stages = options->stages != 0 ? options->stages
                                     : BIT(GPTOSS_STAGE_EMBEDDING) | BIT(GPTOSS_STAGE_RESIDUAL) |
                                           BIT(GPTOSS_STAGE_LOGITS);
    if (l->stages >= BIT(GPTOSS_STAGE_COUNT))
        return fail(error, GPTOSS_USAGE,
                    "a dump of stages %#" PRIx32 ": expected bits of the %d stages", l->stages,
                    GPTOSS_STAGE_COUNT);
    return GPTOSS_OK;
}

/* ---- the places ------------------------------------------------------------------------------ */

/* Appends `count` times `bytes`; false when no file can be so large. */
static bool take(dump_layout *l, uint64_t count, uint64_t bytes)
{
    uint64_t product;
    return u64_multiply(count, bytes, &product) && u64_add(l->bytes, product, &l->bytes) &&
           l->bytes <= INT64_MAX;
}

/* Appends one tensor of a stage, or nothing when it is not selected. */
static bool take_stage(dump_layout *l, gptoss_stage stage)
{
    uint64_t element = l->bf16 && stage != GPTOSS_STAGE_EXPERTS ? 2 : 4;
    if ((l->stages & BIT(stage)) == 0)
        return true;
    l->begin[stage] = l->bytes;
    l->row_bytes[stage] =
        element * gptoss_stage_pieces(stage, l->config) * gptoss_stage_columns(stage, l->config);
    return take(l, l->rows, l->row_bytes[stage]);
}

/* Appends the stages from `first` to `last`, once for each layer. */
static bool take_layers(dump_layout *l, gptoss_stage first, gptoss_stage last)
{
    uint64_t start = l->bytes;
    for (unsigned stage = first; stage <= last; stage++)
        if ((stage != GPTOSS_STAGE_EXPERTS || first == last) && !take_stage(l, stage))
            return false;
    uint64_t distance = l->bytes - start;
    for (unsigned stage = first; stage <= last; stage++)
        if (stage != GPTOSS_STAGE_EXPERTS || first == last)
            l->layer_distance[stage] = distance;
    return take(l, l->layer_end - l->layer_begin - 1, distance);
}

static bool place(dump_layout *l)
{
    if (!take(l, l->tokens, sizeof(int32_t)))
        return false;
    l->positions_begin = l->bytes;
    return take(l, l->positions == NULL ? 0 : l->rows, sizeof(int32_t)) &&
           take_layers(l, GPTOSS_STAGE_EXPERTS, GPTOSS_STAGE_EXPERTS) &&
           take_stage(l, GPTOSS_STAGE_EMBEDDING) &&
           take_layers(l, GPTOSS_STAGE_ATTENTION_NORM, GPTOSS_STAGE_RESIDUAL) &&
           take_stage(l, GPTOSS_STAGE_FINAL_NORM) && take_stage(l, GPTOSS_STAGE_LOGITS);
}

gptoss_status dump_layout_init(dump_layout *out, const gptoss_config *config, size_t tokens,
                               const gptoss_dump_options *options, bool bf16, gptoss_error *error)
{
    static const gptoss_dump_options all = {0};
    if (options == NULL)
        options = &all;
    *out = (dump_layout){.config = config, .tokens = tokens, .bf16 = bf16};
    if (tokens == 0)
        return fail(error, GPTOSS_USAGE, "nothing to dump: expected at least one token");
    if (tokens > config->context)
        return fail(error, GPTOSS_LIMIT, "%zu tokens: the model is made for at most %" PRIu32,
                    tokens, config->context);
    gptoss_status status = select_stages(out, options, error);
    if (status == GPTOSS_OK)
        status = select_layers(out, options, error);
    if (status == GPTOSS_OK)
        status = select_positions(out, options, error);
    if (status == GPTOSS_OK && !place(out))
        status = fail(error, GPTOSS_LIMIT,
                      "a dump of %zu positions in %" PRIu32 " layers: no file can be so large",
                      out->rows, out->layer_end - out->layer_begin);
    return status;
}

/* ---- looking up ------------------------------------------------------------------------------ */

bool dump_layout_row(const dump_layout *layout, uint32_t position, size_t *row)
{
    size_t low = 0;
    size_t high = layout->rows;
    if (layout->positions == NULL) {
        *row = position;
        return position < layout->rows;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (layout->positions[middle] < position)
            low = middle + 1;
        else
            high = middle;
    }
    *row = low;
    return low < layout->rows && layout->positions[low] == position;
}

uint64_t dump_layout_offset(const dump_layout *layout, gptoss_stage stage, uint32_t layer,
                            size_t row)
{
    uint64_t distance = gptoss_stage_per_layer(stage)
                            ? (layer - layout->layer_begin) * layout->layer_distance[stage]
                            : 0;
    return layout->begin[stage] + distance + row * layout->row_bytes[stage];
}

size_t dump_layout_needed(const dump_layout *layout)
{
    return layout->positions == NULL ? layout->tokens : layout->positions[layout->rows - 1] + 1ULL;
}
