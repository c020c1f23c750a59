/* What opens files and compares them, with every single allocation failing in turn: a failure is a
 * sentence, and nothing is left behind. */
#include <stdlib.h>
#include <string.h>

#include "allocations.h"
#include "base/map.h"
#include "check.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config.h"
#include "gptoss.h"
#include "scratch.h"

#define MODEL     GPTOSS_SOURCE_DIR "/tests/golden/published/hf-mxfp4"
#define DUMPS     GPTOSS_SOURCE_DIR "/tests/golden/published/"
#define SEEDS     GPTOSS_SOURCE_DIR "/tests/fuzz/corpus/dump/"
#define TOKENIZER GPTOSS_SOURCE_DIR "/tests/fuzz/corpus/tokenizer/"

/* ---- what is opened, and closed again when that worked --------------------------------------- */

static gptoss_status use_checkpoint(gptoss_error *error)
{
    checkpoint *files = NULL;
    gptoss_status status = checkpoint_open(MODEL, &files, error);
    CHECK((status == GPTOSS_OK) == (files != NULL), "status %d", status);
    checkpoint_close(files);
    return status;
}

static gptoss_status use_file(gptoss_error *error)
{
    checkpoint *files = NULL;
    gptoss_status status = checkpoint_open(MODEL "/model.safetensors", &files, error);
    checkpoint_close(files);
    return status;
}

static gptoss_status use_config(gptoss_error *error)
{
    static gptoss_config config;
    return config_load(MODEL, &config, error);
}

static gptoss_status use_model(gptoss_error *error)
{
    gptoss_model *model = NULL;
    gptoss_sequence *sequence = NULL;
    gptoss_status status = gptoss_model_open(MODEL, &model, error);
    CHECK((status == GPTOSS_OK) == (model != NULL), "status %d", status);
    if (status == GPTOSS_OK)
        status = gptoss_sequence_open(model, &(gptoss_sequence_options){.context = 64, .chunk = 16},
                                      &sequence, error);
    gptoss_sequence_close(sequence);
    gptoss_model_close(model);
    return status;
}

static gptoss_status use_dump(gptoss_error *error)
{
    static const uint32_t tokens[] = {1, 2, 3};
    const gptoss_dump_options options = {.prompt = "hello"};
    gptoss_model *model = NULL;
    gptoss_executor *executor = NULL;
    gptoss_status status = gptoss_model_open(MODEL, &model, error);
    if (status == GPTOSS_OK)
        status = gptoss_executor_open(model, NULL, &executor, error);
    if (status == GPTOSS_OK)
        status =
            gptoss_dump(executor, tokens, 3, &options, scratch_path("dump"), NULL, NULL, error);
    CHECK(access(scratch_path("dump"), F_OK) == (status == GPTOSS_OK ? 0 : -1), "status %d",
          status);
    remove(scratch_path("dump"));
    gptoss_executor_close(executor);
    gptoss_model_close(model);
    return status;
}

static gptoss_status use_tokenizer(const char *path, gptoss_error *error)
{
    static const char text[] = "hello <|start|> \xff the token's\u00a0type \U0001f600 hellhello";
    gptoss_tokenizer *tokenizer = NULL;
    uint32_t *ids = NULL;
    size_t count = 0;
    gptoss_status status = gptoss_tokenizer_open(path, &tokenizer, error);
    CHECK((status == GPTOSS_OK) == (tokenizer != NULL), "status %d", status);
    if (status != GPTOSS_OK)
        return status;
    status = gptoss_tokenizer_encode(tokenizer, text, strlen(text), true, &ids, &count, error);
    CHECK(status == GPTOSS_OK ? ids != NULL : ids == NULL && count == 0, "status %d", status);
    free(ids);
    gptoss_tokenizer_close(tokenizer);
    return status;
}

static gptoss_status use_merge_pairs(gptoss_error *error)
{
    return use_tokenizer(TOKENIZER "good_pairs.json", error);
}

