/* gptoss parity: compares a model or a dump with a reference dump, stage by stage. */
#include "parity.h"

#include <stdlib.h>
#include <string.h>

#include "bus_error.h"
#include "console.h"
#include "runtime.h"
#include "selection.h"

/* What is open during a comparison. */
typedef struct comparison {
    runtime opened;
    gptoss_reference *reference;
    gptoss_reference *candidate; /* NULL with a model */
    gptoss_parity_report *report;
} comparison;

static int check_flags(const options *given)
{
    if (given->reference == NULL)
        return console_usage(given->command,
                             "expected a dump to compare with, --reference FILE, found none");
    if ((given->model == NULL) == (given->candidate == NULL))
        return console_usage(given->command,
                             "expected one of -m PATH and --candidate FILE, found %s",
                             given->model == NULL ? "neither" : "both");
    static const struct {
        flag_id id;
        const char *name;
    } computing[] = {
        {FLAG_ISOLATED, "isolated"}, {FLAG_NUMERICS, "numerics"}, {FLAG_PRECISION, "precision"},
        {FLAG_CPU, "cpu"},           {FLAG_PIN, "pin"},           {FLAG_MLOCK, "mlock"},
        {FLAG_PACK, "pack"},         {FLAG_GEMM, "gemm"}};
    for (size_t i = 0; i < sizeof computing / sizeof computing[0]; i++)
        if (given->candidate != NULL && given->given[computing[i].id])
            return console_usage(given->command,
                                 "--%s: expected a model with it, -m PATH, found --candidate",
                                 computing[i].name);
    return EXIT_GOOD;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int open_dump(const options *given, const char *path, gptoss_reference **out,
                     parity_source *source)
{
    gptoss_error error;
    double start = console_seconds();
    if (gptoss_reference_open(path, out, &error) != GPTOSS_OK)
        return console_error(&error);
    source->path = path;
    source->producer = gptoss_reference_metadata(*out, "producer");
    source->dtype = gptoss_reference_metadata(*out, "dtype");
    source->numerics = gptoss_reference_metadata(*out, "numerics");
    source->precision = gptoss_reference_metadata(*out, "precision");
    size_t count;
    gptoss_reference_ids(*out, &count);
    console_verbose(given, "opened %s, a dump of %zu tokens, in %.3f s", path, count,
                    console_seconds() - start);
    return EXIT_GOOD;
}

static int open_model(comparison *of, const options *given, parity_source *source)
{
    gptoss_numerics numerics;
    bool bf16 = gptoss_reference_is_bf16(of->reference);
    int status = selection_numerics(given, bf16 ? GPTOSS_NUMERICS_TORCH_BF16 : GPTOSS_NUMERICS_F32,
                                    &numerics);
    if (status == EXIT_GOOD)
        status = runtime_open_model(&of->opened, given);
    size_t tokens;
    gptoss_reference_ids(of->reference, &tokens);
    const gptoss_sequence_options sequence = {.context = (uint32_t)tokens,
                                              .chunk = runtime_chunk(given)};
    if (status == EXIT_GOOD)
        status = runtime_check_memory(&of->opened, given, &sequence);
    if (status == EXIT_GOOD)
        status = runtime_open_executor(&of->opened, given, numerics);
    if (status == EXIT_GOOD) {
        source->path = gptoss_model_directory(of->opened.model);
        source->producer = "gptoss " GPTOSS_VERSION;
        source->numerics = gptoss_numerics_name(numerics);
        source->precision = given->precision;
    }
    return status;
}

/* ---- the prompt ------------------------------------------------------------------------------ */

static void compare_ids(parity_prompt *prompt, const uint32_t *dumped, size_t dumped_count,
                        const uint32_t *encoded, size_t encoded_count)
{
    size_t at = 0;
    while (at < dumped_count && at < encoded_count && dumped[at] == encoded[at])
        at++;
    prompt->checked = true;
    prompt->token = at;
    prompt->in_dump = at < dumped_count;
    prompt->in_encoded = at < encoded_count;
    prompt->departed = prompt->in_dump || prompt->in_encoded;
    prompt->dump_id = prompt->in_dump ? dumped[at] : 0;
    prompt->encoded_id = prompt->in_encoded ? encoded[at] : 0;
}

/* Encodes the text of the reference again, if it has one and there is a tokenizer. */
static int check_prompt(comparison *of, const options *given, parity_prompt *prompt)
{
    const char *text = gptoss_reference_metadata(of->reference, "prompt");
    const char *specials = gptoss_reference_metadata(of->reference, "specials");
    if (text == NULL || (of->opened.model == NULL && given->tokenizer == NULL))
        return EXIT_GOOD;
    int status = runtime_open_tokenizer(&of->opened, given, false);
    if (status != EXIT_GOOD)
        return status;
    if (of->opened.tokenizer == NULL)
        return EXIT_GOOD;
    size_t dumped_count, encoded_count;
    uint32_t *encoded;
    gptoss_error error;
    const uint32_t *dumped = gptoss_reference_ids(of->reference, &dumped_count);
    if (gptoss_tokenizer_encode(of->opened.tokenizer, text, strlen(text),
                                specials != NULL && strcmp(specials, "true") == 0, &encoded,
                                &encoded_count, &error) != GPTOSS_OK)
        return console_error(&error);
    compare_ids(prompt, dumped, dumped_count, encoded, encoded_count);
    free(encoded);
    return EXIT_GOOD;
}

static void note_unchecked_prompt(const comparison *of, const parity_prompt *prompt)
{
    if (!prompt->checked && of->opened.model != NULL &&
        gptoss_reference_metadata(of->reference, "prompt") != NULL)
        console_note("the dump's prompt was not checked: there is no tokenizer beside or above %s",
                     gptoss_model_directory(of->opened.model));
}

/* ---- comparing ------------------------------------------------------------------------------- */

static int compare(comparison *of, const options *given)
{
    gptoss_parity_options wanted = {.isolated = given->isolated, .tolerances = given->tolerances};
    gptoss_error error;
    bool all = strcmp(given->stages, "all") == 0; /* that the dump has */
    int status = all ? EXIT_GOOD : selection_stages(given, &wanted.stages);
    if (status != EXIT_GOOD)
        return status;
    console_catch_interrupt();
    gptoss_status compared = of->candidate != NULL
                                 ? gptoss_parity_dumps(of->reference, of->candidate, &wanted,
                                                       console_progress, NULL, &of->report, &error)
                                 : gptoss_parity(of->opened.executor, of->reference, &wanted,
                                                 console_progress, NULL, &of->report, &error);
    return compared == GPTOSS_OK ? EXIT_GOOD : console_error(&error);
}

/* Prints what was asked for; EXIT_GOOD when all of it could be written. */
static int show(const parity_run *run)
{
    if (run->given->json)
        parity_print_json(run, stdout);
    else
        parity_print_text(run, stdout);
    if (!console_stream("", 0))
        return EXIT_FAILED; /* console_close says why */
    return run->given->html != NULL ? parity_write_page(run, run->given->html) : EXIT_GOOD;
}

/* EXIT_GOOD when there is a verdict. */
static int run_comparison(comparison *of, const options *given, bool *pass)
{
    parity_run run = {.given = given};
    double start = console_seconds();
    int status = check_flags(given);
    if (status == EXIT_GOOD)
        status = open_dump(given, given->reference, &of->reference, &run.reference);
    if (status == EXIT_GOOD)
        status = given->candidate != NULL
                     ? open_dump(given, given->candidate, &of->candidate, &run.candidate)
                     : open_model(of, given, &run.candidate);
    if (status == EXIT_GOOD)
        status = check_prompt(of, given, &run.prompt);
    if (status == EXIT_GOOD)
        status = compare(of, given);
    if (status != EXIT_GOOD)
        return status;
    status = runtime_check_weights(&of->opened);
    if (status != EXIT_GOOD)
        return status;
    note_unchecked_prompt(of, &run.prompt);
    console_verbose(given, "compared in %.1f s", console_seconds() - start);
    gptoss_reference_ids(of->reference, &run.tokens);
    run.report = of->report;
    *pass = parity_pass(&run);
    return show(&run);
}

int run_parity(const options *given)
{
    comparison of = {.reference = NULL};
    bool pass = false;
    bus_error_catch(EXIT_USAGE);
    console_fail_with(EXIT_USAGE);
    int status = run_comparison(&of, given, &pass);
    gptoss_parity_free(of.report);
    gptoss_reference_close(of.candidate);
    gptoss_reference_close(of.reference);
    runtime_close(&of.opened);
    if (status == EXIT_GOOD)
        return pass ? EXIT_GOOD : EXIT_FAILED;
    return status == EXIT_FAILED ? EXIT_USAGE : status;
}
