/* Parity from end to end on a small checkpoint: its own dumps, whole, in part, and with changes
 * whose place is known. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "dump_file.h"
#include "gptoss.h"

#define CHECKPOINT GPTOSS_SOURCE_DIR "/tests/golden/published/hf-mxfp4"
#define ALL_STAGES ((1U << GPTOSS_STAGE_COUNT) - 1)

enum { TOKENS = 70 }; /* more than one pass may have logits of */

static gptoss_model *model;
static const gptoss_config *config;
static uint32_t tokens[TOKENS];

/* ---- what the tests are made of -------------------------------------------------------------- */

static gptoss_executor *open_executor(uint32_t chunk, gptoss_numerics numerics)
{
    gptoss_executor *executor = NULL;
    gptoss_executor_options options = {.threads = 2, .chunk = chunk, .numerics = numerics};
    CHECK(gptoss_executor_open(model, &options, &executor, NULL) == GPTOSS_OK, "executor");
    return executor;
}

/* Writes the model's dump of these stages and positions. */
static void make_dump(const char *name, gptoss_numerics numerics, uint32_t stages,
                      const uint32_t *positions, size_t count)
{
    gptoss_error error = {0};
    gptoss_executor *executor = open_executor(0, numerics);
    gptoss_dump_options options = {
        .stages = stages, .positions = positions, .position_count = count};
    CHECK(gptoss_dump(executor, tokens, TOKENS, &options, scratch_path("%s", name), NULL, NULL,
                      &error) == GPTOSS_OK,
          "%s: %s", name, error.message);
    gptoss_executor_close(executor);
}

static gptoss_reference *open_dump(const char *name)
{
    gptoss_error error = {0};
    gptoss_reference *reference = NULL;
    CHECK(gptoss_reference_open(scratch_path("%s", name), &reference, &error) == GPTOSS_OK,
          "%s: %s", name, error.message);
    return reference;
}

/* Replays a dump; the report is to be freed. NULL with *error when it is refused. */
static gptoss_parity_report *replay(const char *name, uint32_t chunk, gptoss_numerics numerics,
                                    const gptoss_parity_options *options, gptoss_error *error)
{
    gptoss_parity_report *report = NULL;
    gptoss_reference *reference = open_dump(name);
    gptoss_executor *executor = open_executor(chunk, numerics);
    gptoss_status status = gptoss_parity(executor, reference, options, NULL, NULL, &report, error);
    CHECK((status == GPTOSS_OK) == (report != NULL), "status %d", status);
    gptoss_executor_close(executor);
    gptoss_reference_close(reference);
    return report;
}

static gptoss_parity_report *replay_f32(const char *name, bool isolated)
{
    gptoss_error error = {0};
    gptoss_parity_options options = {.isolated = isolated};
    gptoss_parity_report *report = replay(name, 0, GPTOSS_NUMERICS_F32, &options, &error);
    CHECK(report != NULL, "%s: %s", name, error.message);
    return report;
}

static gptoss_parity_report *compare(const char *a, const char *b,
                                     const gptoss_parity_options *options, gptoss_error *error)
{
    gptoss_parity_report *report = NULL;
    gptoss_reference *reference = open_dump(a);
    gptoss_reference *candidate = open_dump(b);
    gptoss_status status =
        gptoss_parity_dumps(reference, candidate, options, NULL, NULL, &report, error);
    CHECK((status == GPTOSS_OK) == (report != NULL), "status %d", status);
    gptoss_reference_close(reference);
    gptoss_reference_close(candidate);
    return report;
}

/* The model with a NaN in a bias of the keys of layer 1. */
static gptoss_model *break_model(void)
{
    gptoss_error error = {0};
    gptoss_model *broken = NULL;
    file_map map;
    CHECK(file_map_open(CHECKPOINT "/config.json", &map, NULL) == GPTOSS_OK, "config.json");
    scratch_write_bytes(scratch_path("broken/config.json"), map.data, map.size);
    file_map_close(&map);
    dump_file_change(CHECKPOINT "/model.safetensors", scratch_path("broken/model.safetensors"),
                     "model.layers.1.self_attn.k_proj.bias", 7, NAN);
    CHECK(gptoss_model_open(scratch_path("broken"), &broken, &error) == GPTOSS_OK, "%s",
          error.message);
    return broken;
}