static gptoss_status use_merge_strings(gptoss_error *error)
{
    return use_tokenizer(TOKENIZER "good_strings.json", error);
}

static gptoss_status use_sorted_merges(gptoss_error *error)
{
    return use_tokenizer(TOKENIZER "good_sorted.json", error);
}

static gptoss_status use_reference(const char *path, gptoss_error *error)
{
    gptoss_reference *dump = NULL;
    gptoss_status status = gptoss_reference_open(path, &dump, error);
    CHECK((status == GPTOSS_OK) == (dump != NULL), "status %d", status);
    gptoss_reference_close(dump);
    return status;
}

static gptoss_status use_plain_dump(gptoss_error *error)
{
    return use_reference(SEEDS "good_all.safetensors", error);
}

static gptoss_status use_packed_dump(gptoss_error *error)
{
    return use_reference(SEEDS "good_layer.safetensors.gz", error);
}

/* What is compared, opened while memory lasts. */
static struct {
    gptoss_model *model;
    gptoss_executor *executor;
    gptoss_reference *reference;
    gptoss_reference *candidate;
} compared;

static void open_compared(void)
{
    const gptoss_executor_options one = {.threads = 1, .chunk = 16};
    CHECK(gptoss_model_open(MODEL, &compared.model, NULL) == GPTOSS_OK, "model");
    CHECK(gptoss_executor_open(compared.model, &one, &compared.executor, NULL) == GPTOSS_OK,
          "executor");
    CHECK(gptoss_reference_open(DUMPS "openai.safetensors", &compared.reference, NULL) == GPTOSS_OK,
          "a dump");
    CHECK(gptoss_reference_open(DUMPS "openai-bf16.safetensors", &compared.candidate, NULL) ==
              GPTOSS_OK,
          "another dump");
}

static void close_compared(void)
{
    gptoss_reference_close(compared.candidate);
    gptoss_reference_close(compared.reference);
    gptoss_executor_close(compared.executor);
    gptoss_model_close(compared.model);
}

static gptoss_status use_replay(gptoss_error *error)
{
    gptoss_parity_report *report = NULL;
    gptoss_status status =
        gptoss_parity(compared.executor, compared.reference, NULL, NULL, NULL, &report, error);
    CHECK((status == GPTOSS_OK) == (report != NULL), "status %d", status);
    gptoss_parity_free(report);
    return status;
}

/* Of float32 and bfloat16, between which a token's experts differ. */
static gptoss_status use_dump_pair(gptoss_error *error)
{
    gptoss_parity_report *report = NULL;
    gptoss_status status = gptoss_parity_dumps(compared.reference, compared.candidate, NULL, NULL,
                                               NULL, &report, error);
    CHECK(status == GPTOSS_OK ? report != NULL && report->flip_count > 0 : report == NULL,
          "status %d", status);
    gptoss_parity_free(report);
    return status;
}

/* ---- sessions -------------------------------------------------------------------------------- */

/* A sequence whose rings have moved on from a mark. */
static struct {
    gptoss_model *model;
    gptoss_sequence *sequence;
} saved;

static void open_saved(void)
{
    uint32_t tokens[100] = {1, 2, 3};
    gptoss_executor *executor = NULL;
    const gptoss_sequence_options options = {.context = 128, .chunk = 16};
    const gptoss_executor_options one = {.threads = 1, .chunk = 16};
    CHECK(gptoss_model_open(MODEL, &saved.model, NULL) == GPTOSS_OK, "model");
    CHECK(gptoss_executor_open(saved.model, &one, &executor, NULL) == GPTOSS_OK &&
              gptoss_sequence_open(saved.model, &options, &saved.sequence, NULL) == GPTOSS_OK,
          "executor and sequence");
    CHECK(gptoss_executor_feed(executor, saved.sequence, tokens, 20, NULL, NULL, NULL, NULL) ==
                  GPTOSS_OK &&
              gptoss_sequence_mark(saved.sequence, NULL) == GPTOSS_OK &&
              gptoss_executor_feed(executor, saved.sequence, tokens, 100, NULL, NULL, NULL, NULL) ==
                  GPTOSS_OK &&
              gptoss_sequence_save(saved.sequence, "note", 4, scratch_path("saved"), NULL) ==
                  GPTOSS_OK,
          "a session");
    gptoss_executor_close(executor);
}

