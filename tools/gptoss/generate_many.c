#include "generate_many.h"

#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "generate_run.h"
#include "generate_session.h"
#include "sampling.h"

/* Fewer tokens that the next prompt begins with as well are not worth a mark: feeding up to it is a
 * pass of its own. */
enum { LEAST_MARKED = 32 };

typedef struct many {
    const options *given;
    runtime opened;
    gptoss_prompt_list *list;
    const gptoss_prompt *prompts; /* [count] */
    size_t count;
    input_ids *ids; /* [count] */
    struct {
        uint64_t fed;
        uint64_t reused;
        uint64_t generated;
    } totals;
} many;

bool generate_is_many(const options *given)
{
    static const char ending[] = ".jsonl";
    size_t length = given->file == NULL ? 0 : strlen(given->file);
    return length >= sizeof ending - 1 &&
           strcmp(given->file + length - (sizeof ending - 1), ending) == 0;
}

/* ---- before anything runs -------------------------------------------------------------------- */

static int read_prompts(many *of)
{
    input_text text;
    gptoss_error error;
    int status = input_read(of->given->file, &text);
    if (status != EXIT_GOOD)
        return status;
    if (gptoss_prompts_read(text.bytes, text.length, of->given->file, &of->list, &error) !=
        GPTOSS_OK)
        status = console_error(&error);
    free(text.bytes);
    if (status == EXIT_GOOD)
        of->prompts = gptoss_prompts(of->list, &of->count);
    return status;
}

/* Whether a tokenizer is needed. */
static bool has_text(const many *of)
{
    bool found = of->given->stop_count > 0;
    for (size_t i = 0; i < of->count; i++)
        found = found || of->prompts[i].ids == NULL;
    return found;
}

static int refuse(const many *of, size_t index, const char *sentence)
{
    console_note("%s:%zu: %s", of->given->file, of->prompts[index].line, sentence);
    return EXIT_FAILED;
}

static gptoss_status encode(const many *of, size_t index, gptoss_error *error)
{
    const gptoss_prompt *prompt = &of->prompts[index];
    input_ids *out = &of->ids[index];
    if (prompt->ids == NULL)
        return gptoss_tokenizer_encode(of->opened.tokenizer, prompt->text.data, prompt->text.length,
                                       of->given->parse_special, &out->ids, &out->count, error);
    out->ids = console_resize(NULL, prompt->id_count + 1, sizeof *out->ids);
    out->count = prompt->id_count;
    memcpy(out->ids, prompt->ids, prompt->id_count * sizeof *out->ids);
    return GPTOSS_OK;
}

static int check_ids(const many *of, size_t index)
{
    const input_ids *list = &of->ids[index];
    uint32_t vocab = gptoss_model_config(of->opened.model)->vocab;
    char sentence[100];
    if (list->count == 0)
        return refuse(of, index, "expected a prompt of at least one token, found an empty one");
    for (size_t i = 0; i < list->count; i++) {
        if (list->ids[i] < vocab)
            continue;
        snprintf(sentence, sizeof sentence,
                 "expected token ids below the vocabulary's %u, found %u", vocab, list->ids[i]);
        return refuse(of, index, sentence);
    }
    return EXIT_GOOD;
}

static int encode_all(many *of)
{
    gptoss_error error;
    int status = EXIT_GOOD;
    of->ids = console_resize(NULL, of->count, sizeof *of->ids);
    memset(of->ids, 0, of->count * sizeof *of->ids);
    for (size_t i = 0; i < of->count && status == EXIT_GOOD; i++) {
        if (encode(of, i, &error) != GPTOSS_OK)
            status = refuse(of, i, error.message);
        else
            status = check_ids(of, i);
    }
    return status;
}

/* Most tokens to generate after a prompt; UINT32_MAX: any number. */
static uint32_t most_tokens(const many *of, size_t index)
{
    const gptoss_prompt *prompt = &of->prompts[index];
    if (prompt->has_max_tokens)
        return prompt->max_tokens;
    return of->given->predict < 0 ? UINT32_MAX : (uint32_t)of->given->predict;
}

