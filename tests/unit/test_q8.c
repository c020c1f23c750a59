/* Dense matrices in 8 bits: near the exact products, the same bits whatever the batch and the
 * threads; and passes of precision q8 on a model prepared with them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/random.h"
#include "check.h"
#include "gptoss.h"
#include "op/fixed.h"
#include "op/q8.h"

#define AUSTEN GPTOSS_SOURCE_DIR "/models/austen"

enum { ROWS = 130, IN = 224, OUT = 75 };

static float w[OUT * IN];
static float x[ROWS * IN];
static float bias[OUT];
static float y[ROWS * OUT];
static float other[ROWS * OUT];

/* ---- the operation --------------------------------------------------------------------------- */

typedef struct q8_case {
    q8_matrix weights;
    size_t first, batch; /* rows of x */
    uint8_t *prepared;
    float *y;
} q8_case;

static void run_q8(const team *self, void *user)
{
    const q8_case *c = user;
    op_quantise(self, x + c->first * IN, c->batch, IN, 1, c->prepared);
    q8_map map = {&c->weights, bias, c->y + c->first * OUT};
    op_q8_linear_maps(self, &map, 1, c->prepared, c->batch, OUT);
}

static q8_matrix round_matrix(void)
{
    matrix from = {.data = (const uint8_t *)w, .rows = OUT, .columns = IN, .format = NUMBER_F32};
    q8_matrix to = {aligned_alloc(64, (q8_bytes(OUT, IN) + 63) / 64 * 64), OUT, IN};
    float *scratch = malloc(OP_Q8_PACK_FLOATS(IN) * sizeof *scratch);
    for (size_t panel = 0; panel * Q8_PANEL_ROWS < OUT; panel++)
        q8_pack_panel(&from, panel, &to, scratch);
    free(scratch);
    return to;
}

/* The root mean square of the errors, relative to that of the products. */
static double error_of(void)
{
    double errors = 0.0;
    double squares = 0.0;
    for (size_t b = 0; b < ROWS; b++) {
        for (size_t r = 0; r < OUT; r++) {
            double exact = 0.0;
            for (size_t k = 0; k < IN; k++)
                exact += (double)w[r * IN + k] * (double)x[b * IN + k];
            double error = (double)y[b * OUT + r] - (double)bias[r] - exact;
            errors += error * error;
            squares += exact * exact;
        }
    }
    return sqrt(errors / squares);
}

static void check_linear(void)
{
    for (size_t i = 0; i < sizeof w / sizeof *w; i++)
        w[i] = (float)(2.0 * random_unit(1, 1, i) - 1.0);
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = (float)(2.0 * random_unit(1, 2, i) - 1.0);
    for (size_t i = 0; i < OUT; i++)
        bias[i] = (float)random_unit(1, 3, i);
    q8_case c = {round_matrix(), 0, ROWS, NULL, y};
    c.prepared = aligned_alloc(64, ROWS * fixed_row_bytes(IN, 1));
    parallel_run(1, run_q8, &c);
    double error = error_of();
    CHECK(error > 1e-4 && error < 1e-2, "relative error %g", error);
    c.y = other;
    for (uint32_t threads = 2; threads <= 5; threads++) {
        memset(other, 0xff, sizeof other);
        parallel_run(threads, run_q8, &c);
        CHECK(memcmp(y, other, sizeof y) == 0, "%u threads", threads);
    }
    for (size_t each = 1; each <= 11; each += 2) {
        memset(other, 0xff, sizeof other);
        for (c.first = 0; c.first < ROWS; c.first += each) {
            c.batch = ROWS - c.first < each ? ROWS - c.first : each;
            parallel_run(2, run_q8, &c);
        }
        CHECK(memcmp(y, other, sizeof y) == 0, "batches of %zu", each);
    }
    free(c.prepared);
    free(c.weights.panels);
}

/* ---- a model --------------------------------------------------------------------------------- */

enum { TOKENS = 24 };

/* The logits of the last of some tokens, fed `chunk` at a time; [vocab], to be freed. */
static float *last_logits(const gptoss_model *model, gptoss_precision precision, uint32_t threads,
                          uint32_t chunk)
{
    uint32_t tokens[TOKENS];
    size_t bytes = gptoss_model_config(model)->vocab * sizeof(float);
    float *kept = malloc(bytes);
    const float *logits = NULL;
    gptoss_executor_options options = {.threads = threads, .chunk = chunk, .precision = precision};
    gptoss_sequence_options room = {.context = TOKENS, .chunk = chunk};
    gptoss_executor *executor = NULL;
    gptoss_sequence *sequence = NULL;
    gptoss_error error = {.message = ""};
    for (uint32_t i = 0; i < TOKENS; i++)
        tokens[i] = 1 + i * 7 % 200;
    CHECK(gptoss_executor_open(model, &options, &executor, &error) == GPTOSS_OK &&
              gptoss_sequence_open(model, &room, &sequence, &error) == GPTOSS_OK &&
              gptoss_executor_feed(executor, sequence, tokens, TOKENS, NULL, NULL, &logits,
                                   &error) == GPTOSS_OK,
          "%s", error.message);
    memcpy(kept, logits, bytes);
    gptoss_sequence_close(sequence);
    gptoss_executor_close(executor);
    return kept;
}

/* The largest difference of logits. */
static double distance(const float *a, const float *b, size_t n)
{
    double most = 0.0;
    for (size_t i = 0; i < n; i++)
        most = fabs((double)a[i] - (double)b[i]) > most ? fabs((double)a[i] - (double)b[i]) : most;
    return most;
}

static void check_model(void)
{
    gptoss_model *model = NULL;
    gptoss_error error = {.message = ""};
    gptoss_prepare_options options = {.requantise = true, .threads = 2};
    CHECK(gptoss_model_open(AUSTEN, &model, &error) == GPTOSS_OK, "%s", error.message);
    size_t n = gptoss_model_config(model)->vocab;
    float *exact = last_logits(model, GPTOSS_PRECISION_F32, 2, 8);
    float *before = last_logits(model, GPTOSS_PRECISION_Q8, 2, 8);
    CHECK(gptoss_model_prepare(model, &options, NULL, NULL, &error) == GPTOSS_OK, "%s",
          error.message);
    CHECK(gptoss_model_prepare(model, &options, NULL, NULL, &error) == GPTOSS_OK, "again: %s",
          error.message);
    float *after = last_logits(model, GPTOSS_PRECISION_Q8, 2, 8);
    float *single = last_logits(model, GPTOSS_PRECISION_Q8, 1, 1);
    float *same = last_logits(model, GPTOSS_PRECISION_F32, 2, 8);
    CHECK(memcmp(exact, same, n * sizeof *same) == 0, "f32 is not touched");
    CHECK(memcmp(before, after, n * sizeof *after) != 0, "q8 takes the rounded weights");
    CHECK(memcmp(single, after, n * sizeof *after) == 0, "q8 depends on chunk or threads");
    CHECK(distance(exact, after, n) < 0.5, "logits are off by %g", distance(exact, after, n));
    free(exact);
    free(before);
    free(after);
    free(single);
    free(same);
    gptoss_model_close(model);
}

int main(void)
{
    check_linear();
    check_model();
    return test_result();
}