static void close_saved(void)
{
    gptoss_sequence_close(saved.sequence);
    gptoss_model_close(saved.model);
}

static gptoss_status use_saving(gptoss_error *error)
{
    const char *path = scratch_path("session");
    gptoss_status status = gptoss_sequence_save(saved.sequence, "note", 4, path, error);
    CHECK(access(path, F_OK) == (status == GPTOSS_OK ? 0 : -1), "status %d", status);
    remove(path);
    return status;
}

static gptoss_status use_loading(gptoss_error *error)
{
    gptoss_sequence *sequence = NULL;
    char *note = NULL;
    size_t length = 0;
    gptoss_status status = gptoss_sequence_load(saved.model, scratch_path("saved"), NULL, &sequence,
                                                &note, &length, error);
    CHECK(status == GPTOSS_OK ? sequence != NULL && length == 4
                              : sequence == NULL && note == NULL && length == 0,
          "status %d", status);
    gptoss_sequence_close(sequence);
    free(note);
    return status;
}

/* ---- conversations --------------------------------------------------------------------------- */

static struct {
    gptoss_tokenizer *tokenizer;
    file_map json; /* a conversation with everything that can be in one */
} talked;

static void open_talked(void)
{
    CHECK(gptoss_tokenizer_open(GPTOSS_SOURCE_DIR "/tests/cli/data/tokenizer.json",
                                &talked.tokenizer, NULL) == GPTOSS_OK,
          "a tokenizer");
    CHECK(file_map_open(GPTOSS_SOURCE_DIR "/tests/fuzz/corpus/render/good_all.json", &talked.json,
                        NULL) == GPTOSS_OK,
          "a conversation");
}

static void close_talked(void)
{
    file_map_close(&talked.json);
    gptoss_tokenizer_close(talked.tokenizer);
}

static gptoss_status use_conversation(gptoss_error *error)
{
    gptoss_conversation *conversation = NULL;
    uint32_t *ids = NULL;
    size_t count = 0;
    gptoss_status status = gptoss_conversation_read((const char *)talked.json.data,
                                                    talked.json.size, "it", &conversation, error);
    CHECK((status == GPTOSS_OK) == (conversation != NULL), "status %d", status);
    if (status == GPTOSS_OK) {
        size_t messages;
        const gptoss_message *first = gptoss_conversation_messages(conversation, &messages);
        status = gptoss_render(talked.tokenizer, first, messages, NULL, &ids, &count, error);
        CHECK(status == GPTOSS_OK ? count > 0 : ids == NULL && count == 0, "status %d", status);
    }
    free(ids);
    gptoss_conversation_close(conversation);
    return status;
}

static gptoss_status use_parser(gptoss_error *error)
{
    static const char said[] =
        "<|channel|>analysis x<|message|>a<|end|>b \xc3\xa9<|channel|>final<|message|>c<|end|>"
        "<|start|>one two three to=f<|message|>d<|end|><|start|>u<|end|>one two three four five";
    gptoss_parser *parser = NULL;
    uint32_t *ids = NULL;
    size_t count = 0;
    gptoss_status status =
        gptoss_tokenizer_encode(talked.tokenizer, said, sizeof said - 1, true, &ids, &count, error);
    if (status == GPTOSS_OK)
        status = gptoss_parser_open(talked.tokenizer, NULL, &parser, error);
    for (size_t i = 0; i < count && status == GPTOSS_OK; i++)
        status = gptoss_parser_push(parser, ids[i], error);
    if (status == GPTOSS_OK)
        status = gptoss_parser_end(parser, error);
    gptoss_parser_close(parser);
    free(ids);
    return status;
}