static const gptoss_parity_stage *find(const gptoss_parity_report *report, gptoss_stage stage,
                                       uint32_t layer)
{
    for (size_t i = 0; i < report->stage_count; i++)
        if (report->stages[i].stage == stage && report->stages[i].layer == layer)
            return &report->stages[i];
    CHECK(false, "no stage %s of layer %u", gptoss_stage_name(stage), layer);
    return &report->stages[0];
}

static void tensor_name(gptoss_stage stage, uint32_t layer, char name[64])
{
    if (stage == GPTOSS_STAGE_EMBEDDING)
        snprintf(name, 64, "hidden.0");
    else if (stage == GPTOSS_STAGE_RESIDUAL)
        snprintf(name, 64, "hidden.%u", layer + 1);
    else if (gptoss_stage_per_layer(stage))
        snprintf(name, 64, "layers.%u.%s", layer, gptoss_stage_name(stage));
    else
        snprintf(name, 64, "%s", gptoss_stage_name(stage));
}

static size_t row_numbers(gptoss_stage stage)
{
    return gptoss_stage_pieces(stage, config) * gptoss_stage_columns(stage, config);
}

/* ---- the model and its own dump -------------------------------------------------------------- */

/* Equal to the last bit, in order, every row of every stage. */
static void check_equal(const gptoss_parity_report *report, size_t rows)
{
    size_t expected = 3 + (size_t)config->layers * (GPTOSS_STAGE_FINAL_NORM - 1);
    CHECK(report->pass && !report->departed, "a dump of its own");
    CHECK(report->stage_count == expected, "%zu stages", report->stage_count);
    CHECK(report->flip_count == 0 && report->rows_excused == 0, "no flips");
    CHECK(report->logits.rows == rows && report->logits.top1 == 1 && report->logits.top_k == 1 &&
              report->logits.kl_max < 1e-12 && report->logits.disagreement_count == 0,
          "logits");
    for (size_t i = 0; i < report->stage_count; i++) {
        const gptoss_parity_stage *s = &report->stages[i];
        const char *name = gptoss_stage_name(s->stage);
        bool attention = s->stage == GPTOSS_STAGE_SINK_MASS || s->stage == GPTOSS_STAGE_ATTENTION;
        CHECK(s->pass && s->bit_equal == 1 && s->max_error == 0 && s->nmse == 0 &&
                  s->rows_outside == 0 && s->not_finite == 0,
              "%s of layer %u", name, s->layer);
        if (attention && report->isolated && rows < TOKENS)
            continue;
        CHECK(s->rows == rows && s->values == rows * row_numbers(s->stage), "%s: %zu rows", name,
              s->rows);
        if (i > 0)
            CHECK(s->stage == GPTOSS_STAGE_LOGITS || s->stage == GPTOSS_STAGE_FINAL_NORM ||
                      s->layer > s[-1].layer || s->stage > s[-1].stage,
                  "%s comes behind %s", name, gptoss_stage_name(s[-1].stage));
    }
}

static void test_own_dump(void)
{
    static const uint32_t chunks[] = {1, 7, 64, 256};
    for (unsigned numerics = 0; numerics < 2; numerics++) {
        make_dump("own", (gptoss_numerics)numerics, ALL_STAGES, NULL, 0);
        for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
            for (int isolated = 0; isolated < 2; isolated++) {
                gptoss_error error = {0};
                gptoss_parity_options options = {.isolated = isolated == 1};
                gptoss_parity_report *report =
                    replay("own", chunks[i], (gptoss_numerics)numerics, &options, &error);
                CHECK(report != NULL && report->isolated == options.isolated, "%s", error.message);
                if (report != NULL)
                    check_equal(report, TOKENS);
                gptoss_parity_free(report);
            }
        }
        gptoss_parity_report *report = compare("own", "own", NULL, NULL);
        check_equal(report, TOKENS);
        gptoss_parity_free(report);
    }
    gptoss_parity_free(NULL);
}

