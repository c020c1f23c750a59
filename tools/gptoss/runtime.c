#include "runtime.h"

#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "console.h"

void runtime_close(runtime *of)
{
    gptoss_sequence_close(of->sequence);
    gptoss_executor_close(of->executor);
    gptoss_tokenizer_close(of->tokenizer);
    gptoss_model_close(of->model);
    *of = (runtime){.model = NULL};
}

/* ---- model, tokenizer, executor ------------------------------------------------------------- */

int runtime_choose_cpu(const options *given)
{
    gptoss_error error;
    if (given->cpu != NULL && gptoss_cpu_choose(given->cpu, &error) != GPTOSS_OK)
        return console_error(&error);
    return EXIT_GOOD;
}

int runtime_open_model(runtime *of, const options *given)
{
    if (given->model == NULL)
        return console_usage(given->command, "expected a checkpoint, -m PATH, found none");
    gptoss_error error;
    int status = runtime_choose_cpu(given);
    if (status != EXIT_GOOD)
        return status;
    double start = console_seconds();
    if (gptoss_model_open(given->model, &of->model, &error) != GPTOSS_OK)
        return console_error(&error);
    gptoss_model_info info;
    char bytes[CONSOLE_NUMBER];
    gptoss_model_describe(of->model, &info);
    console_verbose(given, "opened %s (%s, %s) in %.3f s", gptoss_model_directory(of->model),
                    gptoss_layout_name(info.layout), format_bytes(info.bytes_files, bytes),
                    console_seconds() - start);
    return EXIT_GOOD;
}

static bool is_on(const char *choice)
{
    return choice != NULL && strcmp(choice, "on") == 0;
}

static gptoss_prepare_options preparation_asked(const options *given)
{
    return (gptoss_prepare_options){.read_ahead = true,
                                    .lock = given->mlock,
                                    .pack = is_on(given->pack),
                                    .requantise = strstr(given->precision, "q8") != NULL,
                                    .only_q8 = strcmp(given->precision, "q8") == 0,
                                    .sketch = is_on(given->sketch),
                                    .threads = (uint32_t)given->threads};
}

uint64_t runtime_form_bytes(const runtime *of, const options *given)
{
    gptoss_prepare_options wanted = preparation_asked(given);
    return of->prepared ? of->forms : gptoss_model_prepare_bytes(of->model, &wanted);
}

int runtime_prepare_model(runtime *of, const options *given)
{
    gptoss_prepare_options wanted = preparation_asked(given);
    gptoss_error error;
    char forms[CONSOLE_NUMBER], most[CONSOLE_NUMBER];
    if (of->prepared)
        return EXIT_GOOD;
    of->forms = runtime_form_bytes(of, given);
    of->prepared = true;
    if (given->max_memory > 0 && given->max_memory < of->forms) {
        console_note("not enough memory for other forms of the weights (packed, in 8 bits, a "
                     "sketch): they take %s, --max-memory allows %s",
                     format_bytes(of->forms, forms), format_bytes(given->max_memory, most));
        return EXIT_FAILED;
    }
    double start = console_seconds();
    console_catch_interrupt();
    if (gptoss_model_prepare(of->model, &wanted, console_progress_bytes, NULL, &error) != GPTOSS_OK)
        return console_error(&error);
    console_verbose(given, "prepared the weights in %.3f s", console_seconds() - start);
    return EXIT_GOOD;
}

int runtime_open_tokenizer(runtime *of, const options *given, bool required)
{
    const char *path =
        given->tokenizer != NULL ? given->tokenizer : gptoss_model_directory(of->model);
    gptoss_error error;
    double start = console_seconds();
    if (!required && given->tokenizer == NULL && !gptoss_tokenizer_exists(path)) {
        console_verbose(given, "going on without a tokenizer: there is none beside or above %s",
                        path);
        return EXIT_GOOD;
    }
    if (gptoss_tokenizer_open(path, &of->tokenizer, &error) != GPTOSS_OK)
        return console_error(&error);
    console_verbose(given, "opened the tokenizer of %s, %u ids, in %.3f s", path,
                    gptoss_tokenizer_size(of->tokenizer), console_seconds() - start);
    return EXIT_GOOD;
}

int runtime_open_tokenizer_alone(runtime *of, const options *given)
{
    struct stat at;
    gptoss_error error;
    if (given->tokenizer == NULL && given->model == NULL)
        return console_usage(given->command, "expected -m PATH or --tokenizer FILE, found neither");
    if (given->tokenizer != NULL)
        return runtime_open_tokenizer(of, given, true);
    if (stat(given->model, &at) == 0 && S_ISDIR(at.st_mode)) {
        if (gptoss_tokenizer_open(given->model, &of->tokenizer, &error) == GPTOSS_OK)
            return EXIT_GOOD;
        return console_error(&error);
    }
    /* a hub name or a weight file is resolved by opening the checkpoint */
    int status = runtime_open_model(of, given);
    return status == EXIT_GOOD ? runtime_open_tokenizer(of, given, true) : status;
}

