/*
 * A dump in the format of docs/PARITY.md, as the rest of parity reads it. What is open here has
 * been checked: the shapes agree with each other, ids are whole numbers from 0 on, positions
 * ascend.
 */
#ifndef PARITY_REFERENCE_H
#define PARITY_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "parity/float_type.h"

/* Positions of the rows of a stage, ascending. */
typedef struct row_positions {
    const uint32_t *positions;
    size_t count;
} row_positions;

/* No such row; no such column. */
#define REFERENCE_NONE SIZE_MAX

struct gptoss_reference {
    char *path;
    file_map map;
    uint8_t *inflated; /* the file's bytes when it was compressed, else NULL */
    safetensors file;
    uint32_t *ids; /* [tokens] */
    size_t tokens;
    uint32_t *positions; /* [rows] of all stages but the logits */
    size_t rows;
    uint32_t *logit_positions; /* [logit_rows]; NULL: as the others */
    size_t logit_rows;
    uint32_t layers; /* one more than the last layer of which there is a stage */
    /* Pieces and columns of each stage that there is; the same in every layer. */
    size_t pieces[GPTOSS_STAGE_COUNT];
    size_t columns[GPTOSS_STAGE_COUNT];
    const tensor **tensors; /* [GPTOSS_MAX_LAYERS, GPTOSS_STAGE_COUNT]; other stages in layer 0 */
    uint32_t **experts;     /* [layers] each [rows, columns of "experts"], or NULL */
    dtype coarsest;         /* the type with the fewest digits that the numbers have been in */
};

/* Whether the dump has a stage of a layer; `layer` is 0 for stages outside the layers. */
bool reference_has(const gptoss_reference *reference, gptoss_stage stage, uint32_t layer);

/* The type of its numbers; not for GPTOSS_STAGE_EXPERTS. */
dtype reference_type(const gptoss_reference *reference, gptoss_stage stage, uint32_t layer);

/* The positions that a stage has rows of, and which row a position has; REFERENCE_NONE: none. */
row_positions reference_rows(const gptoss_reference *reference, gptoss_stage stage);
size_t reference_row(const gptoss_reference *reference, gptoss_stage stage, uint32_t position);

/* The numbers of a piece of a row, as many as the stage has columns. */
numbers reference_piece(const gptoss_reference *reference, gptoss_stage stage, uint32_t layer,
                        size_t row, size_t piece);

/* The experts of a row, descending router logit; NULL when the dump does not tell. */
const uint32_t *reference_experts(const gptoss_reference *reference, uint32_t layer, size_t row);

/* Whether the rows of all positions from `first` to that of `row` are in the dump. */
bool reference_has_run(const gptoss_reference *reference, uint32_t first, size_t row);

#endif
