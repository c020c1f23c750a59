/* gptoss perplexity: how well a model predicts a text, in overlapping windows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "input.h"
#include "json_writer.h"
#include "runtime.h"

/* The sums over the tokens scored so far, in double precision. */
typedef struct score {
    uint64_t tokens;
    double sum;     /* of negative logarithmic likelihoods, in nats */
    double squares; /* of their distances from `shift` */
    double shifted; /* sum of those distances */
    double shift;   /* the first value: keeps the squares small */
} score;

static void score_add(score *of, double nll)
{
    if (of->tokens == 0)
        of->shift = nll;
    of->tokens++;
    of->sum += nll;
    of->shifted += nll - of->shift;
    of->squares += (nll - of->shift) * (nll - of->shift);
}

static double score_mean(const score *of)
{
    return of->sum / (double)of->tokens;
}

/* Of the mean: the sample's standard deviation over the square root of its size. */
static double score_standard_error(const score *of)
{
    double count = (double)of->tokens;
    if (of->tokens < 2)
        return NAN;
    double variance = (of->squares - of->shifted * of->shifted / count) / (count - 1.0);
    return sqrt(fmax(variance, 0.0) / count);
}

/* ---- windows --------------------------------------------------------------------------------- */

/*
 *   ids      0 1 2 3 4 5 6 7 8 9
 *   window   [-----------]            begin 0, end 6, scores 1..5
 *                  [-----------]      begin 3, end 9, scores 6..8
 */
typedef struct window {
    size_t begin, end; /* of its tokens */
    size_t first;      /* the first token that it scores; predicted by the one before */
} window;

/* Scores the tokens that `rows` rows at `position` of the window predict. */
static gptoss_status score_rows(runtime *opened, const uint32_t *ids, const window *at,
                                size_t position, size_t rows, gptoss_row *row, score *total,
                                gptoss_error *error)
{
    for (size_t i = 0; i < rows; i++) {
        size_t next = at->begin + position + i + 1;
        row[i] = (gptoss_row){opened->sequence, (uint32_t)(position + i), ids[next - 1],
                              next >= at->first};
    }
    const float *logits;
    gptoss_status status = gptoss_executor_forward(opened->executor, row, rows, &logits, error);
    if (status != GPTOSS_OK)
        return status;
    uint32_t vocab = gptoss_model_config(opened->model)->vocab;
    for (size_t i = 0; i < rows; i++) {
        if (!row[i].want_logits)
            continue;
        score_add(total, -gptoss_logprob(logits, vocab, ids[at->begin + position + i + 1]));
        logits += vocab;
    }
    return GPTOSS_OK;
}

/* The last token of a window is predicted but predicts nothing, so it is not fed. */
static gptoss_status score_window(runtime *opened, const uint32_t *ids, const window *at,
                                  gptoss_row *row, score *total, gptoss_error *error)
{
    size_t count = at->end - at->begin - 1;
    size_t most = gptoss_executor_chunk(opened->executor);
    gptoss_status status = GPTOSS_OK;
    gptoss_sequence_clear(opened->sequence);
    for (size_t position = 0; position < count && status == GPTOSS_OK; position += most) {
        size_t rows = count - position < most ? count - position : most;
        status = score_rows(opened, ids, at, position, rows, row, total, error);
    }
    return status;
}

static int score_text(runtime *opened, const options *given, const input_ids *text, score *total)
{
    size_t length = (size_t)given->context;
    size_t chunk = gptoss_executor_chunk(opened->executor);
    gptoss_row *row = console_resize(NULL, chunk, sizeof *row);
    gptoss_error error = {.status = GPTOSS_INTERRUPTED};
    gptoss_status status = GPTOSS_OK;
    window at = {0, 0, 1};
    while (at.end < text->count && status == GPTOSS_OK) {
        at.end = text->count - at.begin < length ? text->count : at.begin + length;
        if (!console_progress(NULL, "perplexity", at.first, text->count))
            status = GPTOSS_INTERRUPTED;
        else
            status = score_window(opened, text->ids, &at, row, total, &error);
        at.begin += (size_t)given->stride;
        at.first = at.end > at.begin + 1 ? at.end : at.begin + 1;
    }
    free(row);
    console_progress(NULL, "perplexity", 1, 1);
    return status == GPTOSS_OK ? EXIT_GOOD : console_error(&error);
}

/* ---- the command ----------------------------------------------------------------------------- */

static void report(const runtime *opened, const options *given, const score *total, double seconds)
{
    double nll = score_mean(total);
    double deviation = score_standard_error(total);
    char tokens[CONSOLE_NUMBER];
    if (given->json) {
        json_writer json = JSON_WRITER(stdout);
        json_put_object(&json, NULL);
        json_put_whole(&json, "tokens", total->tokens);
        json_put_real(&json, "nll", nll);
        json_put_real(&json, "perplexity", exp(nll));
        json_put_real(&json, "stderr", deviation);
        json_put_real(&json, "perplexity_stderr", exp(nll) * deviation);
        json_put_whole(&json, "context", (uint64_t)given->context);
        json_put_whole(&json, "stride", (uint64_t)given->stride);
        runtime_put_run(&json, opened->executor);
        json_put_real(&json, "seconds", seconds);
        json_end_object(&json);
        putchar('\n');
        return;
    }
    printf("tokens      %s\nnll         %.6f +/- %.6f\nperplexity  %.4f +/- %.4f\n",
           format_count(total->tokens, tokens), nll, deviation, exp(nll), exp(nll) * deviation);
}

static int measure(runtime *opened, const options *given, const input_ids *text)
{
    score total = {.tokens = 0};
    double start = console_seconds();
    if (text->count < 2)
        return console_usage(given->command, "expected a text of at least 2 tokens, found %zu",
                             text->count);
    console_catch_interrupt();
    int status = score_text(opened, given, text, &total);
    if (status == EXIT_GOOD)
        status = runtime_check_weights(opened);
    if (status != EXIT_GOOD)
        return status;
    if (!isfinite(score_mean(&total))) {
        console_note("the likelihood is no number: the model gives NaN or infinity");
        return EXIT_FAILED;
    }
    report(opened, given, &total, console_seconds() - start);
    return EXIT_GOOD;
}

static int check_flags(const options *given)
{
    if (given->file == NULL)
        return console_usage(given->command, "expected a text, -f FILE, found none");
    if (given->stride > given->context)
        return console_usage(given->command,
                             "--stride: expected at most the window of %lld tokens, found %lld",
                             (long long)given->context, (long long)given->stride);
    return EXIT_GOOD;
}

int run_perplexity(const options *given)
{
    runtime opened = {.model = NULL};
    input_ids text = {NULL, 0};
    int status = check_flags(given);
    if (status == EXIT_GOOD)
        status = runtime_open_model(&opened, given);
    if (status == EXIT_GOOD)
        status = runtime_open_tokenizer(&opened, given, true);
    if (status == EXIT_GOOD)
        status = input_tokens(given, opened.tokenizer, gptoss_model_config(opened.model)->vocab,
                              NULL, &text);
    if (status == EXIT_GOOD)
        status = runtime_open_sequence(&opened, given, 0, (uint64_t)given->context);
    if (status == EXIT_GOOD)
        status = runtime_open_executor(&opened, given, GPTOSS_NUMERICS_F32);
    if (status == EXIT_GOOD)
        status = measure(&opened, given, &text);
    free(text.ids);
    runtime_close(&opened);
    return status;
}
