/* gptoss generate: continues a text. */
#include <stdlib.h>
#include <string.h>

#include "chat.h"
#include "console.h"
#include "generate_many.h"
#include "generate_run.h"
#include "generate_session.h"
#include "sampling.h"

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

/* Raw text is not what a model of this format was trained to answer. */
static void hint_at_chat(const gptoss_tokenizer *tokenizer, const options *given)
{
    uint32_t id;
    if (given->ids != NULL || given->parse_special || tokenizer == NULL ||
        !gptoss_tokenizer_special(tokenizer, "<|start|>", &id) ||
        !gptoss_tokenizer_special(tokenizer, "<|message|>", &id))
        return;
    console_note(
        "hint: this is a raw completion; gptoss chat, or --chat, asks the model in the chat "
        "format that it knows");
}

/* ---- during ---------------------------------------------------------------------------------- */

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

/* ---- after ----------------------------------------------------------------------------------- */

/* Prints the rest of what was asked for, when the text can be trusted. */
static int report(const generation *of)
{
    const gptoss_tokenizer *tokenizer = of->opened->tokenizer;
    if (!of->given->json) {
        if (tokenizer != NULL)
            console_end_text();
        else
            console_stream("\n", 1);
    }
    int status = runtime_check_weights(of->opened);
    if (status != EXIT_GOOD)
        return status;
    if (of->given->json)
        record_print_json(of, (gptoss_text){NULL, 0});
    else if (of->given->given[FLAG_LOGPROBS])
        record_print_logprobs(&of->kept, tokenizer);
    record_print_summary(of);
    return console_interrupted() ? EXIT_INTERRUPTED : EXIT_GOOD;
}

static int generate(runtime *opened, const options *given, const input_ids *prompt)
{
    generation one = {.given = given,
                      .opened = opened,
                      .prompt = *prompt,
                      .most = given->predict < 0 ? UINT32_MAX : (uint32_t)given->predict,
                      .sampling = sampling_asked(given, gptoss_model_config(opened->model)),
                      .mark = given->session != NULL ? prompt->count - 1 : 0,
                      .streamed = !given->json,
                      .kept = {.with_top = given->given[FLAG_LOGPROBS]}};
    gptoss_error error;

    console_catch_interrupt();
    if (!given->json && !given->no_display_prompt && opened->tokenizer != NULL)
        one.broken = !show_prompt(opened->tokenizer, prompt);
    int status = EXIT_FAILED; /* console_close says why */
    if (!one.broken) {
        if (generation_run(&one, &error) != GPTOSS_OK) {
            status = console_error(&error);
        } else if (!one.broken) {
            status = report(&one);
        }
    }
    record_free(&one.kept);
    if (status != EXIT_GOOD && status != EXIT_INTERRUPTED)
        return status;
    int saved = generate_session_save(opened, given);
    return saved == EXIT_GOOD ? status : saved;
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
    if (given->chat && generate_is_many(given))
        return console_usage(given->command, "--chat: expected one message, found a file of many");
    if (given->chat)
        return chat_once(given);
    int status = check_flags(&adjusted);
    if (adjusted.escape)
        unescape_stops(&adjusted);
    if (status == EXIT_GOOD && generate_is_many(&adjusted))
        return generate_many(&adjusted);
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
        status = generate_session_open(&opened, &adjusted, prompt.count, wanted);
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
