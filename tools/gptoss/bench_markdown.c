/* The table that people read and paste. */
#include <string.h>

#include "bench.h"

enum { SIZE = 10, PARAMETERS = 9, PRECISION = 9, THREADS = 7, TEST = 14, SPEED = 18, FIGURE = 8 };

static int name_width(const bench_run *run)
{
    int width = (int)strlen(run->name);
    return width > 5 ? width : 5;
}

static void print_rule(int width, bool right)
{
    printf(" ");
    for (int i = 0; i < width - right; i++)
        printf("-");
    printf("%s |", right ? ":" : "");
}

static void start(const bench_run *run)
{
    static const char *const figures[] = {"ms/token", "GB/s",   "of read",
                                          "GFLOP/s",  "of FMA", "other"};
    enum { FIGURES = sizeof figures / sizeof *figures };
    int name = name_width(run);
    printf("| %-*s | %*s | %*s | %*s | %*s | %*s | %*s |", name, "model", SIZE, "size", PARAMETERS,
           "params", PRECISION, "precision", THREADS, "threads", TEST, "test", SPEED, "t/s");
    for (size_t i = 0; i < FIGURES; i++)
        printf(" %*s |", FIGURE, figures[i]);
    printf("\n|");
    print_rule(name, false);
    static const int widths[] = {SIZE, PARAMETERS, PRECISION, THREADS, TEST, SPEED};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        print_rule(widths[i], true);
    for (size_t i = 0; i < FIGURES; i++)
        print_rule(FIGURE, true);
    printf("\n");
    console_stream("", 0);
}

static void row(const bench_run *run, const bench_result *result, size_t index)
{
    (void)index;
    char size[CONSOLE_NUMBER], parameters[CONSOLE_NUMBER], test[BENCH_NAME], speed[48];
    bench_figures figures = bench_figures_of(result);
    double count = (double)run->info.parameters_total;
    snprintf(parameters, sizeof parameters, count >= 1e9 ? "%.2f B" : "%.2f M",
             count / (count >= 1e9 ? 1e9 : 1e6));
    snprintf(speed, sizeof speed, "%.2f ± %.2f", figures.speed.mean, figures.speed.deviation);
    printf("| %-*s | %*s | %*s | %*s | %*u | %*s |", name_width(run), run->name, SIZE,
           format_bytes(run->info.bytes_tensors, size), PARAMETERS, parameters, PRECISION,
           gptoss_precision_name(result->test.precision), THREADS, result->test.threads, TEST,
           bench_test_name(&result->test, test));
    /* the sign between takes two bytes and one column */
    printf(" %*s | %*.2f | %*.2f | %*.1f%% | %*.1f | %*.1f%% | %*.1f%% |\n", SPEED + 1, speed,
           FIGURE, figures.ms_per_token, FIGURE, figures.bytes_per_second * 1e-9, FIGURE - 1,
           100.0 * figures.read_share, FIGURE, figures.flops_per_second * 1e-9, FIGURE - 1,
           100.0 * figures.peak_share, FIGURE - 1, 100.0 * figures.other_share);
    console_stream("", 0);
}

/* Where the time of a test went, beside what the machine could do meanwhile. */
static void print_profile(const bench_result *result)
{
    static const char *const heads[] = {"ms/token", "of time", "MB/token", "GB/s",
                                        "of read",  "GFLOP/s", "of FMA"};
    enum { HEADS = sizeof heads / sizeof *heads };
    bench_part parts[BENCH_PARTS];
    char test[BENCH_NAME];
    bench_figures figures = bench_figures_of(result);
    double tokens = bench_test_tokens(&result->test) * (double)result->count;
    bench_parts(result, parts);
    printf("\n| %-*s |", TEST, bench_test_name(&result->test, test));
    for (size_t i = 0; i < HEADS; i++)
        printf(" %*s |", FIGURE, heads[i]);
    printf("\n|");
    print_rule(TEST, false);
    for (size_t i = 0; i < HEADS; i++)
        print_rule(FIGURE, true);
    for (size_t i = 0; i < BENCH_PARTS; i++) {
        const gptoss_work *work = &parts[i].work;
        double seconds = 1e-9 * (double)work->nanoseconds;
        double read = seconds > 0.0 ? (double)work->bytes / seconds : 0.0;
        double computed = seconds > 0.0 ? (double)work->flops / seconds : 0.0;
        printf("\n| %-*s | %*.3f | %*.1f%% | %*.2f | %*.2f | %*.1f%% | %*.1f | %*.1f%% |", TEST,
               parts[i].name, FIGURE, 1e3 * seconds / tokens, FIGURE - 1,
               100.0 * seconds / figures.seconds, FIGURE, 1e-6 * (double)work->bytes / tokens,
               FIGURE, 1e-9 * read, FIGURE - 1, 100.0 * read / figures.read_speed, FIGURE,
               1e-9 * computed, FIGURE - 1, 100.0 * computed / figures.peak_speed);
    }
    printf("\n");
}

static void end(const bench_run *run, const bench_result *results, size_t count)
{
    char peak[CONSOLE_NUMBER];
    for (size_t i = 0; i < count && run->given->profile; i++)
        print_profile(&results[i]);
    if (count == 0)
        return;
    bool made = run->given->synthetic != NULL;
    printf("\n%s in %.3f s, prepared in %.3f s; first token of a %d-token prompt %.3f s after the "
           "start%s; peak memory %s\n",
           made ? "made" : "opened", run->open_seconds, run->prepare_seconds, BENCH_FIRST_PROMPT,
           run->first_token_seconds, made ? ", the making left out" : "",
           format_bytes(run->peak_bytes, peak));
    printf("gptoss %s, %s, %s\n", gptoss_version(), gptoss_cpu_level(), run->cpu);
}

const bench_format bench_markdown = {"md", start, row, end};