/* The two numerics differ, but by no more than the coarser type explains. */
static void test_numerics(void)
{
    gptoss_error error = {0};
    make_dump("f32", GPTOSS_NUMERICS_F32, ALL_STAGES, NULL, 0);
    make_dump("bf16", GPTOSS_NUMERICS_TORCH_BF16, ALL_STAGES, NULL, 0);
    gptoss_parity_report *report = replay("bf16", 0, GPTOSS_NUMERICS_F32, NULL, &error);
    CHECK(report != NULL && report->router_margin > 1e-3, "%s", error.message);
    const gptoss_parity_stage *q = find(report, GPTOSS_STAGE_Q, 1);
    CHECK(q->max_error > 1e-6 && q->bit_equal < 1 && q->limits.max_error > 0.1, "%g", q->max_error);
    CHECK(report->logits.kl_max > 0, "the distributions differ");
    gptoss_parity_free(report);
}

/* ---- selections ------------------------------------------------------------------------------ */

static const uint32_t some[] = {0, 1, 2, 5, 6, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 69};
enum { SOME = sizeof some / sizeof *some };

/* Whether all positions that a row sees are among the selected ones. */
static bool sees_selected(uint32_t layer, uint32_t position)
{
    uint32_t first =
        config->sliding[layer] && position + 1 > config->window ? position + 1 - config->window : 0;
    for (uint32_t p = first; p <= position; p++) {
        bool found = false;
        for (size_t i = 0; i < SOME; i++)
            found = found || some[i] == p;
        if (!found)
            return false;
    }
    return true;
}

static void test_selected_positions(void)
{
    make_dump("some", GPTOSS_NUMERICS_F32, ALL_STAGES, some, SOME);
    for (int isolated = 0; isolated < 2; isolated++) {
        gptoss_parity_report *report = replay_f32("some", isolated == 1);
        check_equal(report, SOME);
        for (uint32_t layer = 0; layer < config->layers; layer++) {
            size_t expected = 0;
            for (size_t i = 0; i < SOME; i++)
                expected += isolated == 0 || sees_selected(layer, some[i]);
            const gptoss_parity_stage *s = find(report, GPTOSS_STAGE_ATTENTION, layer);
            CHECK(s->rows == expected &&
                      find(report, GPTOSS_STAGE_SINK_MASS, layer)->rows == expected,
                  "layer %u: %zu rows, expected %zu", layer, s->rows, expected);
            CHECK(expected > 0 && (isolated == 0 || expected < SOME), "the test tests something");
        }
        gptoss_parity_free(report);
    }
    gptoss_parity_report *report = compare("some", "f32", NULL, NULL);
    check_equal(report, SOME);
    gptoss_parity_free(report);
    report = compare("f32", "some", NULL, NULL);
    check_equal(report, SOME);
    CHECK(find(report, GPTOSS_STAGE_Q, 0)->tokens[SOME - 1] == 69, "positions, not rows");
    gptoss_parity_free(report);
}

/* Layers behind the last that a dump has stages of are not computed, where one pass has all tokens:
 * seen by NaN that comes of layer 1. */
static void test_first_layers(void)
{
    gptoss_error error = {0};
    gptoss_executor *executor = open_executor(0, GPTOSS_NUMERICS_F32);
    gptoss_dump_options options = {.stages = 1U << GPTOSS_STAGE_Q | 1U << GPTOSS_STAGE_RESIDUAL,
                                   .layer_end = 1};
    CHECK(gptoss_dump(executor, tokens, TOKENS, &options, scratch_path("first"), NULL, NULL,
                      &error) == GPTOSS_OK,
          "%s", error.message);
    gptoss_executor_close(executor);
    gptoss_model *whole = model;
    model = break_model();
    gptoss_parity_report *report = replay("first", 0, GPTOSS_NUMERICS_F32, NULL, &error);
    CHECK(report != NULL && report->pass && report->stage_count == 2 &&
              report->stages[1].rows == TOKENS && report->stages[1].bit_equal == 1,
          "one pass: %s", error.message);
    gptoss_parity_free(report);
    CHECK(replay("first", 16, GPTOSS_NUMERICS_F32, NULL, &error) == NULL &&
              error.status == GPTOSS_NUMERIC,
          "several passes go to the end: %s", error.message);
    gptoss_model_close(model);
    model = whole;
}

