/* Products through BLAS against double precision, for every kind of matrix; and passes with it
 * beside passes without. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/random.h"
#include "check.h"
#include "gptoss.h"
#include "kernel/kernel.h"
#include "op/blas.h"

#define AUSTEN GPTOSS_SOURCE_DIR "/models/austen"

/* More rows than two threads decode in a panel each; a part of a group; two lines of columns. */
enum { OUT = 2 * OP_BLAS_PANEL_ROWS + 37, IN = 192, BATCH = 40, STRIDE = OUT + 3, EXPERTS = 3 };

static float w[EXPERTS * OUT * IN]; /* what the matrix at hand holds, [OUT, IN] */
static float x[BATCH * IN];
static float gathered[BATCH * IN];
static float bias[OUT];
static float y[BATCH * STRIDE];
static uint8_t numbers[4 * OUT * IN];
static uint8_t codes[EXPERTS * OUT * IN / 2];
static uint8_t scales[EXPERTS * OUT * IN / 32];
static uint64_t drawn;

static float number(void)
{
    return (float)(2.0 * random_unit(11, 0, drawn++) - 1.0);
}

static void fill(float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = number();
}

/* ---- the operations -------------------------------------------------------------------------- */

typedef struct gemm_case {
    matrix weights;
    const float *bias;
    size_t batch;
    const routing *route; /* or NULL: one map */
} gemm_case;

static void run_gemm(const team *self, void *user)
{
    const gemm_case *c = user;
    product_space space = {gathered, malloc(OP_BLAS_FLOATS(IN) * sizeof *space.own)};
    if (c->route != NULL) {
        matrix_stack stack = {c->weights, EXPERTS};
        op_blas_grouped_linear(self, c->route, &stack, NUMBER_F32, (const uint8_t *)c->bias, x,
                               c->route->source, y, space);
    } else {
        linear_map map = {&c->weights, c->bias, y};
        op_blas_linear_maps(self, &map, 1, x, c->batch, STRIDE, space);
    }
    free(space.own);
}

/* A product of n terms and a bias, in float32 and in any order, is no further from the exact one
 * than (n + 2) 2^-24 of the sum of the magnitudes. */
static void check_row(const char *what, const float *weights, const float *added, size_t row,
                      const float *found)
{
    for (size_t r = 0; r < OUT; r++) {
        double exact = added == NULL ? 0.0 : added[r];
        double size = fabs(exact);
        for (size_t k = 0; k < IN; k++) {
            double term = (double)weights[r * IN + k] * x[row * IN + k];
            exact += term;
            size += fabs(term);
        }
        CHECK(fabs(found[r] - exact) <= (IN + 2) * 0x1p-24 * size, "%s: row %zu, output %zu: %g",
              what, row, r, found[r] - exact);
    }
}

static void check_linear(const char *what, matrix weights)
{
    static const size_t batches[] = {1, OP_BLAS_LEAST_ROWS, BATCH};
    weights.rows = OUT;
    weights.columns = IN;
    for (size_t i = 0; i < 6; i++) {
        gemm_case c = {weights, i % 2 == 0 ? bias : NULL, batches[i / 2], NULL};
        for (size_t at = 0; at < BATCH * (size_t)STRIDE; at++)
            y[at] = NAN; /* what is there before does not matter */
        parallel_run(1 + (uint32_t)i % 3, run_gemm, &c);
        for (size_t b = 0; b < c.batch; b++) {
            check_row(what, w, c.bias, b, y + b * STRIDE);
            CHECK(isnan(y[b * STRIDE + OUT]), "%s: beyond the row", what);
        }
    }
}

static void check_formats(void)
{
    fill(w, (size_t)OUT * IN);
    check_linear("F32", (matrix){.data = (const uint8_t *)w, .format = NUMBER_F32});
    for (size_t i = 0; i < (size_t)OUT * IN; i++) {
        uint16_t rounded = bf16_from_float(w[i]);
        memcpy(numbers + 2 * i, &rounded, 2);
        w[i] = bf16_to_float(rounded);
    }
    check_linear("BF16", (matrix){.data = numbers, .format = NUMBER_BF16});
    for (size_t i = 0; i < sizeof codes; i++)
        codes[i] = (uint8_t)(256 * random_unit(12, 0, drawn++));
    for (size_t i = 0; i < sizeof scales; i++)
        scales[i] = (uint8_t)(120 + 10 * random_unit(13, 0, drawn++));
    kernel()->decode_mxfp4(codes, scales, (size_t)EXPERTS * OUT * IN, w);
    check_linear("MXFP4", (matrix){.data = codes, .scales = scales, .format = NUMBER_MXFP4});
}

/* Three experts, of which one has no rows; leaves y in the order of the places. */
static void check_grouped(void)
{
    uint32_t start[EXPERTS + 1] = {0, 11, 11, BATCH};
    uint32_t source[BATCH]; /* the rows in reverse */
    routing route = {.rows = BATCH, .top = 1, .experts = EXPERTS, .start = start, .source = source};
    for (uint32_t place = 0; place < BATCH; place++)
        source[place] = BATCH - 1 - place;
    float *biases = malloc(EXPERTS * sizeof bias);
    fill(biases, (size_t)EXPERTS * OUT);
    gemm_case c = {
        {.data = codes, .scales = scales, .rows = OUT, .columns = IN, .format = NUMBER_MXFP4},
        biases,
        BATCH,
        &route};
    parallel_run(2, run_gemm, &c);
    for (size_t place = 0; place < BATCH; place++) {
        size_t expert = place < 11 ? 0 : 2;
        check_row("experts", w + expert * OUT * IN, biases + expert * OUT, source[place],
                  y + place * OUT);
    }
    free(biases);
}

