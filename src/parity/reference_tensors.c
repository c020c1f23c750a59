#include "parity/reference_tensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Ids and positions fit an int32, in which dumps store them. */
#define LARGEST INT32_MAX

/* ---- whole numbers --------------------------------------------------------------------------- */

static int64_t whole_number(const tensor *from, size_t index)
{
    int32_t narrow;
    int64_t wide;
    if (from->type == DTYPE_I64) {
        memcpy(&wide, from->data + index * sizeof wide, sizeof wide);
        return wide;
    }
    memcpy(&narrow, from->data + index * sizeof narrow, sizeof narrow);
    return narrow;
}

/* All numbers of a tensor, which must be I32 or I64 and from 0 on; *out is for free(). */
static gptoss_status read_whole(const gptoss_reference *r, const tensor *from, size_t count,
                                uint32_t **out, gptoss_error *error)
{
    if (from->type != DTYPE_I32 && from->type != DTYPE_I64)
        return fail(error, GPTOSS_FORMAT, "%s: tensor \"%s\" has dtype %s: expected I32 or I64",
                    r->path, from->name, dtype_name(from->type));
    uint32_t *values = calloc(count, sizeof *values);
    if (values == NULL)
        return fail_memory(error, from->name, count * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        int64_t value = whole_number(from, i);
        if (value < 0 || value > LARGEST) {
            free(values);
            return fail(error, GPTOSS_FORMAT,
                        "%s: tensor \"%s\" holds %" PRId64
                        " at place %zu: expected a number from 0 to %d",
                        r->path, from->name, value, i, LARGEST);
        }
        values[i] = (uint32_t)value;
    }
    *out = values;
    return GPTOSS_OK;
}

/* A list of at least one number. */
static gptoss_status read_list(const gptoss_reference *r, const tensor *from, uint32_t **out,
                               size_t *count, gptoss_error *error)
{
    if (from->rank != 1)
        return fail(error, GPTOSS_FORMAT,
                    "%s: tensor \"%s\" has %" PRIu32 " dimensions: expected one", r->path,
                    from->name, from->rank);
    if (from->shape[0] == 0)
        return fail(error, GPTOSS_FORMAT, "%s: tensor \"%s\" is empty", r->path, from->name);
    if (from->shape[0] > LARGEST)
        return fail(error, GPTOSS_LIMIT,
                    "%s: tensor \"%s\" holds %" PRIu64 " numbers: expected at most %d", r->path,
                    from->name, from->shape[0], LARGEST);
    *count = (size_t)from->shape[0];
    return read_whole(r, from, *count, out, error);
}

/* ---- ids and positions ----------------------------------------------------------------------- */

static gptoss_status check_positions(const gptoss_reference *r, const char *name,
                                     const uint32_t *positions, size_t count, gptoss_error *error)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && positions[i] <= positions[i - 1])
            return fail(error, GPTOSS_FORMAT,
                        "%s: tensor \"%s\" holds %" PRIu32 " at place %zu: expected more than the "
                        "%" PRIu32 " before it",
                        r->path, name, positions[i], i, positions[i - 1]);
        if (positions[i] >= r->tokens)
            return fail(error, GPTOSS_FORMAT,
                        "%s: tensor \"%s\" holds %" PRIu32
                        " at place %zu: expected less than the number of ids, %zu",
                        r->path, name, positions[i], i, r->tokens);
    }
    return GPTOSS_OK;
}

/* Leaves *out NULL when there is no such tensor. */
static gptoss_status read_positions(const gptoss_reference *r, const char *name, uint32_t **out,
                                    size_t *count, gptoss_error *error)
{
    const tensor *found = safetensors_find(&r->file, name);
    if (found == NULL)
        return GPTOSS_OK;
    gptoss_status status = read_list(r, found, out, count, error);
    return status == GPTOSS_OK ? check_positions(r, name, *out, *count, error) : status;
}

