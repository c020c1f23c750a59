/* Which tensors a dump holds and where each number lies in its file. */
#ifndef PARITY_DUMP_LAYOUT_H
#define PARITY_DUMP_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/*
 * Offsets count from the end of the header. Whole numbers come first, so that every tensor is
 * aligned to its elements, be they of 4 bytes or of 2:
 *
 *     | ids | positions | experts of each layer | embedding | layer | layer | ... | final | logits
 * | |       | | attention_norm | q | k | ... | residual |
 */
typedef struct dump_layout {
    const gptoss_config *config;
    uint32_t stages; /* bit 1 << stage of those it holds */
    uint32_t layer_begin;
    uint32_t layer_end;
    const uint32_t *positions; /* [rows] ascending; NULL: every token */
    size_t tokens;
    size_t rows;
    bool bf16;                                   /* the numbers are bfloat16, else float32 */
    uint64_t positions_begin;                    /* of tensor "positions"; "ids" begins at 0 */
    uint64_t row_bytes[GPTOSS_STAGE_COUNT];      /* of a row of the stage */
    uint64_t begin[GPTOSS_STAGE_COUNT];          /* of the stage, in the first of the layers */
    uint64_t layer_distance[GPTOSS_STAGE_COUNT]; /* from there to the same stage a layer on */
    uint64_t bytes;                              /* of all tensors */
} dump_layout;

/* Checks the selection (`options` may be NULL) and places the tensors. The layout keeps pointing at
 * `config` and at the positions of `options`. */
gptoss_status dump_layout_init(dump_layout *out, const gptoss_config *config, size_t tokens,
                               const gptoss_dump_options *options, bool bf16, gptoss_error *error);

static inline bool dump_layout_holds(const dump_layout *layout, gptoss_stage stage, uint32_t layer)
{
    return (layout->stages >> stage & 1U) != 0 &&
           (!gptoss_stage_per_layer(stage) ||
            (layer >= layout->layer_begin && layer < layout->layer_end));
}

/* Whether the dump holds this position, and as which row. */
bool dump_layout_row(const dump_layout *layout, uint32_t position, size_t *row);

/* Where a row of a stage that it holds lies. */
uint64_t dump_layout_offset(const dump_layout *layout, gptoss_stage stage, uint32_t layer,
                            size_t row);

/* The tokens on which anything in the dump depends: those up to the last selected position. */
size_t dump_layout_needed(const dump_layout *layout);

#endif
