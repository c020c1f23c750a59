/* What a tap is shown, and what happens when it writes: on a small checkpoint, in float32 and with
 * the roundings of OpenAI's torch code. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "check.h"
#include "gptoss.h"

#define CHECKPOINT GPTOSS_SOURCE_DIR "/tests/golden/published/hf-mxfp4"

#define EVERY_STAGE GPTOSS_STAGE_COUNT

enum { LENGTH = 60, LAYERS = 3 };

static gptoss_model *model;
static const gptoss_config *config;

/* ---- a run and what it showed ---------------------------------------------------------------- */

/* Every value, by stage, layer and position. */
typedef struct record {
    float *values[GPTOSS_STAGE_COUNT][LAYERS];     /* [LENGTH, pieces * columns] */
    uint32_t *experts[LAYERS];                     /* [LENGTH, experts_per_token] */
    bool seen[GPTOSS_STAGE_COUNT][LAYERS][LENGTH]; /* each once */
} record;

typedef struct options {
    gptoss_numerics numerics;
    uint32_t threads;
    uint32_t chunk;
    uint32_t shift;        /* makes other tokens */
    const record *replace; /* what to overwrite the stage with, or NULL */
    gptoss_stage stage;    /* the stage to overwrite, or EVERY_STAGE */
    uint32_t layer;        /* there */
    bool spoil;            /* instead of replacing: change its values */
} options;

typedef struct run {
    options how;
    record *to; /* or NULL */
    gptoss_stage next_stage;
    uint32_t next_layer;
    uint32_t begin; /* position of the chunk's first row */
    uint32_t rows;
    float *logits; /* [LENGTH, vocab] as returned */
} run;

static uint32_t token_of(uint32_t position, uint32_t shift)
{
    return (position * 31 + position * position + 7 + shift * (position + 3)) % config->vocab;
}

/* Every third position wants no logits. */
static bool wants_logits(uint32_t position)
{
    return position % 3 != 0;
}

static size_t row_numbers(gptoss_stage stage)
{
    return gptoss_stage_pieces(stage, config) * gptoss_stage_columns(stage, config);
}

static record *record_new(void)
{
    record *r = calloc(1, sizeof *r);
    for (unsigned stage = 0; stage < GPTOSS_STAGE_COUNT; stage++)
        for (uint32_t layer = 0; layer < LAYERS; layer++)
            r->values[stage][layer] =
                calloc(LENGTH * row_numbers((gptoss_stage)stage), sizeof(float));
    for (uint32_t layer = 0; layer < LAYERS; layer++)
        r->experts[layer] = calloc((size_t)LENGTH * config->experts_per_token, sizeof(uint32_t));
    return r;
}

static void record_free(record *r)
{
    for (unsigned stage = 0; stage < GPTOSS_STAGE_COUNT; stage++)
        for (uint32_t layer = 0; layer < LAYERS; layer++)
            free(r->values[stage][layer]);
    for (uint32_t layer = 0; layer < LAYERS; layer++)
        free(r->experts[layer]);
    free(r);
}

static void expect_next(run *r, const gptoss_tap_view *view)
{
    CHECK(view->stage == r->next_stage && view->layer == r->next_layer,
          "%s of layer %u, expected %s of layer %u", gptoss_stage_name(view->stage), view->layer,
          gptoss_stage_name(r->next_stage), r->next_layer);
    r->next_stage = (gptoss_stage)(view->stage + 1);
    if (view->stage == GPTOSS_STAGE_RESIDUAL && ++r->next_layer < LAYERS)
        r->next_stage = GPTOSS_STAGE_ATTENTION_NORM;
    if (r->next_stage == GPTOSS_STAGE_FINAL_NORM)
        r->next_layer = 0;
}

static void check_shape(const run *r, const gptoss_tap_view *view)
{
    const char *name = gptoss_stage_name(view->stage);
    bool logits = view->stage == GPTOSS_STAGE_LOGITS;
    uint32_t position = r->begin;
    CHECK(view->pieces == gptoss_stage_pieces(view->stage, config), "%s", name);
    CHECK(view->columns == gptoss_stage_columns(view->stage, config), "%s", name);
    CHECK((view->ids != NULL) == (view->stage == GPTOSS_STAGE_EXPERTS), "%s", name);
    CHECK((view->data == NULL) == (view->stage == GPTOSS_STAGE_EXPERTS), "%s", name);
    CHECK(view->stride >= view->columns, "%s", name);
    for (size_t row = 0; row < view->rows; row++, position++) {
        while (logits && !wants_logits(position))
            position++;
        CHECK(view->positions[row] == position, "%s: row %zu", name, row);
    }
    while (logits && position < r->begin + r->rows && !wants_logits(position))
        position++;
    CHECK(position == r->begin + r->rows, "%s: %zu rows", name, view->rows);
}

