/* Comparing two dumps of the same tokens. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "parity/parity_run.h"

/*
 * Behind a near tie of the router that went the other way, numbers differ without anybody's fault:
 * of the same token from the layer's combined experts on, and in later layers of every later token
 * too, by way of attention. Those rows are not judged.
 */
typedef struct pairing {
    parity_run *run;
    const gptoss_reference *reference;
    const gptoss_reference *candidate;
    bool *flipped;   /* [rows of the reference] by an excused flip of the layer under way */
    uint32_t first;  /* the first position among them; UINT32_MAX: none */
    uint32_t behind; /* the first position with an excused flip in an earlier layer */
    size_t compared; /* rows, of all stages */
} pairing;

/* ---- whether they are of the same run -------------------------------------------------------- */

static gptoss_status check_ids(const gptoss_reference *a, const gptoss_reference *b,
                               gptoss_error *error)
{
    if (a->tokens != b->tokens)
        return fail(error, GPTOSS_FORMAT, "%s has %zu tokens, %s has %zu: expected the same ids",
                    a->path, a->tokens, b->path, b->tokens);
    for (size_t i = 0; i < a->tokens; i++)
        if (a->ids[i] != b->ids[i])
            return fail(error, GPTOSS_FORMAT,
                        "token %zu is %" PRIu32 " in %s and %" PRIu32
                        " in %s: expected the same ids",
                        i, a->ids[i], a->path, b->ids[i], b->path);
    return GPTOSS_OK;
}

static gptoss_status check_widths(const gptoss_reference *a, const gptoss_reference *b,
                                  gptoss_error *error)
{
    for (unsigned stage = 0; stage < GPTOSS_STAGE_COUNT; stage++) {
        if (a->columns[stage] == 0 || b->columns[stage] == 0)
            continue;
        if (a->columns[stage] != b->columns[stage] || a->pieces[stage] != b->pieces[stage])
            return fail(error, GPTOSS_FORMAT,
                        "stage \"%s\" has %zu x %zu numbers of a token in %s and %zu x %zu in %s: "
                        "expected the same shape",
                        gptoss_stage_name((gptoss_stage)stage), a->pieces[stage], a->columns[stage],
                        a->path, b->pieces[stage], b->columns[stage], b->path);
    }
    return GPTOSS_OK;
}

/* ---- stages ---------------------------------------------------------------------------------- */

static bool excused(const pairing *p, gptoss_stage stage, uint32_t position, size_t row)
{
    if (position >= p->behind)
        return true;
    return (stage == GPTOSS_STAGE_COMBINED || stage == GPTOSS_STAGE_RESIDUAL) && p->flipped[row];
}

static void pair_experts(pairing *p, uint32_t layer, size_t row, size_t other)
{
    uint32_t position = p->reference->positions[row];
    const uint32_t *experts = reference_experts(p->candidate, layer, other);
    if (parity_run_experts(p->run, layer, row, experts) != FLIP_EXCUSED)
        return;
    p->flipped[row] = true;
    if (position < p->first)
        p->first = position;
}

static candidate_stage stage_of_dump(const gptoss_reference *dump, gptoss_stage stage,
                                     uint32_t layer)
{
    numbers all = reference_piece(dump, stage, layer, 0, 0);
    return (candidate_stage){.dump = dump,
                             .data = all.data,
                             .type = all.type,
                             .pieces = dump->pieces[stage],
                             .stride = dump->columns[stage],
                             .experts = reference_experts(dump, layer, 0),
                             .chosen = dump->columns[GPTOSS_STAGE_EXPERTS]};
}

