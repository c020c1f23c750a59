/*
 * models/austen against what transformers computed with it (tools/reference/austen_golden.py):
 * token ids, the first likelihoods, greedy continuations, and the perplexity of the held-out text
 * as the program prints it.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "check.h"
#include "gptoss.h"

#define CHUNK          256
#define LOGPROB_LIMIT  1e-4
#define PERPLEXITY_ULP 5e-5 /* relative: half of the fourth significant digit at worst */

typedef struct session {
    gptoss_model *model;
    gptoss_tokenizer *tokenizer;
    gptoss_executor *executor;
    gptoss_sequence *sequence;
} session;

static bool session_open(session *s)
{
    gptoss_error error;
    *s = (session){0};
    gptoss_status status = gptoss_model_open(MODEL_DIR, &s->model, &error);
    if (status == GPTOSS_OK)
        status = gptoss_tokenizer_open(MODEL_DIR, &s->tokenizer, &error);
    if (status == GPTOSS_OK)
        status = gptoss_executor_open(s->model, NULL, &s->executor, &error);
    if (status == GPTOSS_OK)
        status = gptoss_sequence_open(s->model, &(gptoss_sequence_options){.chunk = CHUNK},
                                      &s->sequence, &error);
    CHECK(status == GPTOSS_OK, "%s", error.message);
    return status == GPTOSS_OK;
}

static void session_close(session *s)
{
    gptoss_sequence_close(s->sequence);
    gptoss_executor_close(s->executor);
    gptoss_tokenizer_close(s->tokenizer);
    gptoss_model_close(s->model);
}

/* A file of this directory as JSON; NULL after a failed check. */
static json_value *open_golden(const char *name)
{
    char path[1024];
    gptoss_error error;
    json_value *document = NULL;
    snprintf(path, sizeof path, "%s/%s", GOLDEN_DIR, name);
    gptoss_status status = json_parse_file(path, &document, &error);
    CHECK(status == GPTOSS_OK, "%s", error.message);
    return document;
}

/* A number of an object; NaN after a failed check. */
static double number(const json_value *object, const char *name)
{
    const json_value *value = json_member(object, name);
    CHECK(json_is_number(value), "no number %s", name);
    return json_is_number(value) ? json_number(value) : NAN;
}

/* Whether an array of numbers begins with these ids, or is them when `whole`. */
static bool same_ids(const json_value *array, const uint32_t *ids, size_t count, bool whole)
{
    size_t i = 0;
    const json_value *value = json_first(array);
    for (; value && i < count; value = json_next(value), i++)
        if (!json_is_number(value) || json_number(value) != ids[i])
            return false;
    return !value && (!whole || i == count);
}

/* ---- the beginning of the held-out text ------------------------------------------------------ */

static void check_likelihoods(session *s, const json_value *golden, const uint32_t *ids)
{
    const json_value *wanted = json_member(golden, "first_nll");
    size_t count = json_count(wanted);
    gptoss_row *rows = calloc(count, sizeof *rows);
    for (size_t i = 0; i < count; i++)
        rows[i] = (gptoss_row){s->sequence, (uint32_t)i, ids[i], true};
    const float *logits = NULL;
    gptoss_error error;
    gptoss_status status = gptoss_executor_forward(s->executor, rows, count, &logits, &error);
    CHECK(status == GPTOSS_OK, "%s", error.message);
    uint32_t vocab = gptoss_model_config(s->model)->vocab;
    const json_value *value = json_first(wanted);
    for (size_t i = 0; status == GPTOSS_OK && value; i++, value = json_next(value)) {
        double ours = -gptoss_logprob(logits + i * vocab, vocab, ids[i + 1]);
        CHECK(fabs(ours - json_number(value)) <= LOGPROB_LIMIT, "token %zu: %.6f, not %.6f", i + 1,
              ours, json_number(value));
    }
    free(rows);
}

static void check_held_out(session *s)
{
    gptoss_error error;
    file_map text = {0};
    uint32_t *ids = NULL;
    size_t count = 0;
    json_value *golden = open_golden("perplexity.json");
    gptoss_status status = file_map_open(GOLDEN_DIR "/heldout.txt", &text, &error);
    if (status == GPTOSS_OK)
        status = gptoss_tokenizer_encode(s->tokenizer, (const char *)text.data, text.size, false,
                                         &ids, &count, &error);
    CHECK(status == GPTOSS_OK, "%s", error.message);
    if (golden && ids && count > 0) {
        CHECK(number(golden, "tokens") == (double)count - 1, "%zu tokens", count);
        CHECK(same_ids(json_member(golden, "first_ids"), ids, count, false), "other token ids");
        check_likelihoods(s, golden, ids);
    }
    free(ids);
    file_map_close(&text);
    json_free(golden);
}

