/* gptoss bench: how fast prompts are read and tokens generated. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#include "list.h"
#include "runtime.h"

#define MOST_PRECISIONS 3
static const gptoss_precision precisions[MOST_PRECISIONS] = {
    GPTOSS_PRECISION_F32, GPTOSS_PRECISION_BF16, GPTOSS_PRECISION_Q8};

typedef struct bench {
    bench_run run;
    const bench_format *format;
    list prompts, generations, depths, threads, precisions;
    runtime opened;             /* the model; sequence and executor of the present tests */
    uint32_t filled;            /* tokens of the sequence that tests at a depth share */
    uint32_t *tokens;           /* [longest] random ones */
    uint64_t peak;              /* memory, of what was reset */
    gptoss_probe_result probed; /* the last one, */
    bool fresh;                 /* which is as good as a new one */
    char label[2 * BENCH_NAME]; /* of the progress */
    bench_result *results;      /* [count] printed */
    size_t count;
} bench;

/* ---- the parts of a test --------------------------------------------------------------------- */

static bool show_progress(void *user, const char *what, uint64_t done, uint64_t total)
{
    const bench *b = user;
    (void)what;
    return console_progress(NULL, b->label, done, total);
}

static void note_peak(bench *b)
{
    uint64_t now = bench_peak_memory();
    b->peak = now > b->peak ? now : b->peak;
    b->run.peak_bytes = b->peak;
}

/* Measures the machine, unless the last measurement still holds. What that takes of memory is kept
 * out of the peak. */
static gptoss_status probe(bench *b, uint32_t threads, gptoss_probe_result *out,
                           gptoss_error *error)
{
    gptoss_status status = GPTOSS_OK;
    if (!b->fresh || b->probed.threads != threads) {
        note_peak(b);
        status = gptoss_probe(threads, &b->probed, error);
        bench_reset_peak_memory();
    }
    b->fresh = status == GPTOSS_OK;
    *out = b->probed;
    return status;
}

static gptoss_status feed(bench *b, uint32_t from, uint32_t count, const float **logits,
                          gptoss_error *error)
{
    return gptoss_executor_feed(b->opened.executor, b->opened.sequence, b->tokens + from, count,
                                show_progress, b, logits, error);
}

/* Leaves exactly `depth` tokens in the sequence: those that are there, or fed anew. */
static gptoss_status reach_depth(bench *b, uint32_t depth, gptoss_error *error)
{
    gptoss_sequence *sequence = b->opened.sequence;
    uint32_t kept = depth < b->filled ? depth : b->filled;
    if (kept > gptoss_sequence_length(sequence)) /* a fill was interrupted */
        kept = gptoss_sequence_length(sequence);
    if (gptoss_sequence_rewind(sequence, kept, error) != GPTOSS_OK) {
        gptoss_sequence_clear(sequence);
        kept = 0;
    }
    b->filled = kept;
    if (kept == depth)
        return GPTOSS_OK;
    b->fresh = false;
    gptoss_status status = feed(b, kept, depth - kept, NULL, error);
    b->filled = status == GPTOSS_OK ? depth : 0;
    return status;
}

static bool go_on(void *user, const gptoss_generated *token)
{
    (void)user;
    (void)token;
    return !console_interrupted();
}

/* Greedy, with one token as the prompt, so that there are as many passes as tokens. */
static gptoss_status generate(bench *b, const uint32_t *prompt, size_t prompt_count, uint32_t count,
                              gptoss_error *error)
{
    gptoss_request request = {.prompt = prompt,
                              .prompt_count = prompt_count,
                              .max_tokens = count,
                              .sampling = {0.0F, 0, 1.0F, 0.0F, 0},
                              .ignore_stops = true,
                              .on_token = go_on};
    gptoss_result result;
    gptoss_status status =
        gptoss_generate(b->opened.executor, b->opened.sequence, NULL, &request, &result, error);
    if (status == GPTOSS_OK && console_interrupted())
        status = error->status = GPTOSS_INTERRUPTED;
    return status;
}