static void test_selected_stages(void)
{
    gptoss_parity_options options = {.stages = 1U << GPTOSS_STAGE_Q | 1U << GPTOSS_STAGE_LOGITS};
    gptoss_error error = {0};
    gptoss_parity_report *report = replay("f32", 0, GPTOSS_NUMERICS_F32, &options, &error);
    CHECK(report != NULL && report->stage_count == config->layers + 1 &&
              report->stages[0].stage == GPTOSS_STAGE_Q,
          "%s", error.message);
    gptoss_parity_free(report);
    make_dump("hidden", GPTOSS_NUMERICS_F32, 1U << GPTOSS_STAGE_RESIDUAL, NULL, 0);
    report = compare("hidden", "f32", NULL, NULL);
    CHECK(report->pass && report->stage_count == config->layers && report->logits.rows == 0,
          "hidden states");
    gptoss_parity_free(report);
    CHECK(replay("hidden", 0, GPTOSS_NUMERICS_F32, &options, &error) == NULL &&
              error.status == GPTOSS_FORMAT &&
              strstr(error.message, "has none of the stages asked for") != NULL,
          "%s", error.message);
    CHECK(compare("hidden", "f32", &options, &error) == NULL && error.status == GPTOSS_FORMAT &&
              strstr(error.message, "have none of the stages asked for in common") != NULL,
          "%s", error.message);
    options.stages = 1U << GPTOSS_STAGE_COUNT;
    CHECK(replay("hidden", 0, GPTOSS_NUMERICS_F32, &options, &error) == NULL &&
              error.status == GPTOSS_USAGE,
          "%s", error.message);
}

/* ---- a changed number ------------------------------------------------------------------------ */

enum { CHANGED = 33 }; /* the token whose row is changed, and of which the column */

static void check_departure(const gptoss_parity_report *report, gptoss_stage stage, uint32_t layer)
{
    const char *name = gptoss_stage_name(stage);
    const gptoss_parity_stage *s = &report->stages[report->departure];
    CHECK(!report->pass && report->departed && report->departure_token == CHANGED,
          "%s of layer %u: token %u", name, layer, report->departure_token);
    CHECK(s->stage == stage && s->layer == layer, "%s of layer %u instead of %s of layer %u",
          gptoss_stage_name(s->stage), s->layer, name, layer);
    CHECK(s->rows_outside == 1 && s->first_outside == CHANGED, "%s: %zu rows", name,
          s->rows_outside);
}

/* A number of every stage of a layer, the last of its row. */
static void test_changes(void)
{
    for (unsigned i = 0; i < GPTOSS_STAGE_COUNT; i++) {
        gptoss_stage stage = (gptoss_stage)i;
        uint32_t layer = gptoss_stage_per_layer(stage) ? 1 : 0;
        size_t index = (CHANGED + 1) * row_numbers(stage) - 1;
        char name[64];
        if (stage == GPTOSS_STAGE_EXPERTS)
            continue;
        tensor_name(stage, layer, name);
        double right = dump_file_read(scratch_path("f32"), name, index);
        dump_file_change(scratch_path("f32"), scratch_path("changed"), name, index, right + 0.125);
        for (int isolated = 0; isolated < 2; isolated++) {
            gptoss_parity_report *report = replay_f32("changed", isolated == 1);
            check_departure(report, stage, layer);
            const gptoss_parity_stage *s = find(report, stage, layer);
            CHECK(s->worst.token == CHANGED && s->furthest.token == CHANGED &&
                      s->worst.column == gptoss_stage_columns(stage, config) - 1 &&
                      s->worst.piece == gptoss_stage_pieces(stage, config) - 1,
                  "%s: token %u, column %u", name, s->worst.token, s->worst.column);
            CHECK(fabs(s->max_difference - 0.125) < 1e-6 && s->worst.candidate == (float)right,
                  "%s: %g", name, s->max_difference);
            gptoss_parity_free(report);
        }
        gptoss_parity_report *report = compare("f32", "changed", NULL, NULL);
        check_departure(report, stage, layer);
        gptoss_parity_free(report);
    }
}

