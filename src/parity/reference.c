#include "parity/reference.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/gzip.h"
#include "base/memory.h"
#include "parity/reference_tensors.h"

static const char format[] = "gptoss-dump-1";

/* ---- the file -------------------------------------------------------------------------------- */

/* Maps the file, or inflates it and lets the map go. */
static gptoss_status load(gptoss_reference *r, const uint8_t **data, size_t *size,
                          gptoss_error *error)
{
    gptoss_status status = file_map_open(r->path, &r->map, error);
    *data = r->map.data;
    *size = r->map.size;
    if (status != GPTOSS_OK || !gzip_begins(*data, *size))
        return status;
    uint64_t limit = memory_available();
    status = gzip_inflate(*data, *size, r->path, limit > 0 ? limit : UINT64_MAX, &r->inflated, size,
                          error);
    *data = r->inflated;
    file_map_close(&r->map);
    return status;
}

static gptoss_status check_format(const gptoss_reference *r, gptoss_error *error)
{
    const char *found = gptoss_reference_metadata(r, "format");
    if (found == NULL)
        return fail(error, GPTOSS_FORMAT,
                    "%s is no dump: its metadata have no entry \"format\", expected \"%s\"",
                    r->path, format);
    if (strcmp(found, format) != 0)
        return fail(error, GPTOSS_FORMAT,
                    "%s has the format \"%.64s\": expected \"%s\", which this program reads",
                    r->path, found, format);
    return GPTOSS_OK;
}

/* What the metadata say of numbers that are stored in a finer type than they were computed in. */
static void note_dtype(gptoss_reference *r)
{
    const char *computed = gptoss_reference_metadata(r, "dtype");
    if (computed != NULL && strcmp(computed, "bfloat16") == 0)
        r->coarsest = DTYPE_BF16;
}

static gptoss_status read_all(gptoss_reference *r, gptoss_error *error)
{
    const uint8_t *data;
    size_t size;
    gptoss_status status = load(r, &data, &size, error);
    if (status == GPTOSS_OK)
        status = safetensors_parse(data, size, r->path, &r->file, error);
    if (status == GPTOSS_OK)
        status = check_format(r, error);
    if (status == GPTOSS_OK)
        status = reference_read_rows(r, error);
    if (status == GPTOSS_OK)
        status = reference_bind(r, error);
    if (status == GPTOSS_OK)
        note_dtype(r);
    return status;
}

gptoss_status gptoss_reference_open(const char *path, gptoss_reference **out, gptoss_error *error)
{
    *out = NULL;
    gptoss_reference *r = calloc(1, sizeof *r);
    if (r == NULL)
        return fail_memory(error, "a dump", sizeof *r);
    r->path = strdup(path);
    gptoss_status status =
        r->path == NULL ? fail_memory(error, "a path", strlen(path)) : read_all(r, error);
    if (status != GPTOSS_OK) {
        gptoss_reference_close(r);
        return status;
    }
    *out = r;
    return GPTOSS_OK;
}

void gptoss_reference_close(gptoss_reference *reference)
{
    if (reference == NULL)
        return;
    for (uint32_t layer = 0; reference->experts != NULL && layer < reference->layers; layer++)
        free(reference->experts[layer]);
    free(reference->experts);
    free(reference->tensors);
    free(reference->logit_positions);
    free(reference->positions);
    free(reference->ids);
    safetensors_free(&reference->file);
    free(reference->inflated);
    file_map_close(&reference->map);
    free(reference->path);
    free(reference);
}

const uint32_t *gptoss_reference_ids(const gptoss_reference *reference, size_t *count)
{
    *count = reference->tokens;
    return reference->ids;
}

const char *gptoss_reference_metadata(const gptoss_reference *reference, const char *key)
{
    const json_value *entry = json_member(reference->file.metadata, key);
    return entry == NULL ? NULL : json_string(entry);
}

bool gptoss_reference_is_bf16(const gptoss_reference *reference)
{
    return reference->coarsest == DTYPE_BF16;
}

/* ---- what is in it --------------------------------------------------------------------------- */

bool reference_has(const gptoss_reference *reference, gptoss_stage stage, uint32_t layer)
{
    return layer < GPTOSS_MAX_LAYERS &&
           reference->tensors[(size_t)layer * GPTOSS_STAGE_COUNT + stage] != NULL;
}

dtype reference_type(const gptoss_reference *reference, gptoss_stage stage, uint32_t layer)
{
    return reference->tensors[(size_t)layer * GPTOSS_STAGE_COUNT + stage]->type;
}

row_positions reference_rows(const gptoss_reference *reference, gptoss_stage stage)
{
    if (stage == GPTOSS_STAGE_LOGITS && reference->logit_positions != NULL)
        return (row_positions){reference->logit_positions, reference->logit_rows};
    return (row_positions){reference->positions, reference->rows};
}

size_t reference_row(const gptoss_reference *reference, gptoss_stage stage, uint32_t position)
{
    row_positions rows = reference_rows(reference, stage);
    size_t begin = 0;
    size_t end = rows.count;
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (rows.positions[middle] < position)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin < rows.count && rows.positions[begin] == position ? begin : REFERENCE_NONE;
}

numbers reference_piece(const gptoss_reference *reference, gptoss_stage stage, uint32_t layer,
                        size_t row, size_t piece)
{
    const tensor *from = reference->tensors[(size_t)layer * GPTOSS_STAGE_COUNT + stage];
    size_t index = (row * reference->pieces[stage] + piece) * reference->columns[stage];
    return (numbers){from->data + index * dtype_bytes(from->type), from->type};
}

const uint32_t *reference_experts(const gptoss_reference *reference, uint32_t layer, size_t row)
{
    if (layer >= reference->layers || reference->experts[layer] == NULL)
        return NULL;
    return reference->experts[layer] + row * reference->columns[GPTOSS_STAGE_EXPERTS];
}

bool reference_has_run(const gptoss_reference *reference, uint32_t first, size_t row)
{
    size_t begin = reference_row(reference, GPTOSS_STAGE_ATTENTION, first);
    return begin != REFERENCE_NONE && reference->positions[row] - first == row - begin;
}
