/* From what was measured to what is told, and what the system says of itself. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

const char *bench_test_name(const bench_test *test, char name[BENCH_NAME])
{
    int used = test->prompt > 0 ? snprintf(name, BENCH_NAME, "pp%u", test->prompt)
                                : snprintf(name, BENCH_NAME, "tg%u", test->generate);
    if (test->depth > 0)
        snprintf(name + used, BENCH_NAME - (size_t)used, " @ d%u", test->depth);
    return name;
}

uint32_t bench_test_tokens(const bench_test *test)
{
    return test->prompt > 0 ? test->prompt : test->generate;
}

bench_figures bench_figures_of(const bench_result *result)
{
    bench_figures out = {.seconds = 0.0};
    double tokens = bench_test_tokens(&result->test);
    double bytes = 0.0;
    double flops = 0.0;
    uint64_t multiplying = 0;
    double *samples = console_resize(NULL, result->count, sizeof *samples);
    for (size_t i = 0; i < result->count; i++) {
        samples[i] = (double)result->samples[i];
        out.seconds += 1e-9 * samples[i];
    }
    out.ns = spread_of(samples, result->count);
    for (size_t i = 0; i < result->count; i++)
        samples[i] = 1e9 * tokens / (double)result->samples[i];
    out.speed = spread_of(samples, result->count);
    free(samples);

    double all = tokens * (double)result->count;
    for (int i = 0; i < GPTOSS_OPERATION_COUNT; i++) {
        const gptoss_work *work = &result->used.work[i];
        multiplying += gptoss_operation_multiplies((gptoss_operation)i) ? work->nanoseconds : 0;
        bytes += (double)work->bytes;
        flops += (double)work->flops;
    }
    out.ms_per_token = 1e3 * out.seconds / all;
    out.bytes_per_token = bytes / all;
    out.bytes_per_second = bytes / out.seconds;
    out.flops_per_token = flops / all;
    out.flops_per_second = flops / out.seconds;
    out.read_speed = (result->before.bytes_per_second + result->after.bytes_per_second) / 2;
    out.peak_speed = (result->before.flops_per_second + result->after.flops_per_second) / 2;
    out.read_share = out.bytes_per_second / out.read_speed;
    out.peak_share = out.flops_per_second / out.peak_speed;
    out.other_share = 1.0 - 1e-9 * (double)multiplying / out.seconds;
    return out;
}

void bench_parts(const bench_result *result, bench_part parts[BENCH_PARTS])
{
    uint64_t outside = 0;
    for (size_t i = 0; i < result->count; i++)
        outside += result->samples[i];
    for (int i = 0; i < GPTOSS_OPERATION_COUNT; i++) {
        gptoss_work work = result->used.work[i];
        parts[i] = (bench_part){gptoss_operation_name((gptoss_operation)i), work};
        outside -= work.nanoseconds;
    }
    parts[GPTOSS_OPERATION_COUNT] = (bench_part){"outside", {outside, 0, 0}};
}

/* ---- the model and the machine --------------------------------------------------------------- */

/* What was typed for the model: the end of a path, or the synthetic one's description. */
static void name_model(bench_run *run)
{
    const options *given = run->given;
    const char *text = given->synthetic != NULL ? given->synthetic : given->model;
    size_t length = strlen(text);
    while (length > 1 && text[length - 1] == '/')
        length--;
    size_t start = length;
    while (start > 0 && text[start - 1] != '/')
        start--;
    snprintf(run->name, sizeof run->name, "%s%.*s", given->synthetic != NULL ? "synthetic " : "",
             (int)(length - start), text + start);
}

/* The rest of the first line of a file that begins with `key`, without blanks and a colon before
 * it; false when there is none. */
static bool line_of(const char *path, const char *key, char *out, size_t room)
{
    char line[512];
    bool found = false;
    FILE *file = fopen(path, "re");
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL)
        found = strncmp(line, key, strlen(key)) == 0;
    if (file != NULL)
        fclose(file);
    if (!found)
        return false;
    char *value = line + strlen(key);
    value += strspn(value, " \t:");
    value[strcspn(value, "\n")] = '\0';
    snprintf(out, room, "%s", value);
    return true;
}

void bench_describe(bench_run *run)
{
    gptoss_model_describe(run->model, &run->info);
    name_model(run);
    if (!line_of("/proc/cpuinfo", "model name", run->cpu, sizeof run->cpu))
        snprintf(run->cpu, sizeof run->cpu, "unknown");
}

uint64_t bench_peak_memory(void)
{
    char text[64];
    return line_of("/proc/self/status", "VmHWM:", text, sizeof text)
               ? strtoull(text, NULL, 10) << 10
               : 0;
}

void bench_reset_peak_memory(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "we");
    if (file == NULL)
        return;
    fputs("5", file);
    fclose(file);
}
