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

/* Bytes of other forms of the weights, made already or to be made. */
static uint64_t bytes_of_forms(const runtime *of, const options *given)
{
    gptoss_prepare_options wanted = preparation_asked(given);
    return of->prepared ? of->forms : gptoss_model_prepare_bytes(of->model, &wanted);
}

/* What --max-memory leaves for anything else. */
static uint64_t bytes_left(const options *given, uint64_t bytes)
{
    uint64_t most = given->max_memory > 0 ? given->max_memory : UINT64_MAX;
    return most > bytes ? most - bytes : 0;
}

int runtime_prepare_model(runtime *of, const options *given)
{
    gptoss_prepare_options wanted = preparation_asked(given);
    gptoss_error error;
    char forms[CONSOLE_NUMBER], most[CONSOLE_NUMBER];
    if (of->prepared)
        return EXIT_GOOD;
    of->forms = bytes_of_forms(of, given);
    of->prepared = true;
    if (bytes_left(given, 0) < of->forms) {
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

/* ---- context and memory ---------------------------------------------------------------------- */

/* What must stay in memory: unlike the weights, it cannot be read again from a file. */
static uint64_t working_bytes(const runtime *of, const gptoss_memory *memory)
{
    return memory->cache + memory->scratch + (of->marked ? memory->marks : 0);
}

/* The largest context up to `most` whose sequence and work space take at most `bytes`; 0: none. */
static uint32_t largest_context(const runtime *of, const options *given, uint32_t most,
                                uint64_t bytes)
{
    uint32_t fits = 0;
    uint32_t too_large = most + 1;
    while (too_large - fits > 1) {
        uint32_t middle = fits + (too_large - fits) / 2;
        gptoss_sequence_options wanted = runtime_sequence(given, middle);
        gptoss_memory memory;
        gptoss_model_forecast(of->model, &wanted, &memory);
        if (working_bytes(of, &memory) <= bytes)
            fits = middle;
        else
            too_large = middle;
    }
    return fits;
}

static uint64_t at_most(uint64_t bytes, uint64_t most)
{
    return bytes < most ? bytes : most;
}

/* What --max-memory leaves for cache and work space. */
static uint64_t working_bytes_left(const runtime *of, const options *given,
                                   const gptoss_memory *memory)
{
    uint64_t locked = given->mlock ? memory->weights : 0;
    return bytes_left(given, bytes_of_forms(of, given) + locked);
}

/* What the machine has for cache and work space. */
static uint64_t working_bytes_available(const runtime *of, const options *given,
                                        const gptoss_memory *memory)
{
    uint64_t to_come = of->prepared ? 0 : bytes_of_forms(of, given);
    uint64_t available = memory->available > 0 ? memory->available : UINT64_MAX;
    return available > to_come ? available - to_come : 0;
}

/* Memory for cache and work space beside the weights, which are only given up to half of it when
 * they do not fit anyway. */
static uint64_t memory_beside_weights(const runtime *of, const options *given,
                                      const gptoss_memory *memory)
{
    uint64_t available = working_bytes_available(of, given, memory);
    uint64_t half = available / 2;
    uint64_t rest = available > memory->weights ? available - memory->weights : 0;
    return at_most(rest > half ? rest : half, working_bytes_left(of, given, memory));
}

#define MARKS_ROOM (CONSOLE_NUMBER + 16)

/* ", marks 3.4 MiB", or nothing where there will be none. */
static const char *format_marks(const runtime *of, const gptoss_memory *memory,
                                char text[MARKS_ROOM])
{
    char bytes[CONSOLE_NUMBER];
    text[0] = '\0';
    if (of->marked)
        snprintf(text, MARKS_ROOM, ", marks %s", format_bytes(memory->marks, bytes));
    return text;
}

static void note_memory(const runtime *of, const options *given, const gptoss_memory *memory,
                        uint32_t context)
{
    char weights[CONSOLE_NUMBER], cache[CONSOLE_NUMBER], scratch[CONSOLE_NUMBER];
    char available[CONSOLE_NUMBER], forms[CONSOLE_NUMBER], marks[MARKS_ROOM];
    uint64_t beside = working_bytes_available(of, given, memory);
    format_bytes(memory->weights, weights);
    format_bytes(memory->available, available);
    console_verbose(given,
                    "context %u: cache %s, work space %s%s; weights %s, other forms of them %s; "
                    "available %s",
                    context, format_bytes(memory->cache, cache),
                    format_bytes(memory->scratch, scratch), format_marks(of, memory, marks),
                    weights, format_bytes(bytes_of_forms(of, given), forms), available);
    if (beside < memory->weights || beside - memory->weights < working_bytes(of, memory))
        console_note("warning: the weights take %s and %s is available beside the rest: parts of "
                     "them will be read from disk again and again",
                     weights, available);
}

/* The context of -c, checked; *context is 0 when it was not given. */
static int context_asked(const options *given, const gptoss_config *config, uint32_t *context)
{
    *context = (uint32_t)given->context;
    if (*context > config->context)
        return console_usage(given->command,
                             "--ctx-size: the model is made for at most %u positions, found %u",
                             config->context, *context);
    return EXIT_GOOD;
}

/* What fits when -c does not say how much it should be. */
static uint32_t context_possible(const runtime *of, const options *given, uint32_t wanted)
{
    gptoss_sequence_options sequence = runtime_sequence(given, wanted);
    gptoss_memory memory;
    gptoss_model_forecast(of->model, &sequence, &memory);
    uint64_t most = memory_beside_weights(of, given, &memory);
    uint32_t fits = largest_context(of, given, wanted, most);
    if (fits < wanted && fits > 0) {
        bool bound = most == working_bytes_left(of, given, &memory);
        char bytes[CONSOLE_NUMBER];
        format_bytes(bound ? given->max_memory : memory.available, bytes);
        console_note("context reduced from %u to %u tokens: %s of memory is %s", wanted, fits,
                     bytes, bound ? "what --max-memory allows" : "available");
    }
    return fits > 0 ? fits : wanted; /* refused below, with its figures */
}

int runtime_check_memory(const runtime *of, const options *given,
                         const gptoss_sequence_options *sequence)
{
    gptoss_memory memory;
    if (sequence->context > gptoss_model_config(of->model)->context)
        return EXIT_GOOD; /* the library refuses it */
    gptoss_model_forecast(of->model, sequence, &memory);
    uint64_t needed = working_bytes(of, &memory);
    bool bound = needed > working_bytes_left(of, given, &memory);
    if (!bound && needed <= working_bytes_available(of, given, &memory))
        return EXIT_GOOD;
    char cache[CONSOLE_NUMBER], scratch[CONSOLE_NUMBER], forms[CONSOLE_NUMBER];
    char most[CONSOLE_NUMBER], marks[MARKS_ROOM];
    bool has_context = command_flag_lettered(given->command, 'c') != NULL;
    bool has_forms = bytes_of_forms(of, given) > 0;
    console_note("not enough memory for a context of %u tokens: the cache takes %s and the work "
                 "space %s%s%s%s%s, %s is %s; a smaller %s--chunk takes less",
                 sequence->context, format_bytes(memory.cache, cache),
                 format_bytes(memory.scratch, scratch), format_marks(of, &memory, marks),
                 has_forms ? ", other forms of the weights " : "",
                 has_forms ? format_bytes(bytes_of_forms(of, given), forms) : "",
                 bound && given->mlock ? ", and the weights are locked" : "",
                 format_bytes(bound ? given->max_memory : memory.available, most),
                 bound ? "what --max-memory allows" : "available", has_context ? "-c or " : "");
    return EXIT_FAILED;
}

int runtime_plan_sequence(const runtime *of, const options *given, uint64_t prompt, uint64_t wanted,
                          gptoss_sequence_options *out)
{
    const gptoss_config *config = gptoss_model_config(of->model);
    uint32_t context;
    int status = context_asked(given, config, &context);
    if (status != EXIT_GOOD)
        return status;
    if (context == 0) {
        bool whole = wanted == 0 || wanted > config->context;
        context = context_possible(of, given, whole ? config->context : (uint32_t)wanted);
    }
    if (prompt > context) {
        console_note("the prompt has %llu tokens, the context holds %u", (unsigned long long)prompt,
                     context);
        return EXIT_FAILED;
    }
    *out = runtime_sequence(given, context);
    gptoss_memory memory;
    status = runtime_check_memory(of, given, out);
    if (status != EXIT_GOOD)
        return status;
    gptoss_model_forecast(of->model, out, &memory);
    note_memory(of, given, &memory, context);
    return EXIT_GOOD;
}

int runtime_open_sequence(runtime *of, const options *given, uint64_t prompt, uint64_t wanted)
{
    gptoss_sequence_options sequence;
    gptoss_error error;
    int status = runtime_plan_sequence(of, given, prompt, wanted, &sequence);
    if (status != EXIT_GOOD)
        return status;
    if (gptoss_sequence_open(of->model, &sequence, &of->sequence, &error) != GPTOSS_OK)
        return console_error(&error);
    return EXIT_GOOD;
}
