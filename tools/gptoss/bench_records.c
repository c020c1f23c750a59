/* Results for programs: JSON, a JSON object a line, or comma-separated values. The names are those
 * of llama-bench where the same thing is meant. */
#include <math.h>
#include <string.h>

#include "bench.h"
#include "json_writer.h"

typedef enum field_kind { FIELD_TEXT, FIELD_WHOLE, FIELD_REAL } field_kind;

typedef struct field {
    const char *name;
    field_kind kind;
    const char *text;
    uint64_t whole;
    double real;
} field;

#define MOST_FIELDS 64

typedef struct fields {
    field each[MOST_FIELDS];
    size_t count;
    char test[BENCH_NAME];
    char time[32];
} fields;

static void add_text(fields *of, const char *name, const char *text)
{
    of->each[of->count++] = (field){.name = name, .kind = FIELD_TEXT, .text = text};
}

static void add_whole(fields *of, const char *name, uint64_t whole)
{
    of->each[of->count++] = (field){.name = name, .kind = FIELD_WHOLE, .whole = whole};
}

static void add_real(fields *of, const char *name, double real)
{
    of->each[of->count++] = (field){.name = name, .kind = FIELD_REAL, .real = real};
}

static void add_setting(fields *of, const bench_run *run, const bench_result *result)
{
    const bench_test *test = &result->test;
    struct tm utc;
    gmtime_r(&result->started, &utc);
    strftime(of->time, sizeof of->time, "%Y-%m-%dT%H:%M:%SZ", &utc);
    add_text(of, "program", "gptoss");
    add_text(of, "version", gptoss_version());
    add_text(of, "cpu_info", run->cpu);
    add_text(of, "cpu_level", gptoss_cpu_level());
    add_text(of, "model_filename", run->given->model != NULL ? run->given->model : "");
    add_text(of, "model_type", run->name);
    add_whole(of, "model_size", run->info.bytes_tensors);
    add_whole(of, "model_n_params", run->info.parameters_total);
    add_whole(of, "n_batch", run->chunk);
    add_whole(of, "n_threads", test->threads);
    add_text(of, "precision", gptoss_precision_name(test->precision));
    add_text(of, "gemm", gptoss_gemm_name(test->gemm));
    add_text(of, "test", bench_test_name(test, of->test));
    add_whole(of, "n_prompt", test->prompt);
    add_whole(of, "n_gen", test->generate);
    add_whole(of, "n_depth", test->depth);
    add_text(of, "test_time", of->time);
}

static gptoss_work sum_of(const gptoss_work *a, const gptoss_work *b)
{
    return (gptoss_work){a->nanoseconds + b->nanoseconds, a->bytes + b->bytes, a->flops + b->flops};
}

static void add_usage(fields *of, const bench_result *result)
{
    double tokens = bench_test_tokens(&result->test) * (double)result->count;
    const gptoss_work *work = result->used.work;
    const gptoss_work *attention = &work[GPTOSS_OPERATION_ATTENTION];
    const gptoss_work *unembedding = &work[GPTOSS_OPERATION_UNEMBEDDING];
    gptoss_work experts = sum_of(&work[GPTOSS_OPERATION_GATE_UP], &work[GPTOSS_OPERATION_DOWN]);
    gptoss_work dense = {0, 0, 0}; /* all others */
    for (int i = 0; i < GPTOSS_OPERATION_COUNT; i++)
        dense = sum_of(&dense, &work[i]);
    dense.bytes -= experts.bytes + attention->bytes + unembedding->bytes;
    dense.flops -= experts.flops + attention->flops + unembedding->flops;
    add_real(of, "bytes_dense_per_token", (double)dense.bytes / tokens);
    add_real(of, "bytes_experts_per_token", (double)experts.bytes / tokens);
    add_real(of, "bytes_unembedding_per_token", (double)unembedding->bytes / tokens);
    add_real(of, "bytes_cache_per_token", (double)attention->bytes / tokens);
    add_real(of, "flops_dense_per_token", (double)dense.flops / tokens);
    add_real(of, "flops_experts_per_token", (double)experts.flops / tokens);
    add_real(of, "flops_attention_per_token", (double)attention->flops / tokens);
    add_real(of, "flops_unembedding_per_token", (double)unembedding->flops / tokens);
}