/* The timed part, or a shorter one of `tokens` tokens. */
static gptoss_status run_test(bench *b, const bench_test *test, uint32_t tokens,
                              gptoss_error *error)
{
    const float *logits;
    if (test->prompt > 0)
        return feed(b, 0, tokens, &logits, error);
    return generate(b, b->tokens, 1, tokens, error);
}

static void add_used(gptoss_statistics *total, const gptoss_statistics *before,
                     const gptoss_statistics *after)
{
    const uint64_t *from = (const uint64_t *)(const void *)before;
    const uint64_t *to = (const uint64_t *)(const void *)after;
    uint64_t *sum = (uint64_t *)(void *)total;
    for (size_t i = 0; i < sizeof *total / sizeof *sum; i++)
        sum[i] += to[i] - from[i];
}

static gptoss_status repeat(bench *b, bench_result *result, gptoss_error *error)
{
    gptoss_statistics before, after;
    const bench_test *test = &result->test;
    gptoss_status status = reach_depth(b, test->depth, error);
    if (status != GPTOSS_OK)
        return status;
    gptoss_executor_statistics(b->opened.executor, &before);
    double start = console_seconds();
    status = run_test(b, test, bench_test_tokens(test), error);
    double seconds = console_seconds() - start;
    gptoss_executor_statistics(b->opened.executor, &after);
    if (status != GPTOSS_OK)
        return status;
    add_used(&result->used, &before, &after);
    result->samples[result->count++] = (uint64_t)(1e9 * seconds);
    return GPTOSS_OK;
}

static gptoss_status warm_up(bench *b, const bench_test *test, gptoss_error *error)
{
    gptoss_status status = reach_depth(b, test->depth, error);
    if (status == GPTOSS_OK && !b->run.given->no_warmup)
        status = run_test(b, test, test->prompt > 0 ? test->prompt : 1, error);
    return status;
}

/* All repetitions of a test between two probes. What an interruption leaves of them counts. */
static gptoss_status measure(bench *b, bench_result *result, gptoss_error *error)
{
    char name[BENCH_NAME];
    const bench_test *test = &result->test;
    size_t wanted = (size_t)b->run.given->repetitions;
    bench_test_name(test, name);
    snprintf(b->label, sizeof b->label, "%s", name);
    gptoss_status status = warm_up(b, test, error);
    if (status == GPTOSS_OK)
        status = probe(b, test->threads, &result->before, error);
    b->fresh = false;
    while (status == GPTOSS_OK && result->count < wanted) {
        snprintf(b->label, sizeof b->label, "%s, %zu of %zu", name, result->count + 1, wanted);
        status = repeat(b, result, error);
    }
    gptoss_status probed = result->count > 0 ? probe(b, test->threads, &result->after,
                                                     status == GPTOSS_OK ? error : NULL)
                                             : GPTOSS_OK;
    return status == GPTOSS_OK ? probed : status;
}

static int run_one(bench *b, const bench_test *test)
{
    bench_result result = {.test = *test, .started = time(NULL)};
    gptoss_error error = {GPTOSS_OK, ""};
    result.samples =
        console_resize(NULL, (size_t)b->run.given->repetitions, sizeof *result.samples);
    gptoss_status status = measure(b, &result, &error);
    note_peak(b);
    if (result.count > 0) {
        b->results = console_resize(b->results, b->count + 1, sizeof *b->results);
        b->results[b->count] = result;
        b->format->row(&b->run, &result, b->count++);
    } else {
        free(result.samples);
    }
    return status == GPTOSS_OK ? EXIT_GOOD : console_error(&error);
}

/* ---- all tests ------------------------------------------------------------------------------- */