static void keep(record *to, const gptoss_tap_view *view)
{
    size_t row_size = view->pieces * view->columns;
    for (size_t row = 0; row < view->rows; row++) {
        uint32_t position = view->positions[row];
        bool *seen = &to->seen[view->stage][view->layer][position];
        CHECK(!*seen, "%s twice", gptoss_stage_name(view->stage));
        *seen = true;
        if (view->ids != NULL)
            memcpy(to->experts[view->layer] + position * row_size, view->ids + row * row_size,
                   row_size * sizeof *view->ids);
        for (size_t piece = 0; piece < view->pieces && view->data != NULL; piece++)
            memcpy(to->values[view->stage][view->layer] + position * row_size +
                       piece * view->columns,
                   gptoss_tap_piece(view, row, piece), view->columns * sizeof(float));
    }
}

static void overwrite(const record *from, const gptoss_tap_view *view)
{
    size_t row_size = view->pieces * view->columns;
    for (size_t row = 0; row < view->rows; row++) {
        uint32_t position = view->positions[row];
        if (view->ids != NULL)
            memcpy(view->ids + row * row_size, from->experts[view->layer] + position * row_size,
                   row_size * sizeof *view->ids);
        for (size_t piece = 0; piece < view->pieces && view->data != NULL; piece++)
            memcpy(gptoss_tap_piece(view, row, piece),
                   from->values[view->stage][view->layer] + position * row_size +
                       piece * view->columns,
                   view->columns * sizeof(float));
    }
}

static void spoil(const gptoss_tap_view *view)
{
    for (size_t row = 0; row < view->rows; row++) {
        for (size_t i = 0; i < view->columns && view->ids != NULL; i++) {
            uint32_t *id = &view->ids[row * view->columns + i];
            *id = (*id + 1) % config->experts;
        }
        for (size_t piece = 0; piece < view->pieces && view->data != NULL; piece++)
            for (size_t i = 0; i < view->columns; i++)
                gptoss_tap_piece(view, row, piece)[i] *= i % 2 == 0 ? 1.25F : 0.75F;
    }
}

static void tap(void *user, const gptoss_tap_view *view)
{
    run *r = user;
    bool meant = r->how.stage == EVERY_STAGE ||
                 (r->how.stage == view->stage && (r->how.layer == view->layer));
    expect_next(r, view);
    check_shape(r, view);
    if (r->to != NULL)
        keep(r->to, view);
    if (r->how.replace != NULL && meant)
        overwrite(r->how.replace, view);
    else if (r->how.spoil && meant)
        spoil(view);
}

/* Runs LENGTH tokens; `tapped` false: without a tap. */
static float *run_tokens(options how, record *to, bool tapped)
{
    gptoss_executor *executor = NULL;
    gptoss_sequence *sequence = NULL;
    gptoss_error error;
    const gptoss_executor_options open = {how.threads,          how.chunk,       how.numerics,
                                          GPTOSS_PRECISION_F32, GPTOSS_PIN_AUTO, GPTOSS_GEMM_AUTO};
    run r = {.how = how, .to = to};
    r.logits = calloc((size_t)LENGTH * config->vocab, sizeof *r.logits);
    CHECK(gptoss_executor_open(model, &open, &executor, &error) == GPTOSS_OK, "%s", error.message);
    CHECK(gptoss_sequence_open(model,
                               &(gptoss_sequence_options){.context = LENGTH, .chunk = how.chunk},
                               &sequence, NULL) == GPTOSS_OK,
          "sequence");
    gptoss_executor_tap(executor, tapped ? tap : NULL, &r);
    for (r.begin = 0; r.begin < LENGTH; r.begin += r.rows) {
        gptoss_row rows[LENGTH];
        const float *logits = NULL;
        r.rows = LENGTH - r.begin < how.chunk ? LENGTH - r.begin : how.chunk;
        r.next_stage = GPTOSS_STAGE_EMBEDDING;
        r.next_layer = 0;
        for (uint32_t i = 0; i < r.rows; i++)
            rows[i] = (gptoss_row){sequence, r.begin + i, token_of(r.begin + i, how.shift),
                                   wants_logits(r.begin + i)};
        CHECK(gptoss_executor_forward(executor, rows, r.rows, &logits, &error) == GPTOSS_OK, "%s",
              error.message);
        gptoss_stage end = logits == NULL ? GPTOSS_STAGE_LOGITS : GPTOSS_STAGE_COUNT;
        CHECK(!tapped || r.next_stage == end, "ended before %s", gptoss_stage_name(r.next_stage));
        for (uint32_t i = 0; i < r.rows && logits != NULL; i++) {
            if (!wants_logits(r.begin + i))
                continue;
            memcpy(r.logits + (size_t)(r.begin + i) * config->vocab, logits,
                   config->vocab * sizeof *logits);
            logits += config->vocab;
        }
    }
    gptoss_sequence_close(sequence);
    gptoss_executor_close(executor);
    return r.logits;
}

