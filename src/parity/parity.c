/* Replaying a dump's tokens and comparing every stage on the way. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "parity/parity_run.h"

enum { LOGIT_ROWS = 64 }; /* positions whose logits are in memory at once */

typedef struct replay {
    parity_run *run;
    const gptoss_reference *reference;
    const gptoss_config *config;
    gptoss_executor *executor;
    gptoss_row *rows;  /* [chunk] of the pass under way */
    uint32_t *experts; /* [chunk, experts_per_token] of the layer under way */
    size_t done;       /* tokens of earlier passes */
    size_t part;       /* tokens of this one */
    uint32_t begun;    /* layers of a pass that ends early */
    gptoss_progress_fn progress;
    void *user;
} replay;

/* ---- whether the dump can be of this model --------------------------------------------------- */

static gptoss_status check_tokens(const gptoss_reference *r, const gptoss_config *config,
                                  gptoss_error *error)
{
    if (r->tokens > config->context)
        return fail(error, GPTOSS_FORMAT,
                    "%s has %zu tokens: the model is made for at most %" PRIu32, r->path, r->tokens,
                    config->context);
    for (size_t i = 0; i < r->tokens; i++)
        if (r->ids[i] >= config->vocab)
            return fail(error, GPTOSS_FORMAT,
                        "%s: token %zu has id %" PRIu32
                        ": expected one below the model's vocabulary, %" PRIu32,
                        r->path, i, r->ids[i], config->vocab);
    return GPTOSS_OK;
}

static gptoss_status check_shapes(const gptoss_reference *r, const gptoss_config *config,
                                  gptoss_error *error)
{
    if (r->layers > config->layers)
        return fail(error, GPTOSS_FORMAT,
                    "%s has stages of layer %" PRIu32 ": the model has %" PRIu32 " layers", r->path,
                    r->layers - 1, config->layers);
    for (unsigned i = 0; i < GPTOSS_STAGE_COUNT; i++) {
        gptoss_stage stage = (gptoss_stage)i;
        size_t columns = gptoss_stage_columns(stage, config);
        size_t pieces = gptoss_stage_pieces(stage, config);
        if (r->columns[i] == 0)
            continue;
        if (r->columns[i] != columns)
            return fail(error, GPTOSS_FORMAT, "%s: stage \"%s\" is %zu wide: the model's is %zu",
                        r->path, gptoss_stage_name(stage), r->columns[i], columns);
        if (r->pieces[i] != pieces)
            return fail(error, GPTOSS_FORMAT,
                        "%s: stage \"%s\" has %zu experts per token: the model has %zu", r->path,
                        gptoss_stage_name(stage), r->pieces[i], pieces);
    }
    return GPTOSS_OK;
}

/* The ids that isolated parity gives the executor. */
static gptoss_status check_experts(const gptoss_reference *r, const gptoss_config *config,
                                   gptoss_error *error)
{
    for (uint32_t layer = 0; layer < r->layers; layer++) {
        const uint32_t *experts = reference_experts(r, layer, 0);
        size_t count = experts == NULL ? 0 : r->rows * config->experts_per_token;
        for (size_t i = 0; i < count; i++)
            if (experts[i] >= config->experts)
                return fail(error, GPTOSS_FORMAT,
                            "%s: layer %" PRIu32 " has expert %" PRIu32 ": the model has %" PRIu32
                            " experts",
                            r->path, layer, experts[i], config->experts);
    }
    return GPTOSS_OK;
}

/* ---- at a stage ------------------------------------------------------------------------------ */

/* Isolated, attention can be judged only where all keys and values that a row sees came from the
 * dump. */
static bool comparable(const replay *p, const gptoss_tap_view *view, uint32_t position, size_t row)
{
    uint32_t window = p->config->window;
    uint32_t first = 0;
    if (!p->run->report.isolated ||
        (view->stage != GPTOSS_STAGE_SINK_MASS && view->stage != GPTOSS_STAGE_ATTENTION))
        return true;
    if (p->config->sliding[view->layer] && position >= window)
        first = position - window + 1;
    return reference_has_run(p->reference, first, row);
}

/* Replaces a row by the reference's; a piece that is not all finite stays as it is, since nothing
 * could be computed from it. */
