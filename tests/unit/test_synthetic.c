/* Models of random weights: those of make-checkpoint, of sane scale, each expert its own. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "gptoss.h"
#include "model/model.h"
#include "scratch.h"

static gptoss_config small_config(void)
{
    gptoss_config config;
    CHECK(gptoss_config_published("20b", &config), "20b");
    config.layers = 3;
    config.hidden = 256;
    config.intermediate = 128;
    config.vocab = 500;
    config.heads = 8;
    config.kv_heads = 2;
    config.head_dim = 32;
    return config;
}

static gptoss_model *make(const gptoss_config *config, uint64_t seed, bool with_winners,
                          uint32_t threads)
{
    gptoss_model *model = NULL;
    gptoss_error error = {GPTOSS_OK, ""};
    CHECK(gptoss_model_open_synthetic(config, seed, with_winners, threads, NULL, NULL, &model,
                                      &error) == GPTOSS_OK,
          "%s", error.message);
    return model;
}

static void check_published(void)
{
    static const struct {
        const char *name;
        uint32_t layers, experts;
    } known[] = {{"20b", 24, 32}, {"120b", 36, 128}};
    for (size_t i = 0; i < 2; i++) {
        gptoss_config config;
        CHECK(gptoss_config_published(known[i].name, &config), "%s", known[i].name);
        CHECK(config.layers == known[i].layers && config.experts == known[i].experts, "%s",
              known[i].name);
        CHECK(config.hidden == 2880 && config.vocab == 201088 && config.experts_per_token == 4 &&
                  config.heads == 64 && config.kv_heads == 8 && config.head_dim == 64 &&
                  config.window == 128 && config.context == 131072 && config.attention_bias &&
                  config.sliding[0] && !config.sliding[1],
              "%s", known[i].name);
    }
    CHECK(!gptoss_config_published("7b", &(gptoss_config){0}), "no such");
}

/* ---- what is made ---------------------------------------------------------------------------- */

/* The same tensors, byte for byte. */
static void check_same(const gptoss_model *a, const gptoss_model *b, const char *what)
{
    size_t count = checkpoint_tensor_count(a->files);
    CHECK(count == checkpoint_tensor_count(b->files), "%s: %zu tensors", what, count);
    for (size_t i = 0; i < count; i++) {
        const tensor *one = checkpoint_tensor(a->files, i);
        const tensor *other = checkpoint_tensor(b->files, i);
        CHECK(strcmp(one->name, other->name) == 0 && one->bytes == other->bytes &&
                  one->type == other->type,
              "%s: %s and %s", what, one->name, other->name);
        CHECK(memcmp(one->data, other->data, one->bytes) == 0, "%s: %s", what, one->name);
    }
}

static void check_make_checkpoint(bool with_winners)
{
    char command[4096];
    const char *directory = scratch_path(with_winners ? "winners" : "made");
    gptoss_model *written = NULL;
    gptoss_error error = {GPTOSS_OK, ""};
    snprintf(command, sizeof command, "%s -o %s --preset tiny --layers 3 --seed 5 %s >/dev/null",
             GPTOSS_MAKE_CHECKPOINT, directory, with_winners ? "--winners" : "");
    CHECK(system(command) == 0, "%s", command); /* NOLINT(cert-env33-c,concurrency-mt-unsafe) */
    CHECK(gptoss_model_open(directory, &written, &error) == GPTOSS_OK, "%s", error.message);
    gptoss_model *alone = make(gptoss_model_config(written), 5, with_winners, 1);
    gptoss_model *shared = make(gptoss_model_config(written), 5, with_winners, 3);
    check_same(alone, written, "make-checkpoint's");
    check_same(alone, shared, "on three threads");
    CHECK(strcmp(gptoss_model_directory(alone), "synthetic") == 0, "no directory");
    gptoss_memory memory;
    gptoss_model_forecast(alone, NULL, &memory);
    CHECK(memory.weights == 0, "they are there already");
    gptoss_model_close(written);
    gptoss_model_close(alone);
    gptoss_model_close(shared);
}

static void check_experts(const gptoss_model *model)
{
    for (uint32_t layer = 0; layer < model->config.layers; layer++)
        for (uint32_t a = 0; a < model->config.experts; a++)
            for (uint32_t b = a + 1; b < model->config.experts; b++) {
                matrix one = matrix_stack_at(&model->weights.layers[layer].gate_up, a);
                matrix other = matrix_stack_at(&model->weights.layers[layer].gate_up, b);
                CHECK(memcmp(one.data, other.data, one.rows * one.columns / 2) != 0,
                      "experts %u and %u of layer %u", a, b, layer);
            }
}

/* ---- what it computes ------------------------------------------------------------------------ */

typedef struct seen {
    double squares; /* of normed outputs of blocks */
    uint64_t values;
    double largest; /* of the residual */
    uint32_t chosen[32];
} seen;

static void look(void *user, const gptoss_tap_view *view)
{
    seen *s = user;
    for (size_t row = 0; row < view->rows; row++)
        for (size_t i = 0; i < view->columns; i++) {
            if (view->stage == GPTOSS_STAGE_EXPERTS && view->layer == 1)
                s->chosen[view->ids[row * view->columns + i]]++;
            if (view->stage != GPTOSS_STAGE_RESIDUAL)
                continue;
            double value = gptoss_tap_piece(view, row, 0)[i];
            s->squares += value * value;
            s->values++;
            s->largest = fabs(value) > s->largest ? fabs(value) : s->largest;
        }
}

