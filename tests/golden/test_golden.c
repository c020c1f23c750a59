/*
 * Runs the checkpoints of tests/golden and compares logits and hidden states with what transformers
 * and OpenAI's torch code made of them (tools/reference/golden.py wrote both), and our own results
 * with each other: chunks and threads must not change a bit, nor layouts with the same weights;
 * experts that are stored as plain numbers are multiplied in another way than MXFP4.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "check.h"
#include "checkpoint/safetensors.h"
#include "gptoss.h"

#define PATH_ROOM    1024
#define MOST_LAYOUTS 3
#define NMSE_LIMIT   1e-10
#define DIFFER_LIMIT 1e-4F /* in any logit or hidden value; these are of unit scale */

typedef struct golden_case {
    const char *name;
    const char *layouts[MOST_LAYOUTS + 1]; /* then NULL */
    const char *oracles[3];                /* then NULL */
} golden_case;

static const golden_case cases[] = {
    {"published", {"original", "hf-mxfp4", "hf"}, {"transformers", "openai"}},
    {"uneven", {"hf"}, {"transformers"}},
};

/* ---- an oracle's results --------------------------------------------------------------------- */

typedef struct truth {
    file_map map;
    safetensors file;
    uint32_t *ids;
    size_t count;
} truth;

static void truth_free(truth *t)
{
    free(t->ids);
    safetensors_free(&t->file);
    file_map_close(&t->map);
}

static bool truth_open(const char *name, const char *oracle, truth *out)
{
    char path[PATH_ROOM];
    gptoss_error error;
    *out = (truth){0};
    snprintf(path, sizeof path, "%s/%s/%s.safetensors", GOLDEN_DIR, name, oracle);
    gptoss_status status = file_map_open(path, &out->map, &error);
    if (status == GPTOSS_OK)
        status = safetensors_parse(out->map.data, out->map.size, path, &out->file, &error);
    CHECK(status == GPTOSS_OK, "%s", error.message);
    if (status != GPTOSS_OK)
        return false;
    const tensor *ids = safetensors_find(&out->file, "ids");
    CHECK(ids && ids->type == DTYPE_I32 && ids->bytes > 0, "%s has no ids", path);
    if (!ids || ids->bytes == 0)
        return false;
    out->count = (size_t)ids->shape[0];
    out->ids = malloc(ids->bytes);
    memcpy(out->ids, ids->data, ids->bytes);
    return true;
}

/* ---- our results ----------------------------------------------------------------------------- */

typedef struct outcome {
    size_t tokens;
    size_t done; /* tokens of the forward passes before this one */
    gptoss_config config;
    float *hidden; /* [layers + 1, tokens, hidden] */
    float *logits; /* [tokens, vocab] */
} outcome;

static void outcome_free(outcome *o)
{
    free(o->hidden);
    free(o->logits);
}

static void keep_hidden(void *user, const gptoss_tap_view *view)
{
    outcome *o = user;
    if (view->stage != GPTOSS_STAGE_EMBEDDING && view->stage != GPTOSS_STAGE_RESIDUAL)
        return;
    size_t place = view->stage == GPTOSS_STAGE_EMBEDDING ? 0 : view->layer + 1;
    CHECK(view->columns == o->config.hidden, "%zu columns", view->columns);
    memcpy(o->hidden + (place * o->tokens + o->done) * view->columns, view->data,
           view->rows * view->columns * sizeof *view->data);
}

static gptoss_status feed(gptoss_executor *executor, gptoss_sequence *sequence, const truth *t,
                          size_t chunk, outcome *o, gptoss_error *error)
{
    gptoss_row *rows = calloc(chunk, sizeof *rows);
    gptoss_status status = GPTOSS_OK;
    for (o->done = 0; o->done < t->count && status == GPTOSS_OK;) {
        size_t count = t->count - o->done < chunk ? t->count - o->done : chunk;
        for (size_t i = 0; i < count; i++)
            rows[i] = (gptoss_row){sequence, (uint32_t)(o->done + i), t->ids[o->done + i], true};
        const float *logits = NULL;
        status = gptoss_executor_forward(executor, rows, count, &logits, error);
        if (status == GPTOSS_OK)
            memcpy(o->logits + o->done * o->config.vocab, logits,
                   count * o->config.vocab * sizeof *logits);
        o->done += count;
    }
    free(rows);
    return status;
}

/* Runs the oracle's tokens in chunks; false after a failed check. */
static bool run(const gptoss_model *model, const truth *t, uint32_t chunk, uint32_t threads,
                outcome *o)
{
    gptoss_error error;
    gptoss_executor *executor = NULL;
    gptoss_sequence *sequence = NULL;
    gptoss_executor_options options = {.threads = threads, .chunk = chunk};
    *o = (outcome){.tokens = t->count, .config = *gptoss_model_config(model)};
    o->hidden = calloc((o->config.layers + 1) * t->count * o->config.hidden, sizeof *o->hidden);
    o->logits = calloc(t->count * o->config.vocab, sizeof *o->logits);
    gptoss_status status = gptoss_executor_open(model, &options, &executor, &error);
    if (status == GPTOSS_OK)
        status = gptoss_sequence_open(
            model, &(gptoss_sequence_options){.context = (uint32_t)t->count, .chunk = chunk},
            &sequence, &error);
    if (status == GPTOSS_OK) {
        gptoss_executor_tap(executor, keep_hidden, o);
        status = feed(executor, sequence, t, chunk, o, &error);
    }
    CHECK(status == GPTOSS_OK, "%s", error.message);
    gptoss_sequence_close(sequence);
    gptoss_executor_close(executor);
    return status == GPTOSS_OK;
}