static void give(const replay *p, const gptoss_tap_view *view, size_t view_row, size_t row)
{
    double *values = p->run->reference_numbers;
    for (size_t piece = 0; piece < view->pieces; piece++) {
        float *to = gptoss_tap_piece(view, view_row, piece);
        bool finite = true;
        float_type_decode(reference_piece(p->reference, view->stage, view->layer, row, piece), 0,
                          view->columns, values);
        for (size_t i = 0; i < view->columns; i++)
            finite = finite && isfinite((float)values[i]);
        for (size_t i = 0; i < view->columns && finite; i++)
            to[i] = (float)values[i];
    }
}

static void see_numbers(const replay *p, const gptoss_tap_view *view)
{
    stage_comparison *c = parity_run_stage(p->run, view->stage, view->layer);
    candidate_stage candidate = {.data = view->data,
                                 .type = DTYPE_F32,
                                 .pieces = view->pieces,
                                 .stride = view->stride,
                                 .order = view->order,
                                 .experts = p->experts,
                                 .chosen = p->config->experts_per_token};
    for (size_t i = 0; i < view->rows; i++) {
        size_t row = reference_row(p->reference, view->stage, view->positions[i]);
        if (row == REFERENCE_NONE)
            continue;
        if (c != NULL && comparable(p, view, view->positions[i], row))
            parity_run_row(p->run, c, row, &candidate, i);
        if (p->run->report.isolated)
            give(p, view, i, row);
    }
}

/* Follows the reference through near ties, or always when isolated, so that what comes after is
 * computed by the same experts. */
static void see_experts(const replay *p, const gptoss_tap_view *view)
{
    size_t bytes = view->columns * sizeof *view->ids;
    for (size_t i = 0; i < view->rows; i++) {
        uint32_t *ids = view->ids + i * view->columns;
        size_t row = reference_row(p->reference, view->stage, view->positions[i]);
        if (row != REFERENCE_NONE) {
            const uint32_t *experts = reference_experts(p->reference, view->layer, row);
            flip_kind kind = parity_run_experts(p->run, view->layer, row, ids);
            if (experts != NULL && (p->run->report.isolated || kind == FLIP_EXCUSED))
                memcpy(ids, experts, bytes);
        }
        memcpy(p->experts + i * view->columns, ids, bytes);
    }
}

/* Tells how far the replay has come, after each layer. */
static void tell_progress(const replay *p, uint32_t layer)
{
    size_t done = p->done + p->part * (layer + 1) / p->config->layers;
    if (p->progress != NULL && !p->progress(p->user, "parity", done, p->reference->tokens))
        parity_run_fail(p->run,
                        fail(p->run->error, GPTOSS_INTERRUPTED,
                             "interrupted after %zu of %zu tokens", p->done, p->reference->tokens));
}

static void see_stage(void *user, const gptoss_tap_view *view)
{
    const replay *p = user;
    if (p->run->status != GPTOSS_OK)
        return;
    if (view->stage == GPTOSS_STAGE_EXPERTS)
        see_experts(p, view);
    else if (reference_has(p->reference, view->stage, view->layer))
        see_numbers(p, view);
    if (view->stage == GPTOSS_STAGE_RESIDUAL)
        tell_progress(p, view->layer);
}

/* ---- all tokens ------------------------------------------------------------------------------ */

/* Fills p->rows with the tokens of the next pass. */
static void make_rows(replay *p, gptoss_sequence *sequence)
{
    const gptoss_reference *r = p->reference;
    size_t chunk = gptoss_executor_chunk(p->executor);
    size_t logits = 0;
    for (p->part = 0; p->part < chunk && p->done + p->part < r->tokens; p->part++) {
        uint32_t position = (uint32_t)(p->done + p->part);
        bool want = reference_has(r, GPTOSS_STAGE_LOGITS, 0) &&
                    reference_row(r, GPTOSS_STAGE_LOGITS, position) != REFERENCE_NONE;
        if (want && logits == LOGIT_ROWS)
            return;
        logits += want;
        p->rows[p->part] = (gptoss_row){sequence, position, r->ids[position], want};
    }
}

/* Whether numbers of the model that are not finite have been compared. */
static bool saw_not_finite(const parity_run *run)
{
    for (size_t i = 0; i < run->report.stage_count; i++)
        if (run->comparisons[i].result.not_finite > 0)
            return true;
    return false;
}

/* Whether all tokens fit a pass that need not go beyond the layers of which the dump has stages. */
static bool ends_early(const replay *p)
{
    const gptoss_reference *r = p->reference;
    return r->layers < p->config->layers && r->tokens <= gptoss_executor_chunk(p->executor) &&
           !reference_has(r, GPTOSS_STAGE_FINAL_NORM, 0) &&
           !reference_has(r, GPTOSS_STAGE_LOGITS, 0);
}