/* A dump with NaN or infinity is no reference, and no candidate. */
static void test_not_finite(void)
{
    static const double values[] = {NAN, INFINITY};
    static const char *const spelled[] = {"NaN", "infinity"};
    for (size_t i = 0; i < 2; i++) {
        char sentence[128];
        snprintf(sentence, sizeof sentence,
                 "tensor \"layers.1.q\" holds %s for token %d, column 5: expected numbers",
                 spelled[i], CHANGED);
        dump_file_change(scratch_path("f32"), scratch_path("changed"), "layers.1.q",
                         CHANGED * row_numbers(GPTOSS_STAGE_Q) + 5, values[i]);
        for (int isolated = 0; isolated < 2; isolated++) {
            gptoss_error error = {0};
            gptoss_parity_options options = {.isolated = isolated == 1};
            CHECK(replay("changed", 0, GPTOSS_NUMERICS_F32, &options, &error) == NULL &&
                      error.status == GPTOSS_NUMERIC && strstr(error.message, sentence) != NULL,
                  "%s", error.message);
        }
        gptoss_error error = {0};
        CHECK(compare("f32", "changed", NULL, &error) == NULL && error.status == GPTOSS_NUMERIC &&
                  strstr(error.message, sentence) != NULL,
              "%s", error.message);
    }
}

/* A model that computes NaN fails at the stage where it does. */
static void test_broken_model(void)
{
    gptoss_error error = {0};
    gptoss_model *whole = model;
    make_dump("hidden0", GPTOSS_NUMERICS_F32, 1U << GPTOSS_STAGE_EMBEDDING, NULL, 0);
    model = break_model();
    gptoss_parity_report *report = replay("f32", 16, GPTOSS_NUMERICS_F32, NULL, &error);
    const gptoss_parity_stage *k = &report->stages[report->departure];
    CHECK(report->departed && k->stage == GPTOSS_STAGE_K && k->layer == 1 &&
              report->departure_token == 0,
          "%s of layer %u", gptoss_stage_name(k->stage), k->layer);
    CHECK(k->not_finite == 16 && k->rows == 16 && k->rows_outside == 16 && isinf(k->row_errors[3]),
          "the first pass");
    gptoss_parity_free(report);
    CHECK(replay("hidden0", 16, GPTOSS_NUMERICS_F32, NULL, &error) == NULL &&
              error.status == GPTOSS_NUMERIC,
          "NaN where nothing is compared: %s", error.message);
    gptoss_model_close(model);
    model = whole;
}

/* ---- experts --------------------------------------------------------------------------------- */

/* The expert with the best logit of those that a token did not choose. */
static uint32_t next_expert(const uint32_t chosen[2], uint32_t layer, double *logit)
{
    uint32_t best = UINT32_MAX;
    char name[64];
    tensor_name(GPTOSS_STAGE_ROUTER, layer, name);
    for (uint32_t e = 0; e < config->experts; e++) {
        double value = dump_file_read(scratch_path("f32"), name, CHANGED * config->experts + e);
        if (e != chosen[0] && e != chosen[1] && (best == UINT32_MAX || value > *logit)) {
            best = e;
            *logit = value;
        }
    }
    return best;
}

/* Writes "flipped": the second expert of the token in layer 1 is another, as if the reference had
 * chosen it. *margin becomes by how much it should not have. */
static void flip(double *margin)
{
    uint32_t chosen[2];
    double next = 0;
    gptoss_reference *reference = open_dump("f32");
    file_map map;
    safetensors parsed;
    CHECK(file_map_open(scratch_path("f32"), &map, NULL) == GPTOSS_OK, "map");
    CHECK(safetensors_parse(map.data, map.size, "f32", &parsed, NULL) == GPTOSS_OK, "parse");
    memcpy(chosen, safetensors_find(&parsed, "layers.1.experts")->data + CHANGED * sizeof chosen,
           sizeof chosen);
    safetensors_free(&parsed);
    file_map_close(&map);
    gptoss_reference_close(reference);
    uint32_t other = next_expert(chosen, 1, &next);
    *margin = next - dump_file_read(scratch_path("f32"), "layers.1.router",
                                    CHANGED * (size_t)config->experts + chosen[1]);
    dump_file_change(scratch_path("f32"), scratch_path("flipped"), "layers.1.experts",
                     CHANGED * 2 + 1, other);
}

