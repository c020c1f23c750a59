/* Batches of several sequences, chunks and refusals, on a small checkpoint; and that a forward pass
 * allocates nothing. */
#include <stdlib.h>
#include <string.h>

#include "allocations.h"
#include "check.h"
#include "gptoss.h"

#define CHECKPOINT GPTOSS_SOURCE_DIR "/tests/golden/published/hf-mxfp4"

/* ---- a model, two sequences ------------------------------------------------------------------ */

enum { LENGTH = 90, CHUNK = 16 };

static gptoss_model *model;
static uint32_t vocab;

static uint32_t token_of(uint32_t sequence, uint32_t position)
{
    return (position * 31 + sequence * 17 + position * position) % vocab;
}

static gptoss_executor *open_precise(uint32_t threads, uint32_t chunk, gptoss_precision precision)
{
    gptoss_executor *executor = NULL;
    gptoss_executor_options options = {
        .threads = threads, .chunk = chunk, .precision = precision, .gemm = GPTOSS_GEMM_OWN};
    CHECK(gptoss_executor_open(model, &options, &executor, NULL) == GPTOSS_OK, "executor");
    return executor;
}

static gptoss_executor *open_executor(uint32_t threads, uint32_t chunk)
{
    return open_precise(threads, chunk, GPTOSS_PRECISION_F32);
}

static gptoss_sequence *open_sequence(uint32_t context, uint32_t chunk)
{
    gptoss_sequence *sequence = NULL;
    CHECK(gptoss_sequence_open(model,
                               &(gptoss_sequence_options){.context = context, .chunk = chunk},
                               &sequence, NULL) == GPTOSS_OK,
          "sequence");
    return sequence;
}

/* Logits of every position of one sequence fed alone, `chunk` rows at a time. */
static float *logits_alone(uint32_t which, uint32_t threads, uint32_t chunk)
{
    gptoss_executor *executor = open_executor(threads, chunk);
    gptoss_sequence *sequence = open_sequence(LENGTH, chunk);
    float *all = malloc((size_t)LENGTH * vocab * sizeof *all);
    for (uint32_t done = 0; done < LENGTH;) {
        gptoss_row rows[LENGTH];
        uint32_t part = LENGTH - done < chunk ? LENGTH - done : chunk;
        const float *logits = NULL;
        for (uint32_t i = 0; i < part; i++)
            rows[i] = (gptoss_row){sequence, done + i, token_of(which, done + i), true};
        CHECK(gptoss_executor_forward(executor, rows, part, &logits, NULL) == GPTOSS_OK, "forward");
        memcpy(all + (size_t)done * vocab, logits, (size_t)part * vocab * sizeof *all);
        done += part;
    }
    gptoss_sequence_close(sequence);
    gptoss_executor_close(executor);
    return all;
}

static void check_chunks(const float *expected)
{
    static const uint32_t chunks[] = {1, 7, 33, LENGTH};
    for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
        for (uint32_t threads = 1; threads <= 3; threads++) {
            float *again = logits_alone(0, threads, chunks[c]);
            CHECK(memcmp(expected, again, (size_t)LENGTH * vocab * sizeof *again) == 0,
                  "chunk %u, %u threads", chunks[c], threads);
            free(again);
        }
    }
}

/* Two sequences in the same batches, uneven and out of step, equal each of them alone. */
static void check_batch_mates(const float *const expected[2])
{
    gptoss_executor *executor = open_executor(2, CHUNK);
    gptoss_sequence *sequences[2] = {open_sequence(LENGTH, CHUNK), open_sequence(LENGTH, CHUNK)};
    uint32_t done[2] = {0, 0};
    while (done[0] < LENGTH || done[1] < LENGTH) {
        gptoss_row rows[CHUNK];
        uint32_t from[CHUNK];
        uint32_t count = 0;
        const float *logits = NULL;
        for (uint32_t i = 0; i < CHUNK; i++) { /* twice as many of the second */
            uint32_t which = i % 3 == 0 ? 0 : 1;
            if (done[which] == LENGTH)
                continue;
            rows[count] =
                (gptoss_row){sequences[which], done[which], token_of(which, done[which]), true};
            from[count++] = which;
            done[which]++;
        }
        CHECK(gptoss_executor_forward(executor, rows, count, &logits, NULL) == GPTOSS_OK, "batch");
        for (uint32_t i = 0; i < count; i++)
            CHECK(memcmp(logits + (size_t)i * vocab,
                         expected[from[i]] + (size_t)rows[i].position * vocab,
                         vocab * sizeof *logits) == 0,
                  "sequence %u, position %u", from[i], rows[i].position);
    }
    gptoss_sequence_close(sequences[0]);
    gptoss_sequence_close(sequences[1]);
    gptoss_executor_close(executor);
}