/* Asked before each layer; ends the pass at the first that the dump has nothing of. */
static bool is_needed(void *user, const char *what, uint64_t done, uint64_t total)
{
    replay *p = user;
    (void)what;
    (void)done;
    (void)total;
    return p->begun++ < p->reference->layers;
}

/*
 * One pass over p->part tokens. When it fails over numbers that are not finite and a stage shows
 * them, that is a result: where they come from is what parity is asked. Nothing can be replayed
 * after it.
 */
static gptoss_status run_pass(replay *p, gptoss_sequence *sequence, gptoss_error *error)
{
    gptoss_error trouble = {0};
    gptoss_status status;
    if (ends_early(p)) {
        p->part = p->reference->tokens;
        status = gptoss_executor_feed(p->executor, sequence, p->reference->ids, p->part, is_needed,
                                      p, NULL, &trouble);
        if (status == GPTOSS_INTERRUPTED)
            status = GPTOSS_OK;
    } else {
        make_rows(p, sequence);
        status = gptoss_executor_forward(p->executor, p->rows, p->part, NULL, &trouble);
    }
    if (p->run->status != GPTOSS_OK)
        return p->run->status;
    if (status == GPTOSS_NUMERIC && saw_not_finite(p->run)) {
        p->part = p->reference->tokens - p->done;
        return GPTOSS_OK;
    }
    return status == GPTOSS_OK ? GPTOSS_OK : fail(error, status, "%s", trouble.message);
}

static gptoss_status run_passes(replay *p, gptoss_sequence *sequence, gptoss_error *error)
{
    gptoss_status status = GPTOSS_OK;
    gptoss_executor_tap(p->executor, see_stage, p);
    for (; p->done < p->reference->tokens && status == GPTOSS_OK; p->done += p->part)
        status = run_pass(p, sequence, error);
    gptoss_executor_tap(p->executor, NULL, NULL);
    return status;
}

static gptoss_status replay_tokens(replay *p, gptoss_error *error)
{
    size_t chunk = gptoss_executor_chunk(p->executor);
    gptoss_sequence_options wanted = {.context = (uint32_t)p->reference->tokens,
                                      .chunk = (uint32_t)chunk};
    gptoss_sequence *sequence = NULL;
    p->rows = calloc(chunk, sizeof *p->rows);
    p->experts = calloc(chunk * p->config->experts_per_token, sizeof *p->experts);
    gptoss_status status =
        p->rows == NULL || p->experts == NULL
            ? fail_memory(error, "a batch", chunk * sizeof *p->rows)
            : gptoss_sequence_open(gptoss_executor_model(p->executor), &wanted, &sequence, error);
    if (status == GPTOSS_OK)
        status = run_passes(p, sequence, error);
    if (status == GPTOSS_OK && p->progress != NULL)
        p->progress(p->user, "parity", p->reference->tokens, p->reference->tokens);
    gptoss_sequence_close(sequence);
    free(p->experts);
    free(p->rows);
    return status;
}

gptoss_status gptoss_parity(gptoss_executor *executor, const gptoss_reference *reference,
                            const gptoss_parity_options *options, gptoss_progress_fn progress,
                            void *user, gptoss_parity_report **out, gptoss_error *error)
{
    replay p = {.reference = reference,
                .config = gptoss_model_config(gptoss_executor_model(executor)),
                .executor = executor,
                .progress = progress,
                .user = user};
    bool coarse = gptoss_executor_numerics(executor) == GPTOSS_NUMERICS_TORCH_BF16;
    *out = NULL;
    gptoss_status status = check_tokens(reference, p.config, error);
    if (status == GPTOSS_OK)
        status = check_shapes(reference, p.config, error);
    if (status == GPTOSS_OK)
        status = check_experts(reference, p.config, error);
    if (status == GPTOSS_OK)
        status = parity_run_open(reference, NULL, options, coarse ? DTYPE_BF16 : DTYPE_F32,
                                 p.config->layers, &p.run, error);
    if (status != GPTOSS_OK)
        return status;
    status = replay_tokens(&p, error);
    if (status == GPTOSS_OK)
        status = file_map_unchanged(&reference->map, reference->path, error);
    if (status != GPTOSS_OK) {
        gptoss_parity_free(&p.run->report);
        return status;
    }
    parity_run_end(p.run);
    *out = &p.run->report;
    return GPTOSS_OK;
}