/* Prompts, then generations, at one depth. */
static int run_depth(bench *b, bench_test test)
{
    int status = EXIT_GOOD;
    for (size_t i = 0; i < b->prompts.count && status == EXIT_GOOD; i++) {
        test.prompt = (uint32_t)b->prompts.items[i];
        if (test.prompt > 0)
            status = run_one(b, &test);
    }
    test.prompt = 0;
    for (size_t i = 0; i < b->generations.count && status == EXIT_GOOD; i++) {
        test.generate = (uint32_t)b->generations.items[i];
        if (test.generate > 0)
            status = run_one(b, &test);
    }
    return status;
}

static int open_executor(bench *b, gptoss_precision precision, uint32_t threads)
{
    options one = *b->run.given;
    one.precision = gptoss_precision_name(precision);
    one.threads = threads;
    gptoss_executor_close(b->opened.executor);
    b->opened.executor = NULL;
    return runtime_open_executor(&b->opened, &one, GPTOSS_NUMERICS_F32);
}

/* The sequence's rings hold the longest test, so that going back to a depth is possible. */
static int open_sequence(bench *b, gptoss_precision precision, uint32_t context, uint32_t ring)
{
    options one = *b->run.given;
    one.precision = gptoss_precision_name(precision);
    one.chunk = ring < GPTOSS_MAX_CHUNK ? ring : GPTOSS_MAX_CHUNK;
    gptoss_sequence_close(b->opened.sequence);
    b->opened.sequence = NULL;
    b->filled = 0;
    return runtime_open_sequence(&b->opened, &one, context, context);
}

/* From the start of the program to the first token, without the making of a synthetic model. */
static int time_first_token(bench *b)
{
    gptoss_error error = {GPTOSS_OK, ""};
    double start = console_started();
    if (b->run.given->synthetic != NULL)
        start += b->run.open_seconds;
    if (generate(b, b->tokens, BENCH_FIRST_PROMPT, 1, &error) != GPTOSS_OK)
        return console_error(&error);
    b->run.first_token_seconds = console_seconds() - start;
    gptoss_sequence_clear(b->opened.sequence);
    return EXIT_GOOD;
}

/* Depths are the outer loop of threads, since filling the context takes long and its values do not
 * depend on the threads. */
static int run_precision(bench *b, gptoss_precision precision, bool first)
{
    int status = EXIT_GOOD;
    for (size_t d = 0; d < b->depths.count && status == EXIT_GOOD; d++) {
        for (size_t t = 0; t < b->threads.count && status == EXIT_GOOD; t++) {
            status = open_executor(b, precision, (uint32_t)b->threads.items[t]);
            if (status == EXIT_GOOD && first)
                status = time_first_token(b);
            if (status == EXIT_GOOD && first)
                b->format->start(&b->run);
            first = false;
            if (status == EXIT_GOOD)
                status = run_depth(
                    b, (bench_test){.precision = precision,
                                    .gemm = gptoss_executor_gemm(b->opened.executor),
                                    .threads = gptoss_executor_threads(b->opened.executor),
                                    .depth = (uint32_t)b->depths.items[d]});
        }
    }
    return status;
}

static uint32_t largest(const list *of)
{
    int64_t most = 0;
    for (size_t i = 0; i < of->count; i++)
        most = of->items[i] > most ? of->items[i] : most;
    return (uint32_t)most;
}

/* SplitMix64's output function of the place; the same tokens in every run. */
static uint32_t random_token(uint64_t place, uint32_t vocab)
{
    uint64_t z = (place + 1) * 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return (uint32_t)((z ^ (z >> 31)) % vocab);
}

