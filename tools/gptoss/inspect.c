/* gptoss inspect: describes a checkpoint. */
#include "inspect.h"

#include <stdlib.h>

#include "console.h"
#include "runtime.h"

uint64_t inspection_needs(const inspection *of)
{
    return of->memory.weights + of->memory.cache + of->memory.scratch;
}

uint32_t inspection_sliding_layers(const gptoss_config *config)
{
    uint32_t count = 0;
    for (uint32_t layer = 0; layer < config->layers; layer++)
        count += config->sliding[layer];
    return count;
}

static int digest_files(inspection *of)
{
    size_t count = gptoss_model_file_count(of->model);
    of->digests = console_resize(NULL, count, sizeof *of->digests);
    gptoss_error error;
    for (size_t i = 0; i < count; i++)
        if (gptoss_model_file_sha256(of->model, i, console_progress, NULL, of->digests[i],
                                     &error) != GPTOSS_OK)
            return console_error(&error);
    return EXIT_GOOD;
}

static int check_weights(const inspection *of)
{
    gptoss_error error;
    if (gptoss_model_check(of->model, console_progress, NULL, &error) != GPTOSS_OK)
        return console_error(&error);
    return EXIT_GOOD;
}

static int look(inspection *of)
{
    of->config = gptoss_model_config(of->model);
    of->context = of->given->context > 0 ? (uint32_t)of->given->context : of->config->context;
    if (of->context > of->config->context)
        return console_usage(of->given->command,
                             "--ctx-size: the model is made for at most %u positions, found %u",
                             of->config->context, of->context);
    gptoss_model_describe(of->model, &of->info);
    gptoss_sequence_options sequence = runtime_sequence(of->given, of->context);
    gptoss_model_forecast(of->model, &sequence, &of->memory);
    console_catch_interrupt();
    int status = of->given->sha256 ? digest_files(of) : EXIT_GOOD;
    if (status == EXIT_GOOD && of->given->check)
        status = check_weights(of);
    return status;
}

int run_inspect(const options *given)
{
    runtime opened = {.model = NULL};
    double start = console_seconds();
    int status = runtime_open_model(&opened, given);
    inspection of = {.given = given, .model = opened.model, .seconds = console_seconds() - start};
    if (status == EXIT_GOOD)
        status = look(&of);
    if (status == EXIT_GOOD && (given->check || given->sha256))
        status = runtime_check_weights(&opened);
    if (status == EXIT_GOOD && given->json)
        inspect_print_json(&of);
    else if (status == EXIT_GOOD)
        inspect_print_text(&of);
    free(of.digests);
    runtime_close(&opened);
    return status;
}
