/* gptoss generate: continues a text. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "console.h"
#include "generate_record.h"
#include "input.h"
#include "runtime.h"

/* What on_token and the caller share. */
typedef struct generation {
    const options *given;
    runtime *opened;
    record *kept;
    bool broken; /* standard output could not be written */
} generation;

/* ---- before ---------------------------------------------------------------------------------- */

static int check_flags(const options *given)
{
    int sources = (given->prompt != NULL) + (given->file != NULL) + (given->ids != NULL);
    if (sources != 1)
        return console_usage(given->command,
                             "expected one prompt, -p TEXT, -f FILE or --ids IDS, found %s",
                             sources == 0 ? "none" : "more");
    return EXIT_GOOD;
}

/* A number that the next run is unlikely to draw, and that JSON readers keep exactly. */
static uint64_t fresh_seed(void)
{
    uint32_t seed;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = (uint32_t)(console_seconds() * 1e6);
    return seed;
}

/* The flags over the model's own defaults. */
static gptoss_sampling choose_sampling(const options *given, const gptoss_config *config)
{
    gptoss_sampling sampling = config->sampling;
    if (given->given[FLAG_TEMP])
        sampling.temperature = (float)given->temperature;
    if (given->given[FLAG_TOP_K])
        sampling.top_k = (uint32_t)given->top_k;
    if (given->given[FLAG_TOP_P])
        sampling.top_p = (float)given->top_p;
    if (given->given[FLAG_MIN_P])
        sampling.min_p = (float)given->min_p;
    sampling.seed = given->given[FLAG_SEED] ? given->seed : fresh_seed();
    return sampling;
}

/* Raw text is not what a model of this format was trained to answer. */
static void hint_at_chat(const gptoss_tokenizer *tokenizer, const options *given)
{
    uint32_t id;
    if (given->ids != NULL || given->parse_special || tokenizer == NULL ||
        !gptoss_tokenizer_special(tokenizer, "<|start|>", &id) ||
        !gptoss_tokenizer_special(tokenizer, "<|message|>", &id))
        return;
    console_note("hint: this is a raw completion; the model knows the harmony chat format, for "
                 "which this version has no chat command yet");
}

/* ---- during ---------------------------------------------------------------------------------- */

/* Without a tokenizer the ids are the only thing to show. */
static bool show_id(const generation *state, uint32_t id)
{
    char text[16];
    int length = snprintf(text, sizeof text, state->kept->count > 1 ? " %u" : "%u", id);
    return console_stream(text, (size_t)length);
}

static bool on_token(void *user, const gptoss_generated *token)
{
    generation *state = user;
    bool is_token = token->choice.id != UINT32_MAX;
    record_add(state->kept, token);
    if (!state->given->json) {
        if (state->opened->tokenizer != NULL)
            state->broken = !console_stream(token->text, token->text_length);
        else if (is_token)
            state->broken = !show_id(state, token->choice.id);
    }
    return !state->broken && !console_interrupted();
}

/* The prompt as the model sees it: ill-formed UTF-8 replaced, ids as their tokens' text. */
static bool show_prompt(const gptoss_tokenizer *tokenizer, const input_ids *prompt)
{
    gptoss_utf8_stream utf8 = {.count = 0};
    char *text = NULL;
    bool good = true;
    for (size_t i = 0; i <= prompt->count && good; i++) {
        size_t length = 0;
        const char *bytes =
            i < prompt->count ? gptoss_tokenizer_bytes(tokenizer, prompt->ids[i], &length) : NULL;
        text = console_resize(text, GPTOSS_UTF8_ROOM(length), 1);
        size_t written = i < prompt->count ? gptoss_utf8_push(&utf8, bytes, length, text)
                                           : gptoss_utf8_end(&utf8, text);
        good = fwrite(text, 1, written, stdout) == written;
    }
    free(text);
    return good && console_stream("", 0);
}

static gptoss_status run_request(generation *state, const input_ids *prompt,
                                 const gptoss_sampling *sampling, gptoss_result *result,
                                 gptoss_error *error)
{
    const options *given = state->given;
    gptoss_request request = {
        .prompt = prompt->ids,
        .prompt_count = prompt->count,
        .max_tokens = given->predict < 0 ? UINT32_MAX : (uint32_t)given->predict,
        .sampling = *sampling,
        .ignore_stops = given->ignore_eos,
        .stop_texts = given->stops,
        .stop_text_count = given->stop_count,
        .top_count = (size_t)given->logprobs,
        .logprobs = given->given[FLAG_LOGPROBS],
        .on_token = on_token,
        .on_prompt = console_progress,
        .user = state,
    };
    return gptoss_generate(state->opened->executor, state->opened->sequence,
                           state->opened->tokenizer, &request, result, error);
}