/* ---- passes ---------------------------------------------------------------------------------- */

enum { TOKENS = 60 };

/* The logits of the last of TOKENS tokens, and the choice of gemm that was made. */
static float *logits_of(const gptoss_model *model, gptoss_executor_options options,
                        gptoss_gemm *chosen)
{
    gptoss_executor *executor = NULL;
    gptoss_sequence *sequence = NULL;
    gptoss_error error = {GPTOSS_OK, ""};
    uint32_t tokens[TOKENS];
    const float *logits = NULL;
    uint32_t vocab = gptoss_model_config(model)->vocab;
    for (uint32_t i = 0; i < TOKENS; i++)
        tokens[i] = (17 * i + 5) % vocab;
    CHECK(gptoss_executor_open(model, &options, &executor, &error) == GPTOSS_OK, "%s",
          error.message);
    CHECK(gptoss_sequence_open(model, NULL, &sequence, &error) == GPTOSS_OK, "%s", error.message);
    CHECK(gptoss_executor_feed(executor, sequence, tokens, TOKENS, NULL, NULL, &logits, &error) ==
              GPTOSS_OK,
          "%s", error.message);
    float *copy = calloc(vocab, sizeof *copy);
    memcpy(copy, logits, vocab * sizeof *copy);
    *chosen = gptoss_executor_gemm(executor);
    gptoss_sequence_close(sequence);
    gptoss_executor_close(executor);
    return copy;
}

/* The squared difference over the squared logits. */
static double difference(const gptoss_model *model, const float *a, const float *b)
{
    double differences = 0.0;
    double squares = 0.0;
    for (uint32_t i = 0; i < gptoss_model_config(model)->vocab; i++) {
        differences += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        squares += (double)a[i] * a[i];
    }
    return differences / squares;
}

static void check_passes(const gptoss_model *model)
{
    static const uint32_t chunks[] = {TOKENS, 2 * OP_BLAS_LEAST_ROWS + 1};
    gptoss_gemm chosen;
    float *own = logits_of(model, (gptoss_executor_options){.gemm = GPTOSS_GEMM_OWN}, &chosen);
    CHECK(chosen == GPTOSS_GEMM_OWN, "own as asked for");
    for (uint32_t i = 0; i < 4; i++) {
        gptoss_executor_options options = {.threads = 1 + i / 2,
                                           .chunk = chunks[i % 2],
                                           .gemm = GPTOSS_GEMM_BLAS,
                                           .precision = i < 2 ? GPTOSS_PRECISION_F32
                                                              : GPTOSS_PRECISION_BF16};
        float *blas = logits_of(model, options, &chosen);
        double nmse = difference(model, own, blas);
        CHECK(chosen == GPTOSS_GEMM_BLAS, "BLAS as asked for");
        /* Chunks of 17 rows leave one of 9, and all of them go through BLAS, but for the last
         * layer's one row: in bf16 its experts take their inputs in two digits. */
        CHECK(nmse > 0.0 && nmse < (i < 2 ? 1e-10 : 1e-9), "case %u: %g", i, nmse);
        free(blas);
    }
    float *automatic = logits_of(model, (gptoss_executor_options){.threads = 1}, &chosen);
    CHECK(chosen == GPTOSS_GEMM_OWN, "f32 without BLAS unless asked for");
    CHECK(difference(model, own, automatic) == 0.0, "f32 keeps its bits");
    free(automatic);
    free(own);
}

static void check_refused(const gptoss_model *model, gptoss_executor_options options,
                          gptoss_status status, const char *message)
{
    gptoss_error error = {GPTOSS_OK, ""};
    gptoss_executor *executor = NULL;
    CHECK(gptoss_executor_open(model, &options, &executor, &error) == status, "%s", message);
    CHECK(executor == NULL && strcmp(error.message, message) == 0, "%s", error.message);
}

int main(void)
{
    gptoss_model *model = NULL;
    CHECK(gptoss_model_open(AUSTEN, &model, NULL) == GPTOSS_OK, "%s", AUSTEN);
    CHECK((gptoss_blas() == NULL) == (op_blas_library() == NULL), "one answer");
    if (gptoss_blas() == NULL) {
        check_refused(model, (gptoss_executor_options){.gemm = GPTOSS_GEMM_BLAS},
                      GPTOSS_UNSUPPORTED, "gemm blas: this build is without BLAS");
        gptoss_model_close(model);
        return test_result();
    }
    op_blas_prepare();
    fill(x, (size_t)BATCH * IN);
    fill(bias, OUT);
    check_formats();
    check_grouped();
    check_passes(model);
    check_refused(
        model,
        (gptoss_executor_options){.gemm = GPTOSS_GEMM_BLAS, .precision = GPTOSS_PRECISION_Q8},
        GPTOSS_USAGE,
        "gemm blas with precision q8: it multiplies floats and expects precision f32 or "
        "bf16");
    check_refused(
        model,
        (gptoss_executor_options){.gemm = GPTOSS_GEMM_BLAS, .numerics = GPTOSS_NUMERICS_TORCH_BF16},
        GPTOSS_USAGE,
        "gemm blas with numerics torch-bf16: it multiplies floats and expects precision "
        "f32 or bf16");
    check_refused(model, (gptoss_executor_options){.gemm = (gptoss_gemm)3}, GPTOSS_USAGE,
                  "gemm 3: expected that of auto, own or blas");
    gptoss_model_close(model);
    return test_result();
}