/* Opens a sequence in which the longest of the prompts has room with its continuation. */
static int open_sequence(many *of)
{
    uint64_t wanted = 1;
    char sentence[100];
    for (size_t i = 0; i < of->count; i++) {
        uint64_t most = most_tokens(of, i);
        uint64_t whole = most == UINT32_MAX ? 0 : of->ids[i].count + most;
        wanted = wanted == 0 || whole == 0 ? 0 : whole > wanted ? whole : wanted;
    }
    of->opened.marked = of->count > 1;
    int status = generate_session_open(&of->opened, of->given, 1, wanted);
    for (size_t i = 0; i < of->count && status == EXIT_GOOD; i++) {
        uint32_t context = gptoss_sequence_context(of->opened.sequence);
        if (of->ids[i].count <= context)
            continue;
        snprintf(sentence, sizeof sentence, "the prompt has %zu tokens, the context holds %u",
                 of->ids[i].count, context);
        status = refuse(of, i, sentence);
    }
    return status;
}

static int open_all(many *of)
{
    const options *given = of->given;
    int status = read_prompts(of);
    if (status == EXIT_GOOD)
        status = runtime_open_model(&of->opened, given);
    if (status == EXIT_GOOD)
        status = runtime_open_tokenizer(&of->opened, given, has_text(of));
    if (status == EXIT_GOOD)
        status = encode_all(of);
    if (status == EXIT_GOOD)
        status = open_sequence(of);
    return status == EXIT_GOOD ? runtime_open_executor(&of->opened, given, GPTOSS_NUMERICS_F32)
                               : status;
}

/* ---- running --------------------------------------------------------------------------------- */

/* Where the sequence is marked within a prompt, for the next one or, in a session, for the next
 * run. */
static size_t place_of_mark(const many *of, size_t index)
{
    const input_ids *here = &of->ids[index];
    if (index + 1 == of->count)
        return of->given->session != NULL ? here->count - 1 : 0;
    const input_ids *next = &of->ids[index + 1];
    size_t most = (here->count < next->count ? here->count : next->count) - 1;
    size_t common = 0;
    while (common < most && here->ids[common] == next->ids[common])
        common++;
    return common >= LEAST_MARKED ? common : 0;
}

static int run_one(many *of, size_t index)
{
    const gptoss_prompt *prompt = &of->prompts[index];
    generation one = {.given = of->given,
                      .opened = &of->opened,
                      .prompt = of->ids[index],
                      .most = most_tokens(of, index),
                      .sampling = sampling_asked(of->given, gptoss_model_config(of->opened.model)),
                      .mark = place_of_mark(of, index),
                      .kept = {.with_top = of->given->given[FLAG_LOGPROBS]}};
    gptoss_error error;
    int status = EXIT_GOOD;
    if (prompt->has_seed)
        one.sampling.seed = prompt->seed;
    if (generation_run(&one, &error) != GPTOSS_OK)
        status = console_error(&error);
    else
        status = runtime_check_weights(&of->opened);
    if (status == EXIT_GOOD) {
        record_print_json(&one, prompt->id);
        status = !console_stream("", 0)  ? EXIT_FAILED /* console_close says why */
                 : console_interrupted() ? EXIT_INTERRUPTED
                                         : EXIT_GOOD;
        if (of->given->verbose)
            record_print_summary(&one);
    }
    of->totals.reused += one.reused;
    of->totals.fed += one.prompt.count - one.reused;
    of->totals.generated += one.result.tokens;
    record_free(&one.kept);
    return status;
}

static int run_all(many *of)
{
    int status = EXIT_GOOD;
    size_t done = 0;
    double start = console_seconds();
    console_catch_interrupt();
    while (done < of->count && status == EXIT_GOOD) {
        status = run_one(of, done);
        done += status == EXIT_GOOD;
    }
    console_note("%zu of %zu prompts in %.2f s: %llu prompt tokens read, %llu found in the cache, "
                 "%llu tokens generated",
                 done, of->count, console_seconds() - start, (unsigned long long)of->totals.fed,
                 (unsigned long long)of->totals.reused, (unsigned long long)of->totals.generated);
    if (status != EXIT_GOOD && status != EXIT_INTERRUPTED)
        return status;
    int saved = generate_session_save(&of->opened, of->given);
    return saved == EXIT_GOOD ? status : saved;
}

int generate_many(const options *given)
{
    many of = {.given = given};
    int status = open_all(&of);
    if (status == EXIT_GOOD)
        status = run_all(&of);
    for (size_t i = 0; i < of.count && of.ids != NULL; i++)
        free(of.ids[i].ids);
    free(of.ids);
    gptoss_prompts_close(of.list);
    runtime_close(&of.opened);
    return status;
}