static gptoss_parity_report *replay_with(const char *name, bool isolated, const char *limits)
{
    gptoss_error error = {0};
    scratch_write(scratch_path("limits.json"), limits);
    gptoss_parity_options options = {.isolated = isolated,
                                     .tolerances = scratch_path("limits.json")};
    gptoss_parity_report *report = replay(name, 0, GPTOSS_NUMERICS_F32, &options, &error);
    CHECK(report != NULL, "%s", error.message);
    return report;
}

static void test_flips(void)
{
    double margin;
    flip(&margin);
    gptoss_parity_report *report = replay_f32("flipped", false);
    check_departure(report, GPTOSS_STAGE_EXPERTS, 1);
    CHECK(report->flip_count == 1 && report->flips[0].layer == 1 &&
              report->flips[0].token == CHANGED && !report->flips[0].excused &&
              fabs(report->flips[0].margin - margin) < 1e-6,
          "margin %g instead of %g", report->flips[0].margin, margin);
    const gptoss_parity_stage *experts = find(report, GPTOSS_STAGE_EXPERTS, 1);
    CHECK(experts->rows_flipped == 1 && experts->max_error == 0.5 &&
              experts->bit_equal == 1 - 0.5 / TOKENS,
          "experts");
    CHECK(find(report, GPTOSS_STAGE_GATE_UP, 1)->values ==
              (2 * TOKENS - 1) * (uint64_t)(2 * config->intermediate),
          "the expert that both have is compared");
    CHECK(find(report, GPTOSS_STAGE_GATE_UP, 1)->max_error == 0, "and agrees");
    gptoss_parity_free(report);

    /* Excused, the replay follows: both experts are compared, and the wrong one is not the dump's.
     */
    report = replay_with("flipped", false, "{\"router_margin\": 100}");
    CHECK(report->flip_count == 1 && report->flips[0].excused && report->router_margin == 100,
          "excused");
    CHECK(find(report, GPTOSS_STAGE_EXPERTS, 1)->pass, "no fault of the experts");
    CHECK(find(report, GPTOSS_STAGE_GATE_UP, 1)->values ==
              2 * TOKENS * (uint64_t)(2 * config->intermediate),
          "followed");
    CHECK(report->rows_excused == 0, "a replay need excuse no rows");
    check_departure(report, GPTOSS_STAGE_ROUTING_WEIGHTS, 1);
    gptoss_parity_free(report);
    report = replay_with("flipped", true, "{}");
    check_departure(report, GPTOSS_STAGE_EXPERTS, 1);
    gptoss_parity_free(report);
}

/* Between dumps, what an excused flip reaches is not judged: of its token the combined experts and
 * the residual, in layer 2 and behind all later tokens. */
static void test_excused_rows(void)
{
    gptoss_error error = {0};
    scratch_write(scratch_path("limits.json"), "{\"router_margin\": 100}");
    gptoss_parity_options options = {.tolerances = scratch_path("limits.json")};
    gptoss_parity_report *report = compare("flipped", "f32", &options, &error);
    size_t behind = TOKENS - CHANGED;
    size_t stages = GPTOSS_STAGE_FINAL_NORM - 1 + 2; /* layer 2, final norm and logits */
    CHECK(report->rows_excused == 2 + stages * behind, "%zu rows", report->rows_excused);
    CHECK(report->pass, "stage %zu", report->departure);
    CHECK(find(report, GPTOSS_STAGE_COMBINED, 1)->rows == TOKENS - 1, "one row");
    CHECK(find(report, GPTOSS_STAGE_ATTENTION_NORM, 2)->rows == CHANGED, "all later rows");
    CHECK(report->logits.rows == CHANGED, "%zu rows of logits", report->logits.rows);
    gptoss_parity_free(report);
    report = compare("flipped", "f32", NULL, &error);
    check_departure(report, GPTOSS_STAGE_EXPERTS, 1);
    CHECK(report->rows_excused == 0, "a true flip excuses nothing");
    gptoss_parity_free(report);
}

