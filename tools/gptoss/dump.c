/* gptoss dump: what the model computes, to a safetensors file. */
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "input.h"
#include "runtime.h"
#include "selection.h"

static int check_flags(const options *given)
{
    int sources = (given->prompt != NULL) + (given->file != NULL) + (given->ids != NULL);
    if (sources != 1)
        return console_usage(given->command,
                             "expected one prompt, --ids IDS, -p TEXT or -f FILE, found %s",
                             sources == 0 ? "none" : "more");
    if (given->output == NULL)
        return console_usage(given->command, "expected a file to write, -o FILE, found none");
    return EXIT_GOOD;
}

/* Well-formed UTF-8 that encodes to the same ids; NULL when a zero byte makes it no text. */
static char *prompt_for_metadata(const input_text *text)
{
    if (text->bytes == NULL || strlen(text->bytes) != text->length)
        return NULL;
    gptoss_utf8_stream utf8 = {.count = 0};
    char *valid = console_resize(NULL, GPTOSS_UTF8_ROOM(text->length) + GPTOSS_UTF8_ROOM(0) + 1, 1);
    size_t length = gptoss_utf8_push(&utf8, text->bytes, text->length, valid);
    length += gptoss_utf8_end(&utf8, valid + length);
    valid[length] = '\0';
    return valid;
}

/* The tokens have been read; the selection refers to them and to the model's layers. */
static int write_dump(runtime *opened, const options *given, const input_text *text,
                      const input_ids *tokens)
{
    gptoss_dump_options selection = {.specials = given->parse_special};
    gptoss_error error;
    uint32_t *positions = NULL;
    char *prompt = prompt_for_metadata(text);
    int status = selection_stages(given, &selection.stages);
    if (status == EXIT_GOOD)
        status = selection_layers(given, gptoss_model_config(opened->model)->layers,
                                  &selection.layer_begin, &selection.layer_end);
    if (status == EXIT_GOOD)
        status = selection_positions(given, tokens->count, &positions, &selection.position_count);
    selection.positions = positions;
    selection.prompt = prompt;
    if (status == EXIT_GOOD) {
        console_catch_interrupt();
        if (gptoss_dump(opened->executor, tokens->ids, tokens->count, &selection, given->output,
                        console_progress, NULL, &error) != GPTOSS_OK)
            status = console_error(&error);
        else
            console_verbose(given, "wrote %s: %zu tokens", given->output, tokens->count);
    }
    free(positions);
    free(prompt);
    return status;
}

int run_dump(const options *given)
{
    runtime opened = {.model = NULL};
    input_text text = {NULL, 0};
    input_ids tokens = {NULL, 0};
    gptoss_numerics numerics;
    int status = check_flags(given);
    if (status == EXIT_GOOD)
        status = selection_numerics(given, GPTOSS_NUMERICS_F32, &numerics);
    if (status == EXIT_GOOD)
        status = runtime_open_model(&opened, given);
    if (status == EXIT_GOOD && given->ids == NULL)
        status = runtime_open_tokenizer(&opened, given, true);
    if (status == EXIT_GOOD)
        status = input_tokens(given, opened.tokenizer, gptoss_model_config(opened.model)->vocab,
                              &text, &tokens);
    const gptoss_sequence_options sequence = {.context = (uint32_t)tokens.count,
                                              .chunk = runtime_chunk(given)};
    if (status == EXIT_GOOD)
        status = runtime_check_memory(&opened, given, &sequence);
    if (status == EXIT_GOOD)
        status = runtime_open_executor(&opened, given, numerics);
    if (status == EXIT_GOOD)
        status = write_dump(&opened, given, &text, &tokens);
    free(text.bytes);
    free(tokens.ids);
    runtime_close(&opened);
    return status;
}