static bool same_logits(const float *a, const float *b)
{
    return memcmp(a, b, (size_t)LENGTH * config->vocab * sizeof *a) == 0;
}

/* ---- what is shown --------------------------------------------------------------------------- */

static void check_complete(const record *r)
{
    for (unsigned stage = 0; stage < GPTOSS_STAGE_COUNT; stage++)
        for (uint32_t layer = 0; layer < LAYERS; layer++)
            for (uint32_t position = 0; position < LENGTH; position++) {
                bool exists = layer == 0 || gptoss_stage_per_layer((gptoss_stage)stage);
                bool wanted = stage != GPTOSS_STAGE_LOGITS || wants_logits(position);
                CHECK(r->seen[stage][layer][position] == (exists && wanted), "%s of layer %u at %u",
                      gptoss_stage_name((gptoss_stage)stage), layer, position);
            }
}

static void check_same(const record *a, const record *b, const char *what)
{
    for (unsigned stage = 0; stage < GPTOSS_STAGE_COUNT; stage++)
        for (uint32_t layer = 0; layer < LAYERS; layer++)
            CHECK(memcmp(a->values[stage][layer], b->values[stage][layer],
                         LENGTH * row_numbers((gptoss_stage)stage) * sizeof(float)) == 0,
                  "%s changes %s of layer %u", what, gptoss_stage_name((gptoss_stage)stage), layer);
    for (uint32_t layer = 0; layer < LAYERS; layer++)
        CHECK(memcmp(a->experts[layer], b->experts[layer],
                     (size_t)LENGTH * config->experts_per_token * sizeof(uint32_t)) == 0,
              "%s changes the experts of layer %u", what, layer);
}

/* The residual stream is the sum of what its neighbours show. */
static void check_residual(const record *r, uint32_t layer)
{
    const float *before = layer == 0 ? r->values[GPTOSS_STAGE_EMBEDDING][0]
                                     : r->values[GPTOSS_STAGE_RESIDUAL][layer - 1];
    const float *middle = r->values[GPTOSS_STAGE_ATTENTION_RESIDUAL][layer];
    const float *after = r->values[GPTOSS_STAGE_RESIDUAL][layer];
    const float *attention = r->values[GPTOSS_STAGE_ATTENTION_OUT][layer];
    const float *experts = r->values[GPTOSS_STAGE_COMBINED][layer];
    for (size_t i = 0; i < (size_t)LENGTH * config->hidden; i++)
        CHECK(middle[i] == before[i] + attention[i] && after[i] == middle[i] + experts[i],
              "layer %u, %zu", layer, i);
}

/* The pieces of a row come in the order of its experts and weights. */
static void check_pieces(const record *r, uint32_t layer)
{
    size_t top = config->experts_per_token;
    const float *logits = r->values[GPTOSS_STAGE_ROUTER][layer];
    const float *weights = r->values[GPTOSS_STAGE_ROUTING_WEIGHTS][layer];
    const float *pieces = r->values[GPTOSS_STAGE_EXPERT_OUT][layer];
    const float *combined = r->values[GPTOSS_STAGE_COMBINED][layer];
    for (size_t row = 0; row < LENGTH; row++) {
        const uint32_t *ids = r->experts[layer] + row * top;
        double total = 0.0;
        for (size_t s = 0; s < top; s++) {
            total += weights[row * top + s];
            CHECK(s == 0 || logits[row * config->experts + ids[s - 1]] >=
                                logits[row * config->experts + ids[s]],
                  "row %zu: descending logits", row);
        }
        CHECK(fabs(total - 1.0) < 1e-6, "row %zu: the weights add up to %g", row, total);
        for (size_t i = 0; i < config->hidden; i++) {
            float sum = 0.0F;
            for (size_t s = 0; s < top; s++)
                sum =
                    fmaf(weights[row * top + s], pieces[(row * top + s) * config->hidden + i], sum);
            CHECK(sum == combined[row * config->hidden + i], "row %zu, column %zu", row, i);
        }
    }
}

