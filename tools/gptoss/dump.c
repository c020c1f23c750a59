/* gptoss dump: logits and hidden states to a safetensors file. */
#include <stdlib.h>

#include "console.h"
#include "input.h"
#include "session.h"

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

int run_dump(const options *given)
{
    session opened = {NULL, NULL, NULL, NULL};
    input_ids tokens = {NULL, 0};
    gptoss_error error;
    int status = check_flags(given);
    if (status == EXIT_GOOD)
        status = session_open_model(&opened, given);
    if (status == EXIT_GOOD && given->ids == NULL)
        status = session_open_tokenizer(&opened, given, true);
    if (status == EXIT_GOOD)
        status = input_tokens(given, opened.tokenizer, gptoss_model_config(opened.model)->vocab,
                              &tokens);
    if (status == EXIT_GOOD)
        status = session_open_executor(&opened, given);
    if (status == EXIT_GOOD) {
        console_catch_interrupt();
        if (gptoss_dump(opened.executor, tokens.ids, tokens.count, NULL, given->output,
                        console_progress, NULL, &error) != GPTOSS_OK)
            status = console_error(&error);
        else
            console_verbose(given, "wrote %s: %zu tokens", given->output, tokens.count);
    }
    free(tokens.ids);
    session_close(&opened);
    return status;
}