/* The same experts in another order are the same. */
static void test_order(void)
{
    static const char *const names[] = {"layers.0.experts I32 [1,2] 3 1;"
                                        "layers.0.routing_weights F32 [1,2] 0.75 0.25;"
                                        "layers.0.activated F32 [1,2,2] 1 2 3 4",
                                        "layers.0.experts I32 [1,2] 1 3;"
                                        "layers.0.routing_weights F32 [1,2] 0.25 0.75;"
                                        "layers.0.activated F32 [1,2,2] 3 4 1 2"};
    for (int i = 0; i < 2; i++) {
        char lines[256];
        snprintf(lines, sizeof lines, "ids I32 [1] 5;%s", names[i]);
        dump_file_write(scratch_path("order%d", i), DUMP_FORMAT, lines);
    }
    gptoss_error error = {0};
    gptoss_parity_report *report = compare("order0", "order1", NULL, &error);
    CHECK(report->pass && report->flip_count == 0 && report->stage_count == 3, "order");
    for (size_t i = 0; i < report->stage_count; i++)
        CHECK(report->stages[i].bit_equal == 1, "stage %zu", i);
    gptoss_parity_free(report);

    /* Without the router's logits a flip has no margin, and no excuse. */
    dump_file_write(scratch_path("order1"), DUMP_FORMAT,
                    "ids I32 [1] 5; layers.0.experts I32 [1,2] 1 4;"
                    "layers.0.activated F32 [1,2,2] 3 4 0 0");
    report = compare("order0", "order1", NULL, &error);
    CHECK(report->flip_count == 1 && isnan(report->flips[0].margin) && !report->pass, "no margin");
    CHECK(report->stages[1].values == 2 && report->stages[1].pass, "what both have");
    gptoss_parity_free(report);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void test_refusals(void)
{
    static const struct {
        const char *lines;
        const char *sentence;
    } cases[] = {
        {"ids I32 [2] 3 200; hidden.0 F32 [2,64]",
         "token 1 has id 200: expected one below the model's vocabulary, 200"},
        {"ids I32 [2]; logits F32 [2,201]", "stage \"logits\" is 201 wide: the model's is 200"},
        {"ids I32 [2]; hidden.0 F32 [2,32]", "stage \"embedding\" is 32 wide: the model's is 64"},
        {"ids I32 [2]; layers.0.q F32 [2,95]", "stage \"q\" is 95 wide: the model's is 96"},
        {"ids I32 [2]; layers.1.activated F32 [2,3,32]",
         "stage \"activated\" has 3 experts per token: the model has 2"},
        {"ids I32 [2]; hidden.4 F32 [2,64]", "has stages of layer 3: the model has 3 layers"},
        {"ids I32 [1]; layers.2.experts I32 [1,2] 0 5",
         "layer 2 has expert 5: the model has 5 experts"},
        {"ids I32 [513]; logits.positions I32 [1] 0; logits F32 [1,200]",
         "has 513 tokens: the model is made for at most 512"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gptoss_error error = {0};
        dump_file_write(scratch_path("refused"), DUMP_FORMAT, cases[i].lines);
        gptoss_parity_report *report = replay("refused", 0, GPTOSS_NUMERICS_F32, NULL, &error);
        CHECK(report == NULL && error.status == GPTOSS_FORMAT, "%s", cases[i].sentence);
        CHECK(strstr(error.message, cases[i].sentence) != NULL &&
                  strstr(error.message, "refused") != NULL,
              "%s", error.message);
        gptoss_parity_free(report);
    }
}

static void test_refused_pairs(void)
{
    static const struct {
        const char *lines;
        const char *sentence;
    } cases[] = {
        {"ids I32 [3] 1 2 3; positions I32 [1] 0; hidden.0 F32 [1,2]",
         "has 3: expected the same ids"},
        {"ids I32 [2] 1 3; positions I32 [1] 0; hidden.0 F32 [1,2]", "token 1 is 2 in"},
        {"ids I32 [2] 1 2; positions I32 [1] 0; hidden.0 F32 [1,3]",
         "stage \"embedding\" has 1 x 2 numbers of a token in"},
        {"ids I32 [2] 1 2; positions I32 [1] 1; hidden.0 F32 [1,2]", "have no position in common"},
        {"ids I32 [2] 1 2; positions I32 [1] 0; hidden.1 F32 [1,2]", "have none of the stages"},
    };
    dump_file_write(scratch_path("a"), DUMP_FORMAT,
                    "ids I32 [2] 1 2; positions I32 [1] 0; hidden.0 F32 [1,2]");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gptoss_error error = {0};
        dump_file_write(scratch_path("b"), DUMP_FORMAT, cases[i].lines);
        gptoss_parity_report *report = compare("a", "b", NULL, &error);
        CHECK(report == NULL && error.status == GPTOSS_FORMAT &&
                  strstr(error.message, cases[i].sentence) != NULL,
              "%s", error.message);
        gptoss_parity_free(report);
    }
    gptoss_error error = {0};
    CHECK(compare("a", "a", &(gptoss_parity_options){.isolated = true}, &error) == NULL &&
              error.status == GPTOSS_USAGE,
          "%s", error.message);
    CHECK(compare("a", "a", &(gptoss_parity_options){.tolerances = scratch_path("none")}, &error) ==
                  NULL &&
              error.status == GPTOSS_IO,
          "%s", error.message);
}

/* ---- progress -------------------------------------------------------------------------------- */

typedef struct watch {
    uint64_t last;
    uint64_t total;
    uint64_t stop; /* says no from here on */
} watch;

static bool on_progress(void *user, const char *what, uint64_t done, uint64_t total)
{
    watch *w = user;
    CHECK(strcmp(what, "parity") == 0 && done >= w->last && done <= total, "%s: %ju of %ju", what,
          (uintmax_t)done, (uintmax_t)total);
    w->last = done;
    w->total = total;
    return done < w->stop;
}

static void test_progress(void)
{
    gptoss_error error = {0};
    gptoss_parity_report *report;
    gptoss_reference *reference = open_dump("f32");
    gptoss_executor *executor = open_executor(16, GPTOSS_NUMERICS_F32);
    watch whole = {.stop = UINT64_MAX};
    CHECK(gptoss_parity(executor, reference, NULL, on_progress, &whole, &report, NULL) == GPTOSS_OK,
          "whole");
    CHECK(whole.last == TOKENS && whole.total == TOKENS, "all tokens");
    gptoss_parity_free(report);
    watch part = {.stop = 20};
    CHECK(gptoss_parity(executor, reference, NULL, on_progress, &part, &report, &error) ==
                  GPTOSS_INTERRUPTED &&
              report == NULL && strstr(error.message, "interrupted after 16 of 70 tokens") != NULL,
          "%s", error.message);
    watch pair = {.stop = 2};
    CHECK(gptoss_parity_dumps(reference, reference, NULL, on_progress, &pair, &report, &error) ==
                  GPTOSS_INTERRUPTED &&
              report == NULL,
          "%s", error.message);
    gptoss_executor_close(executor);
    gptoss_reference_close(reference);
}

int main(void)
{
    gptoss_error error = {0};
    scratch_begin();
    CHECK(gptoss_model_open(CHECKPOINT, &model, &error) == GPTOSS_OK, "%s", error.message);
    if (model == NULL)
        return test_result();
    config = gptoss_model_config(model);
    for (uint32_t i = 0; i < TOKENS; i++)
        tokens[i] = (i * 31 + i * i * 7 + 3) % config->vocab;
    test_own_dump();
    test_numerics();
    test_selected_positions();
    test_selected_stages();
    test_changes();
    test_not_finite();
    test_broken_model();
    test_first_layers();
    test_flips();
    test_excused_rows();
    test_order();
    test_refusals();
    test_refused_pairs();
    test_progress();
    gptoss_model_close(model);
    return test_result();
}
