/* What bench is to measure, what it found, and the formats it is printed in. */
#ifndef GPTOSS_TOOL_BENCH_H
#define GPTOSS_TOOL_BENCH_H

#include <time.h>

#include "bench_statistics.h"
#include "command.h"
#include "console.h"
#include "gptoss.h"

#define BENCH_NAME 64

/* One line of the table: a prompt of `prompt` tokens, or `generate` tokens one after another. */
typedef struct bench_test {
    gptoss_precision precision;
    gptoss_gemm gemm;
    uint32_t threads;
    uint32_t prompt;   /* 0 when it generates */
    uint32_t generate; /* 0 when it feeds a prompt */
    uint32_t depth;    /* tokens in the context before */
} bench_test;

/* "pp512", "tg64 @ d4096" */
const char *bench_test_name(const bench_test *test, char name[BENCH_NAME]);
uint32_t bench_test_tokens(const bench_test *test);

/* What one test gave. */
typedef struct bench_result {
    bench_test test;
    time_t started;
    uint64_t *samples; /* [count] nanoseconds of each repetition, in their order */
    size_t count;
    gptoss_statistics used; /* by all repetitions together */
    gptoss_probe_result before, after;
} bench_result;

/* The figures that follow from a result. */
typedef struct bench_figures {
    spread ns;
    spread speed;   /* tokens per second */
    double seconds; /* of all repetitions */
    double ms_per_token;
    double bytes_per_token;
    double bytes_per_second;
    double flops_per_token;
    double flops_per_second;
    double read_speed; /* what the machine could have read per second around this test */
    double read_share;
    double peak_speed; /* what it could have multiplied and added */
    double peak_share;
    double other_share; /* of the time, outside matrix products and attention */
} bench_figures;

bench_figures bench_figures_of(const bench_result *result);

/* Where the time went: an operation of the passes, or what lies between them. */
typedef struct bench_part {
    const char *name;
    gptoss_work work; /* of all repetitions together */
} bench_part;

#define BENCH_PARTS (GPTOSS_OPERATION_COUNT + 1)

/* The parts in the order of a pass; the last is what lies between the passes. */
void bench_parts(const bench_result *result, bench_part parts[BENCH_PARTS]);

/* What all tests of a run share. */
typedef struct bench_run {
    const options *given;
    const gptoss_model *model;
    gptoss_model_info info;
    char name[BENCH_NAME]; /* of the model */
    char cpu[128];         /* of the processor, as the system calls it */
    uint32_t chunk;
    double open_seconds;        /* opening, or making a synthetic one */
    double prepare_seconds;     /* packing and the like */
    double first_token_seconds; /* from the program's start, without making a synthetic model */
    uint64_t peak_bytes;        /* of memory, so far, without what the probes take */
} bench_run;

#define BENCH_FIRST_PROMPT 32 /* tokens before the first one that first_token_seconds is about */

/* A way to print results. `row` comes once per test as soon as it is measured. */
typedef struct bench_format {
    const char *name;
    void (*start)(const bench_run *run);
    void (*row)(const bench_run *run, const bench_result *result, size_t index);
    void (*end)(const bench_run *run, const bench_result *results, size_t count);
} bench_format;

extern const bench_format bench_markdown, bench_csv, bench_json, bench_jsonl;

/* Reads the shape of a synthetic model, such as 20b,layers=2, and whether it has winners; false
 * when it is none. */
bool bench_shape(const char *text, gptoss_config *out, bool *with_winners);

/* Fills a run's description of model and processor. */
void bench_describe(bench_run *run);

/* Memory that the process has had at most since the last reset, in bytes; 0 when unknown. */
uint64_t bench_peak_memory(void);
void bench_reset_peak_memory(void);

#endif
