#include "parity/parity_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- which stages ---------------------------------------------------------------------------- */

static bool wanted(const parity_run *run, const gptoss_reference *other, uint32_t stages,
                   gptoss_stage stage, uint32_t layer)
{
    return (stages == 0 || (stages >> stage & 1) != 0) &&
           reference_has(run->reference, stage, layer) &&
           (other == NULL || reference_has(other, stage, layer));
}

static gptoss_status fail_stages(const parity_run *run, const gptoss_reference *other,
                                 gptoss_error *error)
{
    if (other == NULL)
        return fail(error, GPTOSS_FORMAT, "%s has none of the stages asked for",
                    run->reference->path);
    return fail(error, GPTOSS_FORMAT, "%s and %s have none of the stages asked for in common",
                run->reference->path, other->path);
}

#define BIT(stage) (1U << GPTOSS_STAGE_##stage)

/* What a stage is computed from, of the same layer; the first norm and both residuals also from the
 * residual that enters the layer. */
static const uint32_t inputs[GPTOSS_STAGE_COUNT] = {
    [GPTOSS_STAGE_Q] = BIT(ATTENTION_NORM),
    [GPTOSS_STAGE_K] = BIT(ATTENTION_NORM),
    [GPTOSS_STAGE_V] = BIT(ATTENTION_NORM),
    [GPTOSS_STAGE_Q_ROTARY] = BIT(Q),
    [GPTOSS_STAGE_K_ROTARY] = BIT(K),
    [GPTOSS_STAGE_SINK_MASS] = BIT(Q_ROTARY) | BIT(K_ROTARY),
    [GPTOSS_STAGE_ATTENTION] = BIT(Q_ROTARY) | BIT(K_ROTARY) | BIT(V),
    [GPTOSS_STAGE_ATTENTION_OUT] = BIT(ATTENTION),
    [GPTOSS_STAGE_ATTENTION_RESIDUAL] = BIT(ATTENTION_OUT),
    [GPTOSS_STAGE_MLP_NORM] = BIT(ATTENTION_RESIDUAL),
    [GPTOSS_STAGE_ROUTER] = BIT(MLP_NORM),
    [GPTOSS_STAGE_EXPERTS] = BIT(ROUTER),
    [GPTOSS_STAGE_ROUTING_WEIGHTS] = BIT(ROUTER) | BIT(EXPERTS),
    [GPTOSS_STAGE_GATE_UP] = BIT(MLP_NORM) | BIT(EXPERTS),
    [GPTOSS_STAGE_ACTIVATED] = BIT(GATE_UP),
    [GPTOSS_STAGE_EXPERT_OUT] = BIT(ACTIVATED) | BIT(EXPERTS),
    [GPTOSS_STAGE_COMBINED] = BIT(EXPERT_OUT) | BIT(ROUTING_WEIGHTS),
    [GPTOSS_STAGE_RESIDUAL] = BIT(COMBINED) | BIT(ATTENTION_RESIDUAL),
    [GPTOSS_STAGE_LOGITS] = BIT(FINAL_NORM),
};

/* Whether the dump has all that a stage is computed from. What it lacks is our own, and so are the
 * differences that come from there. */
static bool has_inputs(const parity_run *run, gptoss_stage stage, uint32_t layer)
{
    const gptoss_reference *r = run->reference;
    bool enters = stage == GPTOSS_STAGE_ATTENTION_NORM || stage == GPTOSS_STAGE_ATTENTION_RESIDUAL;
    if (enters && layer == 0 && !reference_has(r, GPTOSS_STAGE_EMBEDDING, 0))
        return false;
    if (enters && layer > 0 && !reference_has(r, GPTOSS_STAGE_RESIDUAL, layer - 1))
        return false;
    if (stage == GPTOSS_STAGE_FINAL_NORM)
        return reference_has(r, GPTOSS_STAGE_RESIDUAL, run->limits.layers - 1);
    for (unsigned input = 0; input < GPTOSS_STAGE_COUNT; input++)
        if ((inputs[stage] >> input & 1) != 0 && !reference_has(r, (gptoss_stage)input, layer))
            return false;
    return true;
}

/* What begins the comparisons one after another. */
typedef struct beginning {
    parity_run *run;
    const gptoss_reference *other;
    uint32_t stages;
    gptoss_status status;
    gptoss_error *error;
} beginning;