static void check_logits(const record *r, const float *logits)
{
    size_t bytes = config->vocab * sizeof *logits;
    for (uint32_t position = 0; position < LENGTH; position++)
        CHECK(memcmp(r->values[GPTOSS_STAGE_LOGITS][0] + (size_t)position * config->vocab,
                     logits + (size_t)position * config->vocab, bytes) == 0,
              "position %u", position);
}

/* Chunks, threads and the tap itself change nothing. */
static void check_ways(gptoss_numerics numerics, const record *whole, const float *logits)
{
    static const uint32_t chunks[] = {1, 7, 33, LENGTH};
    for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
        for (uint32_t threads = 1; threads <= 3; threads++) {
            char what[64];
            options how = {numerics, threads, chunks[c], .stage = EVERY_STAGE};
            record *again = record_new();
            float *tapped = run_tokens(how, again, true);
            float *untapped = run_tokens(how, NULL, false);
            snprintf(what, sizeof what, "%s: chunk %u, %u threads", gptoss_numerics_name(numerics),
                     chunks[c], threads);
            check_same(whole, again, what);
            CHECK(same_logits(logits, tapped), "%s", what);
            CHECK(same_logits(logits, untapped), "%s: the tap", what);
            free(tapped);
            free(untapped);
            record_free(again);
        }
    }
}

/* ---- what is written ------------------------------------------------------------------------- */

/* Whatever the tokens, stages that are replaced by another run's lead to that run's results. */
static void check_replacing(gptoss_numerics numerics, const record *from, const float *logits)
{
    options same = {numerics, 2, 16, .replace = from, .stage = EVERY_STAGE};
    options other = {numerics, 2, 16, .shift = 5, .replace = from, .stage = EVERY_STAGE};
    options after_layer = {
        numerics, 2, 16, .shift = 5, .replace = from, .stage = GPTOSS_STAGE_RESIDUAL, .layer = 1};
    const options ways[] = {same, other, after_layer};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        float *got = run_tokens(ways[i], NULL, true);
        CHECK(same_logits(logits, got), "%s, way %zu", gptoss_numerics_name(numerics), i);
        free(got);
    }
}

/* What follows from what: changing any stage but the sink's share changes the logits, changing the
 * logits changes what is returned, and nothing before a stage changes with it. */
static void check_spoiling(const record *whole, const float *logits)
{
    for (unsigned stage = 0; stage < GPTOSS_STAGE_COUNT; stage++) {
        bool read = stage != GPTOSS_STAGE_SINK_MASS;
        options how = {GPTOSS_NUMERICS_F32, 2, 16, .stage = (gptoss_stage)stage, .spoil = true};
        record *again = record_new();
        float *got = run_tokens(how, again, true);
        CHECK(same_logits(logits, got) == !read, "%s", gptoss_stage_name((gptoss_stage)stage));
        for (unsigned before = 0; before <= stage && before < GPTOSS_STAGE_FINAL_NORM; before++)
            CHECK(memcmp(whole->values[before][0], again->values[before][0],
                         LENGTH * row_numbers((gptoss_stage)before) * sizeof(float)) == 0,
                  "%s changes %s", gptoss_stage_name((gptoss_stage)stage),
                  gptoss_stage_name((gptoss_stage)before));
        free(got);
        record_free(again);
    }
}

