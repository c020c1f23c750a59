/* How much memory a sequence takes, and may take. */
#include <stddef.h>

#include "console.h"
#include "runtime.h"

/* What --max-memory leaves for anything else. */
static uint64_t bytes_left(const options *given, uint64_t bytes)
{
    uint64_t most = given->max_memory > 0 ? given->max_memory : UINT64_MAX;
    return most > bytes ? most - bytes : 0;
}

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
    return bytes_left(given, runtime_form_bytes(of, given) + locked);
}

/* What the machine has for cache and work space. */
static uint64_t working_bytes_available(const runtime *of, const options *given,
                                        const gptoss_memory *memory)
{
    uint64_t to_come = of->prepared ? 0 : runtime_form_bytes(of, given);
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
                    weights, format_bytes(runtime_form_bytes(of, given), forms), available);
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
    bool has_forms = runtime_form_bytes(of, given) > 0;
    console_note("not enough memory for a context of %u tokens: the cache takes %s and the work "
                 "space %s%s%s%s%s, %s is %s; a smaller %s--chunk takes less",
                 sequence->context, format_bytes(memory.cache, cache),
                 format_bytes(memory.scratch, scratch), format_marks(of, &memory, marks),
                 has_forms ? ", other forms of the weights " : "",
                 has_forms ? format_bytes(runtime_form_bytes(of, given), forms) : "",
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