/* All positions that both dumps have of a stage. */
static void pair_stage(pairing *p, gptoss_stage stage, uint32_t layer)
{
    stage_comparison *c = parity_run_stage(p->run, stage, layer);
    row_positions rows = reference_rows(p->reference, stage);
    candidate_stage from = {0};
    bool experts = stage == GPTOSS_STAGE_EXPERTS && reference_has(p->reference, stage, layer) &&
                   reference_has(p->candidate, stage, layer);
    if (c == NULL && !experts)
        return;
    if (!experts)
        from = stage_of_dump(p->candidate, stage, layer);
    for (size_t row = 0; row < rows.count; row++) {
        size_t other = reference_row(p->candidate, stage, rows.positions[row]);
        if (other == REFERENCE_NONE)
            continue;
        if (c != NULL)
            p->compared++;
        if (excused(p, stage, rows.positions[row], row))
            p->run->report.rows_excused += c != NULL;
        else if (experts)
            pair_experts(p, layer, row, other);
        else
            parity_run_row(p->run, c, row, &from, other);
    }
}

static void pair_layer(pairing *p, uint32_t layer)
{
    memset(p->flipped, 0, p->reference->rows * sizeof *p->flipped);
    p->first = UINT32_MAX;
    for (unsigned stage = GPTOSS_STAGE_ATTENTION_NORM; stage < GPTOSS_STAGE_FINAL_NORM; stage++)
        pair_stage(p, (gptoss_stage)stage, layer);
    if (p->first < p->behind)
        p->behind = p->first;
}

static gptoss_status pair_all(pairing *p, gptoss_progress_fn progress, void *user,
                              gptoss_error *error)
{
    uint32_t layers = p->reference->layers;
    p->flipped = calloc(p->reference->rows, sizeof *p->flipped);
    if (p->flipped == NULL)
        return fail_memory(error, "flips", p->reference->rows * sizeof *p->flipped);
    p->behind = UINT32_MAX;
    pair_stage(p, GPTOSS_STAGE_EMBEDDING, 0);
    for (uint32_t layer = 0; layer <= layers && p->run->status == GPTOSS_OK; layer++) {
        if (progress != NULL && !progress(user, "parity", layer, layers + 1ULL))
            return fail(error, GPTOSS_INTERRUPTED,
                        "interrupted after %" PRIu32 " of %" PRIu32 " layers", layer, layers);
        if (layer < layers)
            pair_layer(p, layer);
    }
    pair_stage(p, GPTOSS_STAGE_FINAL_NORM, 0);
    pair_stage(p, GPTOSS_STAGE_LOGITS, 0);
    if (p->compared == 0 && p->run->status == GPTOSS_OK)
        return fail(error, GPTOSS_FORMAT, "%s and %s have no position in common",
                    p->reference->path, p->candidate->path);
    if (progress != NULL)
        progress(user, "parity", layers + 1ULL, layers + 1ULL);
    return p->run->status;
}

gptoss_status gptoss_parity_dumps(const gptoss_reference *reference,
                                  const gptoss_reference *candidate,
                                  const gptoss_parity_options *options, gptoss_progress_fn progress,
                                  void *user, gptoss_parity_report **out, gptoss_error *error)
{
    pairing p = {.reference = reference, .candidate = candidate};
    uint32_t layers = reference->layers > candidate->layers ? reference->layers : candidate->layers;
    *out = NULL;
    if (options != NULL && options->isolated)
        return fail(error, GPTOSS_USAGE,
                    "two dumps cannot be compared isolated: each stage would have to be computed "
                    "again, which takes a model");
    gptoss_status status = check_ids(reference, candidate, error);
    if (status == GPTOSS_OK)
        status = check_widths(reference, candidate, error);
    if (status == GPTOSS_OK)
        status = parity_run_open(reference, candidate, options, candidate->coarsest, layers, &p.run,
                                 error);
    if (status != GPTOSS_OK)
        return status;
    status = pair_all(&p, progress, user, error);
    free(p.flipped);
    if (status == GPTOSS_OK)
        status = file_map_unchanged(&reference->map, reference->path, error);
    if (status == GPTOSS_OK)
        status = file_map_unchanged(&candidate->map, candidate->path, error);
    if (status != GPTOSS_OK) {
        gptoss_parity_free(&p.run->report);
        return status;
    }
    parity_run_end(p.run);
    *out = &p.run->report;
    return GPTOSS_OK;
}