static void begin_stage(beginning *b, gptoss_stage stage, uint32_t layer)
{
    parity_run *run = b->run;
    const gptoss_reference *r = run->reference;
    if (b->status != GPTOSS_OK || !wanted(run, b->other, b->stages, stage, layer))
        return;
    bool isolated = run->report.isolated && has_inputs(run, stage, layer);
    gptoss_parity_limits limits = tolerances_of(&run->limits, stage, layer, isolated);
    b->status = compare_begin(&run->comparisons[run->report.stage_count++], stage, layer,
                              reference_type(r, stage, layer), &limits,
                              reference_rows(r, stage).count, b->error);
    run->index[(size_t)layer * GPTOSS_STAGE_COUNT + stage] = (uint32_t)run->report.stage_count;
}

/* A comparison for every stage that is wanted, in order of computation. */
static gptoss_status begin_stages(parity_run *run, const gptoss_reference *other, uint32_t stages,
                                  gptoss_error *error)
{
    uint32_t layers = run->reference->layers;
    size_t count = ((size_t)layers + 1) * GPTOSS_STAGE_COUNT;
    beginning b = {.run = run, .other = other, .stages = stages, .error = error};
    run->comparisons = calloc(count, sizeof *run->comparisons);
    run->report.stages = calloc(count, sizeof *run->report.stages);
    run->index = calloc(count, sizeof *run->index);
    if (run->comparisons == NULL || run->report.stages == NULL || run->index == NULL)
        return fail_memory(error, "a comparison", count * sizeof *run->comparisons);
    begin_stage(&b, GPTOSS_STAGE_EMBEDDING, 0);
    for (uint32_t layer = 0; layer < layers; layer++)
        for (unsigned s = GPTOSS_STAGE_ATTENTION_NORM; s < GPTOSS_STAGE_FINAL_NORM; s++)
            begin_stage(&b, (gptoss_stage)s, layer);
    begin_stage(&b, GPTOSS_STAGE_FINAL_NORM, 0);
    begin_stage(&b, GPTOSS_STAGE_LOGITS, 0);
    if (b.status != GPTOSS_OK)
        return b.status;
    return run->report.stage_count > 0 ? GPTOSS_OK : fail_stages(run, other, error);
}

static gptoss_status allocate_numbers(parity_run *run, gptoss_error *error)
{
    size_t widest = 1;
    for (unsigned stage = 0; stage < GPTOSS_STAGE_COUNT; stage++)
        if (run->reference->columns[stage] > widest)
            widest = run->reference->columns[stage];
    run->reference_numbers = calloc(widest, sizeof *run->reference_numbers);
    run->candidate_numbers = calloc(widest, sizeof *run->candidate_numbers);
    if (run->reference_numbers == NULL || run->candidate_numbers == NULL)
        return fail_memory(error, "a row", 2 * widest * sizeof *run->reference_numbers);
    return GPTOSS_OK;
}

gptoss_status parity_run_open(const gptoss_reference *reference, const gptoss_reference *other,
                              const gptoss_parity_options *options, dtype candidate,
                              uint32_t layers, parity_run **out, gptoss_error *error)
{
    static const gptoss_parity_options none = {0};
    *out = NULL;
    if (options == NULL)
        options = &none;
    if (options->stages >> GPTOSS_STAGE_COUNT != 0)
        return fail(error, GPTOSS_USAGE, "stages 0x%x: expected bits of stages, below 0x%x",
                    options->stages, 1U << GPTOSS_STAGE_COUNT);
    parity_run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return fail_memory(error, "a comparison", sizeof *run);
    run->reference = reference;
    run->error = error;
    run->report.isolated = options->isolated;
    gptoss_status status = tolerances_load(options->tolerances, reference->coarsest, candidate,
                                           layers, reference->tokens, &run->limits, error);
    run->report.router_margin = tolerances_margin(&run->limits);
    if (status == GPTOSS_OK)
        status = begin_stages(run, other, options->stages, error);
    if (status == GPTOSS_OK)
        status = allocate_numbers(run, error);
    if (status != GPTOSS_OK) {
        gptoss_parity_free(&run->report);
        return status;
    }
    *out = run;
    return GPTOSS_OK;
}

void gptoss_parity_free(gptoss_parity_report *report)
{
    parity_run *run = (parity_run *)report;
    if (run == NULL)
        return;
    for (size_t i = 0; run->comparisons != NULL && i < run->report.stage_count; i++)
        compare_free(&run->comparisons[i]);
    free(run->comparisons);
    free(run->index);
    free(run->reference_numbers);
    free(run->candidate_numbers);
    free(run->report.stages);
    free(run->report.flips);
    free(run->report.logits.disagreements);
    free(run);
}