static gptoss_status use_prompts(gptoss_error *error)
{
    static const char lines[] = "{\"prompt\": \"a\\tb\", \"id\": \"x\"}\n\n{\"ids\": [1, 2]}\n";
    gptoss_prompt_list *list = NULL;
    gptoss_status status = gptoss_prompts_read(lines, sizeof lines - 1, "it", &list, error);
    CHECK((status == GPTOSS_OK) == (list != NULL), "status %d", status);
    gptoss_prompts_close(list);
    return status;
}

static gptoss_status use_tools(gptoss_error *error)
{
    static const char json[] = "[{\"name\": \"f\", \"description\": \"\\u00e9\"},"
                               "{\"function\": {\"name\": \"g\", \"parameters\": {}}}]";
    gptoss_tool_list *list = NULL;
    gptoss_status status = gptoss_tool_list_read(json, sizeof json - 1, "it", &list, error);
    CHECK((status == GPTOSS_OK) == (list != NULL), "status %d", status);
    gptoss_tool_list_close(list);
    return status;
}

static const struct {
    const char *name;
    gptoss_status (*use)(gptoss_error *error);
} subjects[] = {
    {"a directory of weights", use_checkpoint},
    {"a file of weights", use_file},
    {"a configuration", use_config},
    {"a model and a sequence", use_model},
    {"a dump", use_dump},
    {"a tokenizer with merges as pairs", use_merge_pairs},
    {"a tokenizer with merges as strings", use_merge_strings},
    {"a tokenizer with merges in the order of ids", use_sorted_merges},
    {"a dump to compare with", use_plain_dump},
    {"a compressed dump to compare with", use_packed_dump},
    {"a replay of a dump", use_replay},
    {"a comparison of dumps", use_dump_pair},
    {"a session that is saved", use_saving},
    {"a session that is loaded", use_loading},
    {"a conversation and its tokens", use_conversation},
    {"tokens and their messages", use_parser},
    {"a list of prompts", use_prompts},
    {"a list of tools", use_tools},
};

/* Runs with the allocation number `n` failing; returns whether there were so many. */
static bool run(size_t subject, long n)
{
    gptoss_error error = {0};
    long before = allocations.held;
    allocations.failed = false;
    allocations.until = n;
    gptoss_status status = subjects[subject].use(&error);
    allocations.until = -1;
    CHECK(allocations.held == before,
          "%s: %ld blocks left behind by allocation %ld (status %d: %s)", subjects[subject].name,
          allocations.held - before, n, status, error.message);
    CHECK(allocations.failed || status == GPTOSS_OK, "%s: %s", subjects[subject].name,
          error.message);
    CHECK(status == GPTOSS_OK || (error.status == status && error.message[0] != '\0'),
          "%s: no sentence", subjects[subject].name);
    return allocations.failed;
}

int main(void)
{
    scratch_begin();
    size_t count = sizeof subjects / sizeof *subjects;
    open_compared();
    open_saved();
    open_talked();
    for (size_t i = 0; i < count; i++) {
        subjects[i].use(NULL); /* what is allocated once and kept is allocated now */
        for (int mode = 0; mode < 2; mode++) {
            long n = 0;
            allocations.for_ever = mode == 1;
            while (run(i, n))
                n++;
            CHECK(!ALLOCATIONS_COUNTED || n > 0, "%s allocates nothing", subjects[i].name);
            printf("%s: %ld allocations failed %s\n", subjects[i].name, n,
                   allocations.for_ever ? "with all after them" : "one at a time");
        }
    }
    close_compared();
    close_talked();
    close_saved();
    return test_result();
}