uint32_t runtime_chunk(const options *given)
{
    return given->chunk > 0 ? (uint32_t)given->chunk : GPTOSS_DEFAULT_CHUNK;
}

/* The parser has checked the name. */
static gptoss_precision precision_asked(const options *given)
{
    gptoss_precision precision = GPTOSS_PRECISION_F32;
    while (precision < GPTOSS_PRECISION_Q8 &&
           strcmp(given->precision, gptoss_precision_name(precision)) != 0)
        precision++;
    return precision;
}

gptoss_sequence_options runtime_sequence(const options *given, uint32_t context)
{
    const char *cache = given->cache_type;
    if (cache == NULL)
        cache = precision_asked(given) == GPTOSS_PRECISION_F32 ? "f32" : "bf16";
    return (gptoss_sequence_options){.context = context,
                                     .chunk = runtime_chunk(given),
                                     .cache = strcmp(cache, "bf16") == 0 ? GPTOSS_CACHE_BF16
                                                                         : GPTOSS_CACHE_F32};
}

static gptoss_pinning pinning_asked(const options *given)
{
    return is_on(given->pin)                ? GPTOSS_PIN_ON
           : strcmp(given->pin, "off") == 0 ? GPTOSS_PIN_OFF
                                            : GPTOSS_PIN_AUTO;
}

/* The parser has checked the name. */
static gptoss_gemm gemm_asked(const options *given)
{
    gptoss_gemm gemm = GPTOSS_GEMM_AUTO;
    while (gemm < GPTOSS_GEMM_BLAS && strcmp(given->gemm, gptoss_gemm_name(gemm)) != 0)
        gemm++;
    return gemm;
}

/* What BLAS cannot do: it multiplies floats, and does not round on the way. */
static int check_gemm(const options *given, const gptoss_executor_options *wanted)
{
    bool torch = wanted->numerics != GPTOSS_NUMERICS_F32;
    if (wanted->gemm != GPTOSS_GEMM_BLAS)
        return EXIT_GOOD;
    if (gptoss_blas() == NULL)
        return console_usage(given->command, "--gemm blas: this program was built without BLAS");
    if (torch || wanted->precision == GPTOSS_PRECISION_Q8)
        return console_usage(given->command,
                             "--gemm blas: expected precision f32 or bf16 and numerics f32, found "
                             "%s %s",
                             torch ? "numerics" : "precision",
                             torch ? gptoss_numerics_name(wanted->numerics) : given->precision);
    return EXIT_GOOD;
}

int runtime_open_executor(runtime *of, const options *given, gptoss_numerics numerics)
{
    gptoss_executor_options wanted = {.threads = (uint32_t)given->threads,
                                      .chunk = runtime_chunk(given),
                                      .numerics = numerics,
                                      .precision = precision_asked(given),
                                      .pinning = pinning_asked(given),
                                      .gemm = gemm_asked(given)};
    gptoss_error error;
    if (numerics != GPTOSS_NUMERICS_F32 && wanted.precision != GPTOSS_PRECISION_F32)
        return console_usage(given->command,
                             "--precision: expected f32 with numerics %s, which round by "
                             "themselves, found %s",
                             gptoss_numerics_name(numerics), given->precision);
    int status = check_gemm(given, &wanted);
    if (status == EXIT_GOOD)
        status = runtime_prepare_model(of, given);
    if (status != EXIT_GOOD)
        return status;
    if (gptoss_executor_open(of->model, &wanted, &of->executor, &error) != GPTOSS_OK)
        return console_error(&error);
    console_verbose(given,
                    "computing on %u %sthreads with %s kernels, at most %u rows at a time, in "
                    "%s with inputs of products in %s",
                    gptoss_executor_threads(of->executor),
                    gptoss_executor_pinned(of->executor) ? "pinned " : "", gptoss_cpu_level(),
                    gptoss_executor_chunk(of->executor), gptoss_numerics_name(numerics),
                    given->precision);
    if (gptoss_executor_gemm(of->executor) == GPTOSS_GEMM_BLAS)
        console_verbose(given, "batches of many rows are multiplied by %s", gptoss_blas());
    return EXIT_GOOD;
}

int runtime_check_weights(const runtime *of)
{
    gptoss_error error;
    if (of->model != NULL && gptoss_model_unchanged(of->model, &error) != GPTOSS_OK)
        return console_error(&error);
    return EXIT_GOOD;
}

void runtime_put_run(json_writer *json, const gptoss_executor *executor)
{
    json_put_object(json, "run");
    json_put_text(json, "precision", gptoss_precision_name(gptoss_executor_precision(executor)));
    json_put_text(json, "gemm", gptoss_gemm_name(gptoss_executor_gemm(executor)));
    json_put_text(json, "cpu", gptoss_cpu_level());
    json_put_whole(json, "threads", gptoss_executor_threads(executor));
    json_put_bool(json, "pinned", gptoss_executor_pinned(executor));
    json_end_object(json);
}