/* The weights are those of the experts that the tap left. */
static void check_other_experts(void)
{
    size_t top = config->experts_per_token;
    options how = {GPTOSS_NUMERICS_F32, 2, 16, .stage = GPTOSS_STAGE_EXPERTS, .spoil = true};
    record *r = record_new();
    free(run_tokens(how, r, true));
    for (size_t row = 0; row < LENGTH; row++) {
        const float *router = r->values[GPTOSS_STAGE_ROUTER][0] + row * config->experts;
        double total = 0.0;
        for (size_t s = 0; s < top; s++)
            total += exp(router[(r->experts[0][row * top + s] + 1) % config->experts]);
        for (size_t s = 0; s < top; s++) {
            double exact = exp(router[(r->experts[0][row * top + s] + 1) % config->experts]);
            CHECK(fabs(r->values[GPTOSS_STAGE_ROUTING_WEIGHTS][0][row * top + s] - exact / total) <
                      1e-5,
                  "row %zu, choice %zu", row, s);
        }
    }
    record_free(r);
}

/* ---- the roundings of torch ------------------------------------------------------------------ */

static void check_representable(const record *r)
{
    for (unsigned stage = 0; stage < GPTOSS_STAGE_COUNT; stage++)
        for (uint32_t layer = 0; layer < LAYERS; layer++)
            for (size_t i = 0; i < LENGTH * row_numbers((gptoss_stage)stage); i++)
                CHECK(r->values[stage][layer][i] == bf16_round(r->values[stage][layer][i]),
                      "%s of layer %u: %.9g", gptoss_stage_name((gptoss_stage)stage), layer,
                      (double)r->values[stage][layer][i]);
}

/* Rounding changes the results, but not much. */
static void check_near(const record *exact, const record *rounded, gptoss_stage stage,
                       uint32_t layer)
{
    double error = 0.0;
    double power = 0.0;
    for (size_t i = 0; i < LENGTH * row_numbers(stage); i++) {
        double difference = rounded->values[stage][layer][i] - exact->values[stage][layer][i];
        error += difference * difference;
        power += (double)exact->values[stage][layer][i] * exact->values[stage][layer][i];
    }
    CHECK(error > 0.0 && error < 1e-3 * power, "%s of layer %u: NMSE %.1e",
          gptoss_stage_name(stage), layer, error / power);
}

static void check_options(void)
{
    gptoss_executor *executor = NULL;
    gptoss_error error;
    gptoss_executor_options open = {.threads = 1, .numerics = (gptoss_numerics)2};
    CHECK(gptoss_executor_open(model, &open, &executor, &error) == GPTOSS_USAGE && executor == NULL,
          "unknown numerics");
    open.numerics = GPTOSS_NUMERICS_TORCH_BF16;
    CHECK(gptoss_executor_open(model, &open, &executor, &error) == GPTOSS_OK, "%s", error.message);
    CHECK(gptoss_executor_numerics(executor) == GPTOSS_NUMERICS_TORCH_BF16, "numerics");
    gptoss_executor_close(executor);
    CHECK(strcmp(gptoss_numerics_name(GPTOSS_NUMERICS_F32), "f32") == 0, "name");
    CHECK(strcmp(gptoss_numerics_name(GPTOSS_NUMERICS_TORCH_BF16), "torch-bf16") == 0, "name");
}

int main(void)
{
    gptoss_error error;
    CHECK(gptoss_model_open(CHECKPOINT, &model, &error) == GPTOSS_OK, "%s", error.message);
    if (model == NULL)
        return test_result();
    config = gptoss_model_config(model);
    CHECK(config->layers == LAYERS, "%u layers", config->layers);
    record *records[2];
    for (int numerics = 0; numerics < 2; numerics++) {
        options how = {(gptoss_numerics)numerics, 1, LENGTH, .stage = EVERY_STAGE};
        record *whole = records[numerics] = record_new();
        float *logits = run_tokens(how, whole, true);
        check_complete(whole);
        check_logits(whole, logits);
        check_ways(how.numerics, whole, logits);
        check_replacing(how.numerics, whole, logits);
        if (how.numerics == GPTOSS_NUMERICS_F32)
            check_spoiling(whole, logits);
        free(logits);
    }
    for (uint32_t layer = 0; layer < LAYERS; layer++) {
        check_residual(records[0], layer);
        check_pieces(records[0], layer);
    }
    check_other_experts();
    check_representable(records[1]);
    for (uint32_t layer = 0; layer < LAYERS; layer++)
        check_near(records[0], records[1], GPTOSS_STAGE_ATTENTION_RESIDUAL, layer);
    check_near(records[0], records[1], GPTOSS_STAGE_SINK_MASS, 0);
    check_options();
    record_free(records[0]);
    record_free(records[1]);
    gptoss_model_close(model);
    return test_result();
}