/* Which rows of a chunk want logits changes no bit of theirs, nor of later chunks'. */
static void check_some_wanted(gptoss_precision precision, uint32_t threads)
{
    enum { PATTERNS = 6 };
    const float *logits = NULL;
    float *expected = malloc((size_t)LENGTH * vocab * sizeof *expected);
    for (uint32_t pattern = 0; pattern < PATTERNS; pattern++) { /* the first: all */
        gptoss_executor *executor = open_precise(threads, CHUNK, precision);
        gptoss_sequence *sequence = open_sequence(LENGTH, CHUNK);
        for (uint32_t done = 0; done < LENGTH;) {
            gptoss_row rows[CHUNK];
            uint32_t part = LENGTH - done < CHUNK ? LENGTH - done : CHUNK;
            for (uint32_t i = 0; i < part; i++)
                rows[i] = (gptoss_row){sequence, done + i, token_of(0, done + i),
                                       (done + i + 1) % (pattern + 1 + pattern / 4 * 25) == 0};
            CHECK(gptoss_executor_forward(executor, rows, part, &logits, NULL) == GPTOSS_OK,
                  "forward");
            for (uint32_t i = 0; i < part; i++) {
                float *row = expected + (size_t)(done + i) * vocab;
                if (!rows[i].want_logits)
                    continue;
                if (pattern == 0)
                    memcpy(row, logits, vocab * sizeof *row);
                CHECK(memcmp(logits, row, vocab * sizeof *row) == 0,
                      "%s, %u threads, pattern %u, position %u", gptoss_precision_name(precision),
                      threads, pattern, done + i);
                logits += vocab;
            }
            done += part;
        }
        gptoss_sequence_close(sequence);
        gptoss_executor_close(executor);
    }
    free(expected);
}

static void check_wanted_rows(const float *expected)
{
    gptoss_executor *executor = open_executor(1, CHUNK);
    gptoss_sequence *sequence = open_sequence(LENGTH, CHUNK);
    gptoss_row rows[5];
    const float *logits = NULL;
    for (uint32_t i = 0; i < 5; i++)
        rows[i] = (gptoss_row){sequence, i, token_of(0, i), i == 1 || i == 4};
    CHECK(gptoss_executor_forward(executor, rows, 5, &logits, NULL) == GPTOSS_OK, "forward");
    CHECK(memcmp(logits, expected + vocab, vocab * sizeof *logits) == 0, "the first wanted row");
    CHECK(memcmp(logits + vocab, expected + (size_t)4 * vocab, vocab * sizeof *logits) == 0,
          "the second wanted row");
    gptoss_sequence_clear(sequence);
    CHECK(gptoss_sequence_length(sequence) == 0, "cleared");
    uint32_t tokens[LENGTH];
    for (uint32_t i = 0; i < LENGTH; i++)
        tokens[i] = token_of(0, i);
    CHECK(gptoss_executor_feed(executor, sequence, tokens, LENGTH, NULL, NULL, &logits, NULL) ==
              GPTOSS_OK,
          "feed");
    CHECK(memcmp(logits, expected + (size_t)(LENGTH - 1) * vocab, vocab * sizeof *logits) == 0,
          "feeding a cleared sequence again");
    gptoss_sequence_close(sequence);
    gptoss_executor_close(executor);
}

/* Says no in the middle of the second chunk of 8. */
static bool stop_within(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user;
    (void)what;
    (void)total;
    return done <= 8;
}