/* ---- greedy continuations -------------------------------------------------------------------- */

typedef struct made {
    uint32_t ids[256];
    size_t count;
} made;

static bool keep_token(void *user, const gptoss_generated *token)
{
    made *m = user;
    if (token->choice.id != UINT32_MAX && m->count < sizeof m->ids / sizeof *m->ids)
        m->ids[m->count++] = token->choice.id;
    return true;
}

static void check_completion(session *s, const json_value *golden)
{
    gptoss_error error;
    const json_value *text = json_member(golden, "prompt");
    const char *prompt = json_is_string(text) ? json_string(text) : "";
    const json_value *wanted = json_member(golden, "ids");
    made m = {.count = 0};
    uint32_t *ids = NULL;
    size_t count = 0;
    gptoss_status status =
        gptoss_tokenizer_encode(s->tokenizer, prompt, strlen(prompt), false, &ids, &count, &error);
    CHECK(status == GPTOSS_OK, "%s", error.message);
    CHECK(same_ids(json_member(golden, "prompt_ids"), ids, count, true), "%s: other ids", prompt);
    if (status == GPTOSS_OK) {
        gptoss_result result;
        gptoss_request request = {.prompt = ids,
                                  .prompt_count = count,
                                  .max_tokens = (uint32_t)json_count(wanted),
                                  .sampling = {.top_p = 1},
                                  .ignore_stops = true,
                                  .on_token = keep_token,
                                  .user = &m};
        gptoss_sequence_clear(s->sequence);
        status = gptoss_generate(s->executor, s->sequence, s->tokenizer, &request, &result, &error);
        CHECK(status == GPTOSS_OK, "%s", error.message);
    }
    CHECK(same_ids(wanted, m.ids, m.count, true), "%s: another continuation", prompt);
    free(ids);
}

static void check_completions(session *s)
{
    json_value *golden = open_golden("greedy.json");
    const json_value *all = json_member(golden, "completions");
    CHECK(json_count(all) > 0, "no completions");
    for (const json_value *one = json_first(all); one; one = json_next(one))
        check_completion(s, one);
    json_free(golden);
}

/* ---- what the program prints ----------------------------------------------------------------- */

static void compare_perplexity(const json_value *ours, const json_value *golden)
{
    static const char *const names[] = {"perplexity", "nll", "stderr"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        double value = number(ours, names[i]);
        double wanted = number(golden, names[i]);
        printf("%s %.8g, by transformers %.8g\n", names[i], value, wanted);
        CHECK(fabs(value - wanted) <= PERPLEXITY_ULP * wanted, "%s is %.8g, not %.8g", names[i],
              value, wanted);
    }
    CHECK(number(ours, "tokens") == number(golden, "tokens"), "other tokens");
}

static void check_perplexity(void)
{
    char command[4096], text[4096];
    gptoss_error error;
    json_value *golden = open_golden("perplexity.json"), *ours = NULL;
    snprintf(command, sizeof command,
             "'%s' perplexity -m '%s' -f '%s' -c %.0f --stride %.0f --json", PROGRAM, MODEL_DIR,
             GOLDEN_DIR "/heldout.txt", number(golden, "context"), number(golden, "stride"));
    FILE *program = popen(command, "r");
    size_t length = program ? fread(text, 1, sizeof text, program) : 0;
    int exit_status = program ? pclose(program) : -1;
    CHECK(exit_status == 0, "%s ended with %d", command, exit_status);
    gptoss_status status = json_parse(text, length, "what perplexity printed", &ours, &error);
    CHECK(status == GPTOSS_OK, "%s", error.message);
    if (status == GPTOSS_OK)
        compare_perplexity(ours, golden);
    json_free(ours);
    json_free(golden);
}

int main(void)
{
    session s;
    if (session_open(&s)) {
        check_held_out(&s);
        check_completions(&s);
    }
    session_close(&s);
    check_perplexity();
    return test_result();
}