stage_comparison *parity_run_stage(const parity_run *run, gptoss_stage stage, uint32_t layer)
{
    if (layer >= run->reference->layers && gptoss_stage_per_layer(stage))
        return NULL;
    uint32_t index = run->index[(size_t)layer * GPTOSS_STAGE_COUNT + stage];
    return index == 0 ? NULL : &run->comparisons[index - 1];
}

void parity_run_fail(parity_run *run, gptoss_status status)
{
    if (run->status == GPTOSS_OK)
        run->status = status;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static numbers candidate_piece(const candidate_stage *from, size_t row, size_t piece)
{
    size_t index = row * from->pieces + piece;
    size_t place = from->order == NULL ? index : from->order[index];
    return (numbers){(const uint8_t *)from->data + place * from->stride * dtype_bytes(from->type),
                     from->type};
}

/* Where an expert stands among `count`; `count` when it does not. */
static size_t slot_of(const uint32_t *experts, size_t count, uint32_t expert)
{
    size_t slot = 0;
    while (slot < count && experts[slot] != expert)
        slot++;
    return slot;
}

/* The candidate's slot of what the reference has in `slot`. */
static size_t candidate_slot(const uint32_t *reference, const uint32_t *candidate, size_t count,
                             size_t slot)
{
    return reference == NULL || candidate == NULL ? slot
                                                  : slot_of(candidate, count, reference[slot]);
}

static void decode_reference(parity_run *run, const stage_comparison *c, size_t row, size_t piece)
{
    float_type_decode(reference_piece(run->reference, c->result.stage, c->result.layer, row, piece),
                      0, run->reference->columns[c->result.stage], run->reference_numbers);
}

/* What a dump holds is meant to be numbers. */
static void check_finite(parity_run *run, const gptoss_reference *dump, const stage_comparison *c,
                         size_t piece, const double *values)
{
    const gptoss_parity_stage *of = &c->result;
    size_t column = 0;
    if (compare_finite(values, dump->columns[of->stage]) || run->status != GPTOSS_OK)
        return;
    while (isfinite(values[column]))
        column++;
    const tensor *from = dump->tensors[(size_t)of->layer * GPTOSS_STAGE_COUNT + of->stage];
    char place[32] = "";
    if (dump->pieces[of->stage] > 1)
        snprintf(place, sizeof place, " expert slot %zu,", piece);
    parity_run_fail(run, fail(run->error, GPTOSS_NUMERIC,
                              "%s: tensor \"%s\" holds %s for token %" PRIu32
                              ",%s column %zu: expected numbers",
                              dump->path, from->name, isnan(values[column]) ? "NaN" : "infinity",
                              of->tokens[of->rows], place, column));
}

static void compare_weights(parity_run *run, stage_comparison *c, const uint32_t *experts,
                            const uint32_t *candidate_experts, size_t count)
{
    double rms = compare_rms(run->reference_numbers, count);
    for (size_t slot = 0; slot < count; slot++) {
        size_t other = candidate_slot(experts, candidate_experts, count, slot);
        if (other < count)
            compare_number(c, (uint32_t)slot, rms, run->reference_numbers[slot],
                           run->candidate_numbers[other]);
    }
}

void parity_run_row(parity_run *run, stage_comparison *c, size_t row,
                    const candidate_stage *candidate, size_t candidate_row)
{
    gptoss_stage stage = c->result.stage;
    size_t columns = run->reference->columns[stage];
    size_t pieces = run->reference->pieces[stage];
    uint32_t token = reference_rows(run->reference, stage).positions[row];
    const uint32_t *experts = reference_experts(run->reference, c->result.layer, row);
    const uint32_t *others =
        candidate->experts == NULL ? NULL : candidate->experts + candidate_row * candidate->chosen;
    compare_row_begin(c, token);
    for (size_t piece = 0; piece < pieces; piece++) {
        size_t slot = pieces == 1 ? 0 : candidate_slot(experts, others, pieces, piece);
        if (slot >= pieces)
            continue;
        decode_reference(run, c, row, piece);
        float_type_decode(candidate_piece(candidate, candidate_row, slot), 0, columns,
                          run->candidate_numbers);
        check_finite(run, run->reference, c, piece, run->reference_numbers);
        if (candidate->dump != NULL)
            check_finite(run, candidate->dump, c, slot, run->candidate_numbers);
        if (stage == GPTOSS_STAGE_ROUTING_WEIGHTS) {
            compare_weights(run, c, experts, others, columns);
            continue;
        }
        if (stage == GPTOSS_STAGE_LOGITS)
            parity_run_fail(run, logit_statistics_row(&run->logits, &run->report, token, c->type,
                                                      run->reference_numbers,
                                                      run->candidate_numbers, columns, run->error));
        compare_piece(c, (uint32_t)piece, run->reference_numbers, run->candidate_numbers, columns);
    }
    compare_row_end(c);
}

/* ---- flips ----------------------------------------------------------------------------------- */

/*
 * By how much the reference preferred its own choice: the least of its logits that the candidate
 * left out, less the greatest that the candidate took instead.
 */
static double flip_margin(parity_run *run, uint32_t layer, size_t row, const uint32_t *experts,
                          const uint32_t *others, size_t count)
{
    const gptoss_reference *r = run->reference;
    double least = INFINITY;
    double greatest = -INFINITY;
    if (!reference_has(r, GPTOSS_STAGE_ROUTER, layer))
        return NAN;
    size_t columns = r->columns[GPTOSS_STAGE_ROUTER];
    double *logits = run->reference_numbers;
    float_type_decode(reference_piece(r, GPTOSS_STAGE_ROUTER, layer, row, 0), 0, columns, logits);
    for (size_t i = 0; i < count; i++) {
        if (slot_of(others, count, experts[i]) == count && !(logits[experts[i]] >= least))
            least = logits[experts[i]];
        if (slot_of(experts, count, others[i]) < count)
            continue;
        if (others[i] >= columns)
            return NAN;
        if (!(logits[others[i]] <= greatest))
            greatest = logits[others[i]];
    }
    return least - greatest;
}

static void record_flip(parity_run *run, const gptoss_parity_flip *flip)
{
    gptoss_parity_report *report = &run->report;
    if (report->flip_count == run->flip_room) {
        size_t room = 2 * run->flip_room + 64;
        gptoss_parity_flip *flips = realloc(report->flips, room * sizeof *flips);
        if (flips == NULL) {
            parity_run_fail(run, fail_memory(run->error, "flips", room * sizeof *flips));
            return;
        }
        report->flips = flips;
        run->flip_room = room;
    }
    report->flips[report->flip_count++] = *flip;
}

flip_kind parity_run_experts(parity_run *run, uint32_t layer, size_t row, const uint32_t *experts)
{
    const gptoss_reference *r = run->reference;
    const uint32_t *own = reference_experts(r, layer, row);
    stage_comparison *c = parity_run_stage(run, GPTOSS_STAGE_EXPERTS, layer);
    size_t count = r->columns[GPTOSS_STAGE_EXPERTS];
    size_t differing = 0;
    if (own == NULL)
        return FLIP_NONE;
    for (size_t i = 0; i < count; i++)
        differing += slot_of(experts, count, own[i]) == count;
    gptoss_parity_flip flip = {.layer = layer, .token = r->positions[row]};
    if (differing > 0) {
        flip.margin = flip_margin(run, layer, row, own, experts, count);
        flip.excused = fabs(flip.margin) <= run->report.router_margin;
        record_flip(run, &flip);
    }
    if (c != NULL) {
        compare_row_begin(c, flip.token);
        compare_experts(c, count, differing, flip.excused);
        compare_row_end(c);
    }
    if (differing == 0)
        return FLIP_NONE;
    return flip.excused ? FLIP_EXCUSED : FLIP_TRUE;
}

/* ---- the end --------------------------------------------------------------------------------- */

void parity_run_end(parity_run *run)
{
    gptoss_parity_report *report = &run->report;
    report->pass = true;
    for (size_t i = 0; i < report->stage_count; i++) {
        compare_end(&run->comparisons[i]);
        report->stages[i] = run->comparisons[i].result;
        if (report->stages[i].pass || report->departed)
            continue;
        report->pass = false;
        report->departed = true;
        report->departure = i;
        report->departure_token = compare_departure(&run->comparisons[i]);
    }
    logit_statistics_end(&run->logits, report);
    free(run->reference_numbers);
    free(run->candidate_numbers);
    run->reference_numbers = NULL;
    run->candidate_numbers = NULL;
}