static void add_figures(fields *of, const bench_run *run, const bench_result *result)
{
    bench_figures figures = bench_figures_of(result);
    add_whole(of, "avg_ns", (uint64_t)llround(figures.ns.mean));
    add_whole(of, "stddev_ns", (uint64_t)llround(figures.ns.deviation));
    add_whole(of, "median_ns", (uint64_t)llround(figures.ns.median));
    add_real(of, "avg_ts", figures.speed.mean);
    add_real(of, "stddev_ts", figures.speed.deviation);
    add_real(of, "median_ts", figures.speed.median);
    add_real(of, "ms_per_token", figures.ms_per_token);
    add_real(of, "bytes_per_token", figures.bytes_per_token);
    add_real(of, "bytes_per_second", figures.bytes_per_second);
    add_real(of, "read_before", result->before.bytes_per_second);
    add_real(of, "read_after", result->after.bytes_per_second);
    add_real(of, "read_share", figures.read_share);
    add_real(of, "flops_per_token", figures.flops_per_token);
    add_real(of, "flops_per_second", figures.flops_per_second);
    add_real(of, "fma_before", result->before.flops_per_second);
    add_real(of, "fma_after", result->after.flops_per_second);
    add_real(of, "fma_share", figures.peak_share);
    add_real(of, "other_share", figures.other_share);
    add_usage(of, result);
    add_real(of, "open_seconds", run->open_seconds);
    add_real(of, "prepare_seconds", run->prepare_seconds);
    add_real(of, "first_token_seconds", run->first_token_seconds);
    add_whole(of, "peak_memory", run->peak_bytes);
}

static void collect(fields *of, const bench_run *run, const bench_result *result)
{
    of->count = 0;
    add_setting(of, run, result);
    add_figures(of, run, result);
}

static void start_nothing(const bench_run *run)
{
    (void)run;
}

static void end_nothing(const bench_run *run, const bench_result *results, size_t count)
{
    (void)run;
    (void)results;
    (void)count;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* Where the time went, by operation. */
static void print_parts(json_writer *json, const bench_result *result)
{
    bench_part parts[BENCH_PARTS];
    double tokens = bench_test_tokens(&result->test) * (double)result->count;
    bench_parts(result, parts);
    json_put_array(json, "operations");
    for (size_t i = 0; i < BENCH_PARTS; i++) {
        json_put_object(json, NULL);
        json_put_text(json, "operation", parts[i].name);
        json_put_real(json, "ns_per_token", (double)parts[i].work.nanoseconds / tokens);
        json_put_real(json, "bytes_per_token", (double)parts[i].work.bytes / tokens);
        json_put_real(json, "flops_per_token", (double)parts[i].work.flops / tokens);
        json_end_object(json);
    }
    json_end_array(json);
}

static void print_object(const bench_run *run, const bench_result *result)
{
    fields of;
    json_writer json = JSON_WRITER(stdout);
    collect(&of, run, result);
    json_put_object(&json, NULL);
    for (size_t i = 0; i < of.count; i++) {
        const field *each = &of.each[i];
        if (each->kind == FIELD_TEXT)
            json_put_text(&json, each->name, each->text);
        else if (each->kind == FIELD_WHOLE)
            json_put_whole(&json, each->name, each->whole);
        else
            json_put_real(&json, each->name, each->real);
    }
    json_put_array(&json, "samples_ns");
    for (size_t i = 0; i < result->count; i++)
        json_put_whole(&json, NULL, result->samples[i]);
    json_end_array(&json);
    json_put_array(&json, "samples_ts");
    for (size_t i = 0; i < result->count; i++)
        json_put_real(&json, NULL,
                      1e9 * bench_test_tokens(&result->test) / (double)result->samples[i]);
    json_end_array(&json);
    print_parts(&json, result);
    json_end_object(&json);
}

static void json_row(const bench_run *run, const bench_result *result, size_t index)
{
    printf(index == 0 ? "[\n  " : ",\n  ");
    print_object(run, result);
    console_stream("", 0);
}

static void json_end(const bench_run *run, const bench_result *results, size_t count)
{
    (void)run;
    (void)results;
    printf(count == 0 ? "[]\n" : "\n]\n");
}

static void jsonl_row(const bench_run *run, const bench_result *result, size_t index)
{
    (void)index;
    print_object(run, result);
    console_stream("\n", 1);
}

const bench_format bench_json = {"json", start_nothing, json_row, json_end};
const bench_format bench_jsonl = {"jsonl", start_nothing, jsonl_row, end_nothing};

/* ---- CSV ------------------------------------------------------------------------------------- */

/* In quotes, those inside doubled. */
static void print_quoted(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

static void csv_row(const bench_run *run, const bench_result *result, size_t index)
{
    fields of;
    collect(&of, run, result);
    for (size_t i = 0; i < of.count && index == 0; i++)
        printf("%s%s", i == 0 ? "" : ",", of.each[i].name);
    if (index == 0)
        printf("\n");
    for (size_t i = 0; i < of.count; i++) {
        const field *each = &of.each[i];
        printf(i == 0 ? "" : ",");
        if (each->kind == FIELD_TEXT)
            print_quoted(each->text);
        else if (each->kind == FIELD_WHOLE)
            printf("\"%llu\"", (unsigned long long)each->whole);
        else
            printf("\"%.12g\"", each->real);
    }
    console_stream("\n", 1);
}

const bench_format bench_csv = {"csv", start_nothing, csv_row, end_nothing};