static void check_refusals(void)
{
    gptoss_executor *executor = open_executor(1, CHUNK);
    gptoss_sequence *sequence = open_sequence(20, 8);
    gptoss_error error;
    const gptoss_row wrong_position = {sequence, 1, 0, false};
    const gptoss_row wrong_token = {sequence, 0, vocab, false};
    gptoss_row rows[CHUNK + 1];
    uint32_t tokens[30] = {0};
    for (uint32_t i = 0; i <= CHUNK; i++)
        rows[i] = (gptoss_row){sequence, i, 0, false};
    CHECK(gptoss_executor_forward(executor, &wrong_position, 1, NULL, &error) == GPTOSS_USAGE,
          "position");
    CHECK(gptoss_executor_forward(executor, &wrong_token, 1, NULL, &error) == GPTOSS_USAGE,
          "token");
    CHECK(gptoss_executor_forward(executor, rows, CHUNK + 1, NULL, &error) == GPTOSS_LIMIT,
          "more rows than the executor takes");
    CHECK(gptoss_executor_forward(executor, rows, 9, NULL, &error) == GPTOSS_LIMIT,
          "more rows than the sequence takes");
    CHECK(gptoss_sequence_length(sequence) == 0, "nothing was fed");
    CHECK(gptoss_executor_forward(executor, rows, 0, NULL, &error) == GPTOSS_OK, "no rows");
    CHECK(gptoss_executor_feed(executor, sequence, tokens, 30, NULL, NULL, NULL, &error) ==
              GPTOSS_LIMIT,
          "more than the context");
    gptoss_sequence_clear(sequence);
    CHECK(gptoss_executor_feed(executor, sequence, tokens, 20, stop_within, NULL, NULL, &error) ==
              GPTOSS_INTERRUPTED,
          "interrupted");
    CHECK(gptoss_sequence_length(sequence) == 8, "what was fed before stays");
    CHECK(gptoss_executor_feed(executor, sequence, tokens, 12, NULL, NULL, NULL, &error) ==
              GPTOSS_OK,
          "and goes on");
    gptoss_sequence_close(sequence);
    gptoss_executor_close(executor);

    gptoss_sequence *too_long = NULL;
    uint32_t context = gptoss_model_config(model)->context;
    CHECK(gptoss_sequence_open(model, &(gptoss_sequence_options){.context = context + 1}, &too_long,
                               &error) == GPTOSS_LIMIT &&
              too_long == NULL,
          "a context beyond the model's");
    CHECK(gptoss_sequence_open(model, &(gptoss_sequence_options){.chunk = GPTOSS_MAX_CHUNK + 1},
                               &too_long, &error) == GPTOSS_LIMIT,
          "a chunk beyond the bound");
    const gptoss_executor_options wrong[] = {{.threads = 1, .chunk = GPTOSS_MAX_CHUNK + 1},
                                             {.threads = 100000}};
    for (size_t i = 0; i < 2; i++)
        CHECK(gptoss_executor_open(model, &wrong[i], &executor, &error) == GPTOSS_LIMIT &&
                  executor == NULL,
              "options %zu", i);
}

static void ignore_stage(void *user, const gptoss_tap_view *view)
{
    (void)user;
    (void)view;
}

static void check_allocations(gptoss_numerics numerics, gptoss_tap_fn tap)
{
    gptoss_executor *executor = NULL;
    gptoss_executor_options options = {
        1, CHUNK, numerics, GPTOSS_PRECISION_F32, GPTOSS_PIN_AUTO, GPTOSS_GEMM_AUTO};
    CHECK(gptoss_executor_open(model, &options, &executor, NULL) == GPTOSS_OK, "executor");
    gptoss_executor_tap(executor, tap, NULL);
    gptoss_sequence *sequence = open_sequence(LENGTH, CHUNK);
    uint32_t tokens[LENGTH] = {0};
    const float *logits;
    CHECK(gptoss_executor_feed(executor, sequence, tokens, 1, NULL, NULL, &logits, NULL) ==
              GPTOSS_OK,
          "the first pass");
    long before = allocations.made;
    CHECK(gptoss_executor_feed(executor, sequence, tokens, 40, NULL, NULL, &logits, NULL) ==
              GPTOSS_OK,
          "a prompt");
    for (int i = 0; i < 5; i++)
        CHECK(gptoss_executor_feed(executor, sequence, tokens, 1, NULL, NULL, &logits, NULL) ==
                  GPTOSS_OK,
              "a token");
    CHECK(allocations.made == before, "%ld allocations in forward passes",
          allocations.made - before);
    CHECK(!ALLOCATIONS_COUNTED || before > 0, "allocations are counted");
    gptoss_sequence_close(sequence);
    gptoss_executor_close(executor);
}

int main(void)
{
    gptoss_error error;
    CHECK(gptoss_model_open(CHECKPOINT, &model, &error) == GPTOSS_OK, "%s", error.message);
    if (model == NULL)
        return test_result();
    vocab = gptoss_model_config(model)->vocab;
    float *const expected[2] = {logits_alone(0, 1, CHUNK), logits_alone(1, 1, CHUNK)};
    check_chunks(expected[0]);
    check_batch_mates((const float *const *)expected);
    check_wanted_rows(expected[0]);
    for (uint32_t prepared = 0; prepared < 2; prepared++) { /* then with 8-bit attention, packed */
        for (uint32_t threads = 1; threads <= 3; threads++) {
            check_some_wanted(GPTOSS_PRECISION_F32, threads);
            check_some_wanted(GPTOSS_PRECISION_BF16, threads);
            check_some_wanted(GPTOSS_PRECISION_Q8, threads);
        }
        const gptoss_prepare_options options = {.pack = true, .requantise = true, .threads = 1};
        CHECK(gptoss_model_prepare(model, &options, NULL, NULL, &error) == GPTOSS_OK, "%s",
              error.message);
    }
    check_refusals();
    check_allocations(GPTOSS_NUMERICS_F32, NULL);
    check_allocations(GPTOSS_NUMERICS_TORCH_BF16, ignore_stage);
    free(expected[0]);
    free(expected[1]);
    gptoss_model_close(model);
    return test_result();
}