gptoss_status reference_read_rows(gptoss_reference *r, gptoss_error *error)
{
    const tensor *ids = safetensors_find(&r->file, "ids");
    if (ids == NULL)
        return fail(error, GPTOSS_FORMAT,
                    "%s: tensor \"ids\" is missing: expected the tokens that the dump is of",
                    r->path);
    gptoss_status status = read_list(r, ids, &r->ids, &r->tokens, error);
    if (status == GPTOSS_OK)
        status = read_positions(r, "positions", &r->positions, &r->rows, error);
    if (status == GPTOSS_OK)
        status = read_positions(r, "logits.positions", &r->logit_positions, &r->logit_rows, error);
    if (status != GPTOSS_OK || r->positions != NULL)
        return status;
    r->rows = r->tokens;
    r->positions = calloc(r->rows, sizeof *r->positions);
    if (r->positions == NULL)
        return fail_memory(error, "positions", r->rows * sizeof *r->positions);
    for (size_t row = 0; row < r->rows; row++)
        r->positions[row] = (uint32_t)row;
    return GPTOSS_OK;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* Reads a number without leading zeros, at most nine digits of it, and moves *at behind them. */
static bool read_number(const char **at, uint32_t *out)
{
    size_t digits = strspn(*at, "0123456789");
    if (digits == 0 || digits > 9 || (digits > 1 && **at == '0'))
        return false;
    *out = (uint32_t)strtoul(*at, NULL, 10);
    *at += digits;
    return true;
}

/* Tells the stage of a tensor's name; false for names that belong to no stage. */
static bool stage_of(const char *name, gptoss_stage *stage, uint32_t *layer)
{
    const char *at = name;
    *layer = 0;
    if (strcmp(name, "final_norm") == 0 || strcmp(name, "logits") == 0) {
        *stage = gptoss_stage_named(name);
        return true;
    }
    if (strncmp(name, "hidden.", 7) == 0) {
        at += 7;
        if (!read_number(&at, layer) || *at != '\0')
            return false;
        *stage = *layer == 0 ? GPTOSS_STAGE_EMBEDDING : GPTOSS_STAGE_RESIDUAL;
        *layer -= *layer > 0;
        return true;
    }
    if (strncmp(name, "layers.", 7) != 0)
        return false;
    at += 7;
    if (!read_number(&at, layer) || *at != '.')
        return false;
    *stage = gptoss_stage_named(at + 1);
    return *stage < GPTOSS_STAGE_COUNT && gptoss_stage_per_layer(*stage) &&
           *stage != GPTOSS_STAGE_RESIDUAL;
}

/* ---- shapes ---------------------------------------------------------------------------------- */

/* Stages whose columns are as many as another's. */
static const struct {
    gptoss_stage stage;
    gptoss_stage like;
} alike[] = {
    {GPTOSS_STAGE_EMBEDDING, GPTOSS_STAGE_RESIDUAL},
    {GPTOSS_STAGE_ATTENTION_NORM, GPTOSS_STAGE_RESIDUAL},
    {GPTOSS_STAGE_ATTENTION_OUT, GPTOSS_STAGE_RESIDUAL},
    {GPTOSS_STAGE_ATTENTION_RESIDUAL, GPTOSS_STAGE_RESIDUAL},
    {GPTOSS_STAGE_MLP_NORM, GPTOSS_STAGE_RESIDUAL},
    {GPTOSS_STAGE_EXPERT_OUT, GPTOSS_STAGE_RESIDUAL},
    {GPTOSS_STAGE_COMBINED, GPTOSS_STAGE_RESIDUAL},
    {GPTOSS_STAGE_FINAL_NORM, GPTOSS_STAGE_RESIDUAL},
    {GPTOSS_STAGE_Q_ROTARY, GPTOSS_STAGE_Q},
    {GPTOSS_STAGE_ATTENTION, GPTOSS_STAGE_Q},
    {GPTOSS_STAGE_V, GPTOSS_STAGE_K},
    {GPTOSS_STAGE_K_ROTARY, GPTOSS_STAGE_K},
    {GPTOSS_STAGE_ROUTING_WEIGHTS, GPTOSS_STAGE_EXPERTS},
};

/* The stage that stands for all whose width a stage shares. */
static gptoss_stage width_of(gptoss_stage stage)
{
    for (size_t i = 0; i < sizeof alike / sizeof *alike; i++)
        if (alike[i].stage == stage)
            return alike[i].like;
    return stage;
}

/* Widths met so far, by the stage that stands for them, and the tensor that was met first. */
typedef struct widths {
    size_t columns[GPTOSS_STAGE_COUNT];
    const char *first[GPTOSS_STAGE_COUNT];
} widths;

static gptoss_status agree(const gptoss_reference *r, const char *name, gptoss_stage width,
                           size_t columns, widths *met, gptoss_error *error)
{
    if (met->first[width] == NULL) {
        met->first[width] = name;
        met->columns[width] = columns;
    }
    if (met->columns[width] == columns)
        return GPTOSS_OK;
    return fail(error, GPTOSS_FORMAT,
                "%s: tensor \"%s\" is %zu wide: expected %zu, by the width of \"%s\"", r->path,
                name, columns, met->columns[width], met->first[width]);
}

/* The width of a stage's tensor; that of its pieces; that gate_up is twice as wide as activated. */
static gptoss_status check_width(gptoss_reference *r, const tensor *found, gptoss_stage stage,
                                 widths *met, gptoss_error *error)
{
    size_t columns = r->columns[stage];
    gptoss_stage width = width_of(stage);
    gptoss_status status = GPTOSS_OK;
    if (columns == 0 || r->pieces[stage] == 0)
        return fail(error, GPTOSS_FORMAT, "%s: tensor \"%s\" has no columns", r->path, found->name);
    if (stage == GPTOSS_STAGE_GATE_UP) {
        if (columns % 2 != 0)
            return fail(error, GPTOSS_FORMAT,
                        "%s: tensor \"%s\" is %zu wide: expected an even number, gate and up "
                        "by turns",
                        r->path, found->name, columns);
        columns /= 2;
        width = GPTOSS_STAGE_ACTIVATED;
    }
    if (gptoss_stage_per_expert(stage))
        status = agree(r, found->name, GPTOSS_STAGE_EXPERTS, r->pieces[stage], met, error);
    return status == GPTOSS_OK ? agree(r, found->name, width, columns, met, error) : status;
}

static gptoss_status check_shape(gptoss_reference *r, const tensor *found, gptoss_stage stage,
                                 widths *met, gptoss_error *error)
{
    uint32_t rank = gptoss_stage_per_expert(stage) ? 3 : 2;
    size_t rows = reference_rows(r, stage).count;
    if (found->rank != rank)
        return fail(error, GPTOSS_FORMAT,
                    "%s: tensor \"%s\" has %" PRIu32 " dimensions: expected %" PRIu32 ", [%s]",
                    r->path, found->name, found->rank, rank,
                    rank == 2 ? "rows, columns" : "rows, experts per token, columns");
    if (found->shape[0] != rows)
        return fail(error, GPTOSS_FORMAT,
                    "%s: tensor \"%s\" has %" PRIu64 " rows: expected %zu, one for each position",
                    r->path, found->name, found->shape[0], rows);
    if (stage == GPTOSS_STAGE_EXPERTS ? found->type != DTYPE_I32 && found->type != DTYPE_I64
                                      : !float_type_is(found->type))
        return fail(error, GPTOSS_FORMAT, "%s: tensor \"%s\" has dtype %s: expected %s", r->path,
                    found->name, dtype_name(found->type),
                    stage == GPTOSS_STAGE_EXPERTS ? "I32 or I64" : "F32, BF16, F16 or F64");
    r->pieces[stage] = rank == 3 ? (size_t)found->shape[1] : 1;
    r->columns[stage] = (size_t)found->shape[rank - 1];
    return check_width(r, found, stage, met, error);
}

/* ---- experts --------------------------------------------------------------------------------- */

/* Every expert of a row once, and below the number of router logits where there are some. */
static gptoss_status check_experts(const gptoss_reference *r, const tensor *from,
                                   const uint32_t *ids, gptoss_error *error)
{
    size_t count = r->columns[GPTOSS_STAGE_EXPERTS];
    size_t bound = r->columns[GPTOSS_STAGE_ROUTER];
    if (bound > 0 && count > bound)
        return fail(error, GPTOSS_FORMAT,
                    "%s: tensor \"%s\" has %zu experts per token: expected at most the router's "
                    "%zu",
                    r->path, from->name, count, bound);
    for (size_t row = 0; row < r->rows; row++) {
        const uint32_t *chosen = ids + row * count;
        for (size_t i = 0; i < count; i++) {
            if (bound > 0 && chosen[i] >= bound)
                return fail(error, GPTOSS_FORMAT,
                            "%s: tensor \"%s\" names expert %" PRIu32
                            " in row %zu: expected one below the router's %zu",
                            r->path, from->name, chosen[i], row, bound);
            for (size_t j = 0; j < i; j++)
                if (chosen[j] == chosen[i])
                    return fail(error, GPTOSS_FORMAT,
                                "%s: tensor \"%s\" names expert %" PRIu32 " twice in row %zu",
                                r->path, from->name, chosen[i], row);
        }
    }
    return GPTOSS_OK;
}

/* More experts than this for one token would take long to compare; published models have 4. */
enum { MOST_CHOSEN = 1024 };

static gptoss_status read_experts(gptoss_reference *r, gptoss_error *error)
{
    size_t chosen = r->columns[GPTOSS_STAGE_EXPERTS];
    r->experts = calloc(r->layers > 0 ? r->layers : 1, sizeof(uint32_t *));
    if (r->experts == NULL)
        return fail_memory(error, "experts", r->layers * sizeof(uint32_t *));
    if (chosen > MOST_CHOSEN)
        return fail(error, GPTOSS_LIMIT, "%s has %zu experts per token: expected at most %d",
                    r->path, chosen, MOST_CHOSEN);
    for (uint32_t layer = 0; layer < r->layers; layer++) {
        if (!reference_has(r, GPTOSS_STAGE_EXPERTS, layer))
            continue;
        const tensor *from = r->tensors[(size_t)layer * GPTOSS_STAGE_COUNT + GPTOSS_STAGE_EXPERTS];
        gptoss_status status = read_whole(r, from, r->rows * chosen, &r->experts[layer], error);
        if (status == GPTOSS_OK)
            status = check_experts(r, from, r->experts[layer], error);
        if (status != GPTOSS_OK)
            return status;
    }
    return GPTOSS_OK;
}

/* ---- all stages ------------------------------------------------------------------------------ */

static gptoss_status bind_tensor(gptoss_reference *r, const tensor *found, widths *met,
                                 gptoss_error *error)
{
    gptoss_stage stage;
    uint32_t layer;
    if (!stage_of(found->name, &stage, &layer))
        return GPTOSS_OK;
    if (layer >= GPTOSS_MAX_LAYERS)
        return fail(error, GPTOSS_LIMIT, "%s: tensor \"%s\": expected at most %d layers", r->path,
                    found->name, GPTOSS_MAX_LAYERS);
    gptoss_status status = check_shape(r, found, stage, met, error);
    if (status != GPTOSS_OK)
        return status;
    if (gptoss_stage_per_layer(stage) && layer >= r->layers)
        r->layers = layer + 1;
    if (stage != GPTOSS_STAGE_EXPERTS)
        r->coarsest = float_type_coarser(r->coarsest, found->type);
    r->tensors[(size_t)layer * GPTOSS_STAGE_COUNT + stage] = found;
    return GPTOSS_OK;
}

gptoss_status reference_bind(gptoss_reference *r, gptoss_error *error)
{
    widths met = {0};
    size_t places = (size_t)GPTOSS_MAX_LAYERS * GPTOSS_STAGE_COUNT;
    size_t bound = 0;
    r->coarsest = DTYPE_F64;
    r->tensors = calloc(places, sizeof(tensor *));
    if (r->tensors == NULL)
        return fail_memory(error, "a dump's stages", places * sizeof(tensor *));
    for (size_t i = 0; i < r->file.count; i++) {
        gptoss_status status = bind_tensor(r, &r->file.tensors[i], &met, error);
        if (status != GPTOSS_OK)
            return status;
    }
    for (size_t place = 0; place < places; place++)
        bound += r->tensors[place] != NULL;
    if (bound == 0)
        return fail(error, GPTOSS_FORMAT,
                    "%s holds no stage: expected one of \"hidden.0\", \"layers.0.q\", \"logits\" "
                    "and the like",
                    r->path);
    return read_experts(r, error);
}