static void check_activations(const gptoss_model *model)
{
    enum { ROWS = 200 };
    uint32_t tokens[ROWS];
    seen s = {0};
    gptoss_executor *executor = NULL;
    gptoss_sequence *sequence = NULL;
    CHECK(gptoss_executor_open(model, NULL, &executor, NULL) == GPTOSS_OK, "executor");
    CHECK(gptoss_sequence_open(model, NULL, &sequence, NULL) == GPTOSS_OK, "sequence");
    gptoss_executor_tap(executor, look, &s);
    for (uint32_t i = 0; i < ROWS; i++)
        tokens[i] = i * 7 % 500;
    CHECK(gptoss_executor_feed(executor, sequence, tokens, ROWS, NULL, NULL, NULL, NULL) ==
              GPTOSS_OK,
          "feed");
    double rms = sqrt(s.squares / (double)s.values);
    CHECK(rms > 0.3 && rms < 10.0 && s.largest < 100.0, "rms %g, largest %g", rms, s.largest);
    for (uint32_t expert = 0; expert < 32; expert++) /* 25 in the mean */
        CHECK(s.chosen[expert] > 0 && s.chosen[expert] < 4 * ROWS / 4, "expert %u: %u rows", expert,
              s.chosen[expert]);
    gptoss_sequence_close(sequence);
    gptoss_executor_close(executor);
}

/* How far the logit of the token behind `token` stands above the mean of all, in standard
 * deviations. */
static double margin_behind(gptoss_executor *executor, const gptoss_model *model, uint32_t token)
{
    gptoss_sequence *sequence = NULL;
    const float *logits = NULL;
    uint32_t vocab = model->config.vocab > 0 ? model->config.vocab : 1;
    double sum = 0.0;
    double squares = 0.0;
    CHECK(gptoss_sequence_open(model, NULL, &sequence, NULL) == GPTOSS_OK, "sequence");
    CHECK(gptoss_executor_feed(executor, sequence, &token, 1, NULL, NULL, &logits, NULL) ==
              GPTOSS_OK,
          "feed");
    for (uint32_t id = 0; id < vocab; id++) {
        sum += logits[id];
        squares += (double)logits[id] * logits[id];
    }
    double mean = sum / vocab;
    double margin = (logits[(token + 1) % vocab] - mean) / sqrt(squares / vocab - mean * mean);
    gptoss_sequence_close(sequence);
    return margin;
}

static void check_winners(gptoss_config config)
{
    gptoss_executor *executor = NULL;
    config.hidden = 1024;
    for (config.layers = 1; config.layers <= 6; config.layers += 5) {
        gptoss_model *model = make(&config, 1, true, 0);
        double sum = 0.0;
        CHECK(gptoss_executor_open(model, NULL, &executor, NULL) == GPTOSS_OK, "executor");
        for (uint32_t token = 0; token < config.vocab; token += 499 / 7) {
            double margin = margin_behind(executor, model, token);
            CHECK(margin > 5.0 && margin < 11.0, "%u layers, token %u: %g", config.layers, token,
                  margin);
            sum += margin / 8.0;
        }
        CHECK(fabs(sum - 8.0) < 1.0, "%u layers: %g", config.layers, sum);
        gptoss_executor_close(executor);
        gptoss_model_close(model);
    }
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void check_refused(gptoss_config config, gptoss_status expected, const char *part)
{
    gptoss_model *model = NULL;
    gptoss_error error = {GPTOSS_OK, ""};
    CHECK(gptoss_model_open_synthetic(&config, 1, false, 1, NULL, NULL, &model, &error) == expected,
          "%s: %d, %s", part, (int)error.status, error.message);
    CHECK(model == NULL && strstr(error.message, part) != NULL, "%s: %s", part, error.message);
}

static bool stop(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user;
    (void)what;
    return done * 2 < total;
}

static void check_refusals(void)
{
    gptoss_config config = small_config();
    config.hidden = 250;
    check_refused(config, GPTOSS_UNSUPPORTED, "multiples of 32");
    config = small_config();
    config.layers = 0;
    check_refused(config, GPTOSS_LIMIT, "1 to 1024 layers");
    config = small_config();
    config.heads = 7;
    check_refused(config, GPTOSS_FORMAT, "multiple of num_key_value_heads");
    CHECK(gptoss_config_published("120b", &config), "120b");
    config.layers = 1024;
    check_refused(config, GPTOSS_MEMORY, "fewer layers take less");
    config = small_config();
    gptoss_model *model = NULL;
    CHECK(gptoss_model_open_synthetic(&config, 1, false, 2, stop, NULL, &model, NULL) ==
              GPTOSS_INTERRUPTED,
          "stopped");
    CHECK(model == NULL, "none");
}

int main(void)
{
    scratch_begin();
    check_published();
    check_make_checkpoint(false);
    check_make_checkpoint(true);
    gptoss_config config = small_config();
    gptoss_model *model = make(&config, 1, false, 0);
    check_experts(model);
    check_activations(model);
    gptoss_model_close(model);
    check_winners(config);
    check_refusals();
    return test_result();
}