static int run_all(bench *b)
{
    const gptoss_config *config = gptoss_model_config(b->run.model);
    uint32_t prompt = largest(&b->prompts);
    uint32_t test = largest(&b->generations) > prompt ? largest(&b->generations) : prompt;
    uint64_t context = (uint64_t)largest(&b->depths) + test;
    context = context > BENCH_FIRST_PROMPT ? context : BENCH_FIRST_PROMPT;
    if (context > config->context)
        return console_usage(b->run.given->command,
                             "expected tests of at most %u tokens, the model's context, found %llu",
                             config->context, (unsigned long long)context);
    b->tokens = console_resize(NULL, (size_t)context, sizeof *b->tokens);
    for (uint64_t i = 0; i < context; i++)
        b->tokens[i] = random_token(i, config->vocab);

    int status = EXIT_GOOD;
    for (size_t i = 0; i < b->precisions.count && status == EXIT_GOOD; i++) {
        gptoss_precision precision = precisions[b->precisions.items[i]];
        uint32_t ring = test > b->run.chunk ? test : b->run.chunk;
        status = open_sequence(b, precision, (uint32_t)context, ring);
        if (status == EXIT_GOOD)
            status = run_precision(b, precision, i == 0);
    }
    return status;
}

/* ---- what was asked for ---------------------------------------------------------------------- */

static const bench_format *format_named(const char *name)
{
    static const bench_format *const formats[] = {&bench_markdown, &bench_csv, &bench_json,
                                                  &bench_jsonl};
    size_t i = 0;
    while (strcmp(formats[i]->name, name) != 0)
        i++;
    return formats[i];
}

static int read_lists(bench *b)
{
    const options *given = b->run.given;
    list_numbers(given->prompts, 0, INT32_MAX, &b->prompts);
    list_numbers(given->generations, 0, INT32_MAX, &b->generations);
    list_numbers(given->depths, 0, INT32_MAX, &b->depths);
    list_numbers(given->thread_counts, 0, INT32_MAX, &b->threads);
    list_choices(given->precision, "f32|bf16|q8", &b->precisions);
    b->format = format_named(given->output);
    if (largest(&b->prompts) == 0 && largest(&b->generations) == 0)
        return console_usage(given->command, "expected something to measure, -p N or -n N above 0, "
                                             "found neither");
    return EXIT_GOOD;
}

static int make_synthetic(bench *b)
{
    const options *given = b->run.given;
    gptoss_config config;
    gptoss_error error;
    bool with_winners;
    if (!bench_shape(given->synthetic, &config, &with_winners))
        return console_usage(given->command,
                             "--synthetic: expected 20b or 120b, then if wanted ,layers=N ,vocab=N "
                             ",experts=N or ,winners=on, found \"%s\"",
                             given->synthetic);
    int status = runtime_choose_cpu(given);
    if (status != EXIT_GOOD)
        return status;
    if (gptoss_model_open_synthetic(&config, 1, with_winners, 0, console_progress, NULL,
                                    &b->opened.model, &error) != GPTOSS_OK)
        return console_error(&error);
    return EXIT_GOOD;
}

static int open_model(bench *b)
{
    const options *given = b->run.given;
    if ((given->model == NULL) == (given->synthetic == NULL))
        return console_usage(given->command,
                             "expected one of -m PATH and --synthetic SHAPE, found %s",
                             given->model == NULL ? "neither" : "both");
    double start = console_seconds();
    int status = given->model != NULL ? runtime_open_model(&b->opened, given) : make_synthetic(b);
    b->run.open_seconds = console_seconds() - start;
    b->run.model = b->opened.model;
    if (status != EXIT_GOOD)
        return status;
    start = console_seconds();
    status = runtime_prepare_model(&b->opened, given);
    b->run.prepare_seconds = console_seconds() - start;
    return status;
}

int run_bench(const options *given)
{
    bench b = {.run = {.given = given, .chunk = runtime_chunk(given)}};
    console_catch_interrupt();
    int status = read_lists(&b);
    if (status == EXIT_GOOD)
        status = open_model(&b);
    if (status == EXIT_GOOD) {
        bench_describe(&b.run);
        status = run_all(&b);
        if (status != EXIT_USAGE)
            b.format->end(&b.run, b.results, b.count);
    }
    for (size_t i = 0; i < b.count; i++)
        free(b.results[i].samples);
    free(b.results);
    free(b.tokens);
    runtime_close(&b.opened);
    return status;
}