/* ---- after ----------------------------------------------------------------------------------- */

/* Ends the text's last line where what follows on standard error would be glued to it. */
static void end_text(const gptoss_tokenizer *tokenizer)
{
    struct stat out, error;
    if (isatty(STDOUT_FILENO) || tokenizer == NULL)
        console_stream("\n", 1);
    else if (fstat(STDOUT_FILENO, &out) == 0 && fstat(STDERR_FILENO, &error) == 0 &&
             out.st_dev == error.st_dev && out.st_ino == error.st_ino)
        fputc('\n', stderr);
}

/* Prints the rest of what was asked for. */
static void report(const generation *state, const input_ids *prompt,
                   const gptoss_sampling *sampling, const gptoss_result *result)
{
    const options *given = state->given;
    const gptoss_tokenizer *tokenizer = state->opened->tokenizer;
    if (given->json) {
        record_print_json(state->kept, state->opened->executor, tokenizer, prompt, sampling,
                          result);
    } else {
        end_text(tokenizer);
        if (given->given[FLAG_LOGPROBS])
            record_print_logprobs(state->kept, tokenizer);
    }
    record_print_summary(prompt->count, sampling, result);
}

static int generate(runtime *opened, const options *given, const input_ids *prompt)
{
    record kept = {.with_top = given->given[FLAG_LOGPROBS]};
    generation state = {given, opened, &kept, false};
    gptoss_sampling sampling = choose_sampling(given, gptoss_model_config(opened->model));
    gptoss_result result = {.tokens = 0};
    gptoss_error error;

    console_catch_interrupt();
    if (!given->json && !given->no_display_prompt && opened->tokenizer != NULL)
        state.broken = !show_prompt(opened->tokenizer, prompt);
    int status = EXIT_FAILED; /* console_close says why */
    if (!state.broken) {
        if (run_request(&state, prompt, &sampling, &result, &error) != GPTOSS_OK) {
            status = console_error(&error);
        } else if (!state.broken) {
            report(&state, prompt, &sampling, &result);
            status = console_interrupted() ? EXIT_INTERRUPTED : EXIT_GOOD;
        }
    }
    record_free(&kept);
    return status;
}

/* Escapes in the texts of --stop. Those of -p are the input's. */
static void unescape_stops(options *given)
{
    for (size_t i = 0; i < given->stop_count; i++) {
        char *text = strdup(given->stops[i]); /* lives as long as the program */
        if (text == NULL)
            continue;
        text[input_unescape(text, strlen(text))] = '\0';
        given->stops[i] = text;
    }
}

int run_generate(const options *given)
{
    options adjusted = *given;
    runtime opened = {.model = NULL};
    input_ids prompt = {NULL, 0};
    int status = check_flags(&adjusted);
    if (adjusted.escape)
        unescape_stops(&adjusted);
    bool text_needed = adjusted.ids == NULL || adjusted.stop_count > 0;
    if (status == EXIT_GOOD)
        status = runtime_open_model(&opened, &adjusted);
    if (status == EXIT_GOOD)
        status = runtime_open_tokenizer(&opened, &adjusted, text_needed);
    if (status == EXIT_GOOD)
        status = input_tokens(&adjusted, opened.tokenizer, gptoss_model_config(opened.model)->vocab,
                              NULL, &prompt);
    uint64_t wanted = adjusted.predict < 0 ? 0 : prompt.count + (uint64_t)adjusted.predict;
    if (status == EXIT_GOOD)
        status = runtime_open_sequence(&opened, &adjusted, prompt.count, wanted);
    if (status == EXIT_GOOD)
        status = runtime_open_executor(&opened, &adjusted, GPTOSS_NUMERICS_F32);
    if (status == EXIT_GOOD) {
        hint_at_chat(opened.tokenizer, &adjusted);
        status = generate(&opened, &adjusted, &prompt);
    }
    free(prompt.ids);
    runtime_close(&opened);
    return status;
}