/* ---- comparisons ----------------------------------------------------------------------------- */

static void compare(const truth *t, const char *name, const float *ours, size_t columns,
                    const char *what)
{
    const tensor *wanted = safetensors_find(&t->file, name);
    size_t count = t->count * columns;
    CHECK(wanted && wanted->type == DTYPE_F32 && wanted->bytes == count * sizeof *ours,
          "%s: %s is missing or of another shape", what, name);
    if (!wanted || wanted->bytes != count * sizeof *ours)
        return;
    double error = 0, power = 0;
    float worst = 0;
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, wanted->data + i * sizeof value, sizeof value);
        double difference = (double)ours[i] - value;
        error += difference * difference;
        power += (double)value * value;
        worst = fmaxf(worst, (float)fabs(difference));
    }
    printf("%s: %s: NMSE %.1e, largest difference %.1e\n", what, name, error / power, worst);
    CHECK(error <= NMSE_LIMIT * power, "%s: %s: NMSE %.2e", what, name, error / power);
    CHECK(worst <= DIFFER_LIMIT, "%s: %s: differs by %.2e", what, name, worst);
}

static void compare_with_oracle(const truth *t, const outcome *o, const char *what)
{
    for (uint32_t layer = 0; layer <= o->config.layers; layer++) {
        char name[32];
        snprintf(name, sizeof name, "hidden.%" PRIu32, layer);
        compare(t, name, o->hidden + layer * t->count * o->config.hidden, o->config.hidden, what);
    }
    compare(t, "logits", o->logits, o->config.vocab, what);
}

static void compare_bits(const outcome *a, const outcome *b, const char *what)
{
    size_t hidden = (a->config.layers + 1) * a->tokens * a->config.hidden;
    size_t logits = a->tokens * a->config.vocab;
    CHECK(memcmp(a->hidden, b->hidden, hidden * sizeof *a->hidden) == 0, "%s changes hidden states",
          what);
    CHECK(memcmp(a->logits, b->logits, logits * sizeof *a->logits) == 0, "%s changes logits", what);
}

static void check_way(const gptoss_model *model, const truth *t, const outcome *whole,
                      const char *what, uint32_t chunk, uint32_t threads)
{
    char change[PATH_ROOM + 64];
    outcome other;
    snprintf(change, sizeof change, "%s: %u threads, chunks of %u,", what, threads, chunk);
    if (run(model, t, chunk, threads, &other))
        compare_bits(whole, &other, change);
    outcome_free(&other);
}

/* Other chunks and threads than those of `whole`. A sliding layer's ring has room for
 * window and chunk, rounded up: of so many chunks, some fill it to the last slot. */
static void check_invariance(const gptoss_model *model, const truth *t, const outcome *whole,
                             const char *what)
{
    for (uint32_t chunk = 1; chunk <= 40; chunk++)
        check_way(model, t, whole, what, chunk, 1);
    check_way(model, t, whole, what, 1, 2);
    check_way(model, t, whole, what, 7, 3);
    check_way(model, t, whole, what, (uint32_t)t->count, 2);
}

static void check_layout(const golden_case *c, const char *layout, const truth *t, outcome *out)
{
    char path[PATH_ROOM];
    gptoss_error error;
    gptoss_model *model = NULL;
    snprintf(path, sizeof path, "%s/%s/%s", GOLDEN_DIR, c->name, layout);
    gptoss_status status = gptoss_model_open(path, &model, &error);
    CHECK(status == GPTOSS_OK, "%s", error.message);
    if (status != GPTOSS_OK)
        return;
    gptoss_model_info info;
    gptoss_model_describe(model, &info);
    CHECK(strcmp(gptoss_layout_name(info.layout), layout) == 0, "%s is taken for %s", path,
          gptoss_layout_name(info.layout));
    CHECK(t->count > 2 * gptoss_model_config(model)->window, "%s: the prompt is short", path);
    if (run(model, t, (uint32_t)t->count, 1, out))
        check_invariance(model, t, out, path + strlen(GOLDEN_DIR) + 1);
    gptoss_model_close(model);
}

static void compare_layouts(const golden_case *c, const truth *t, const char *oracle,
                            const outcome *outcomes)
{
    for (size_t i = 0; c->layouts[i]; i++) {
        char what[128];
        snprintf(what, sizeof what, "%s, %s, %s", c->name, c->layouts[i], oracle);
        if (outcomes[i].logits)
            compare_with_oracle(t, &outcomes[i], what);
    }
}

static void check_case(const golden_case *c)
{
    outcome outcomes[MOST_LAYOUTS] = {{0}};
    truth t;
    if (!truth_open(c->name, c->oracles[0], &t))
        return;
    for (size_t i = 0; c->layouts[i]; i++) {
        check_layout(c, c->layouts[i], &t, &outcomes[i]);
        if (i > 0 && strcmp(c->layouts[i], "hf") != 0 && outcomes[0].logits && outcomes[i].logits)
            compare_bits(&outcomes[0], &outcomes[i], c->layouts[i]);
    }
    truth_free(&t);
    for (size_t i = 0; c->oracles[i]; i++) {
        if (truth_open(c->name, c->oracles[i], &t))
            compare_layouts(c, &t, c->oracles[i], outcomes);
        truth_free(&t);
    }
    for (size_t i = 0; i < MOST_LAYOUTS; i++)
        outcome_free(&outcomes[i]);
}

int main(void)
{
    gptoss_error error;
    if (gptoss_cpu_choose(NULL, &error) == GPTOSS_UNSUPPORTED) {
        printf("skipped: %s\n", error.message);
        return 77;
    }
    printf("kernels: %s\n", gptoss_cpu_level());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_case(&cases[i]);
    return test_result();
}
