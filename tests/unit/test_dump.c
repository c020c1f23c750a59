/* Dumps: what is selected, where it lies, what stands in the header; and that nothing is left
 * behind by a dump that fails. */
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/map.h"
#include "base/number.h"
#include "check.h"
#include "checkpoint/config.h"
#include "checkpoint/safetensors.h"
#include "gptoss.h"
#include "scratch.h"

#define CHECKPOINT GPTOSS_SOURCE_DIR "/tests/golden/published/hf-mxfp4"
#define ALL_STAGES ((UINT32_C(1) << GPTOSS_STAGE_COUNT) - 1)
#define BIT(stage) (UINT32_C(1) << (stage))

enum { TOKENS = 70 }; /* more than one pass may have logits of */

static gptoss_model *model;
static const gptoss_config *config;
static uint32_t tokens[TOKENS];

/* ---- dumps ----------------------------------------------------------------------------------- */

typedef struct run_options {
    uint32_t threads;
    uint32_t chunk;
    gptoss_numerics numerics;
    gptoss_progress_fn progress;
    void *user;
} run_options;

static gptoss_status write_dump(const char *path, const run_options *run, size_t count,
                                const gptoss_dump_options *options, gptoss_error *error)
{
    gptoss_executor *executor = NULL;
    gptoss_executor_options with = {run->threads,         run->chunk,      run->numerics,
                                    GPTOSS_PRECISION_F32, GPTOSS_PIN_AUTO, GPTOSS_GEMM_AUTO};
    gptoss_status status = gptoss_executor_open(model, &with, &executor, error);
    if (status == GPTOSS_OK)
        status =
            gptoss_dump(executor, tokens, count, options, path, run->progress, run->user, error);
    gptoss_executor_close(executor);
    return status;
}

/* A dump read back. */
typedef struct opened_dump {
    file_map map;
    safetensors file;
} opened_dump;

static opened_dump open_dump(const char *path)
{
    opened_dump dump = {{.data = NULL}, {NULL, 0, NULL, NULL}};
    gptoss_error error = {0};
    CHECK(file_map_open(path, &dump.map, &error) == GPTOSS_OK, "%s", error.message);
    CHECK(safetensors_parse(dump.map.data, dump.map.size, path, &dump.file, &error) == GPTOSS_OK,
          "%s", error.message);
    return dump;
}

static opened_dump make_dump(const char *name, const run_options *run,
                             const gptoss_dump_options *options)
{
    gptoss_error error = {0};
    CHECK(write_dump(scratch_path("%s", name), run, TOKENS, options, &error) == GPTOSS_OK, "%s: %s",
          name, error.message);
    return open_dump(scratch_path("%s", name));
}

static void close_dump(opened_dump *dump)
{
    safetensors_free(&dump->file);
    file_map_close(&dump->map);
}

static const char *metadata(const opened_dump *dump, const char *key)
{
    const json_value *value = json_member(dump->file.metadata, key);
    return value == NULL ? NULL : json_string(value);
}

static void tensor_name(gptoss_stage stage, uint32_t layer, char out[64])
{
    if (stage == GPTOSS_STAGE_EMBEDDING)
        snprintf(out, 64, "hidden.0");
    else if (stage == GPTOSS_STAGE_RESIDUAL)
        snprintf(out, 64, "hidden.%u", layer + 1);
    else if (gptoss_stage_per_layer(stage))
        snprintf(out, 64, "layers.%u.%s", layer, gptoss_stage_name(stage));
    else
        snprintf(out, 64, "%s", gptoss_stage_name(stage));
}

/* The tensor of a stage, with its shape and type checked. */
static const tensor *find_stage(const opened_dump *dump, gptoss_stage stage, uint32_t layer,
                                size_t rows, dtype type)
{
    char name[64];
    tensor_name(stage, layer, name);
    const tensor *found = safetensors_find(&dump->file, name);
    CHECK(found != NULL, "%s", name);
    if (found == NULL)
        return NULL;
    bool pieces = gptoss_stage_per_expert(stage);
    CHECK(found->type == (stage == GPTOSS_STAGE_EXPERTS ? DTYPE_I32 : type), "%s is %s", name,
          dtype_name(found->type));
    CHECK(found->rank == (pieces ? 3 : 2) && found->shape[0] == rows, "%s: rank %u", name,
          found->rank);
    CHECK(!pieces || found->shape[1] == config->experts_per_token, "%s", name);
    CHECK(found->shape[found->rank - 1] == gptoss_stage_columns(stage, config), "%s", name);
    CHECK(found->offset % dtype_bytes(found->type) == 0, "%s is not aligned", name);
    return found;
}

/* ---- what a tap sees is what the file has ---------------------------------------------------- */

typedef struct watcher {
    const opened_dump *dump;
    size_t values;
} watcher;

/* Bit for bit: what is bfloat16 in the file was bfloat16 before. */
static bool is_same(const tensor *stored, size_t index, float seen)
{
    const uint8_t *at = stored->data + index * dtype_bytes(stored->type);
    uint16_t half;
    if (stored->type == DTYPE_F32)
        return memcmp(at, &seen, sizeof seen) == 0;
    memcpy(&half, at, sizeof half);
    return bits_from_float(bf16_to_float(half)) == bits_from_float(seen);
}

static void compare_piece(const float *seen, const tensor *stored, size_t index, size_t columns)
{
    size_t different = 0;
    for (size_t i = 0; i < columns; i++)
        different += !is_same(stored, index * columns + i, seen[i]);
    CHECK(different == 0, "%s: piece %zu: %zu of %zu differ", stored->name, index, different,
          columns);
}

static void watch(void *user, const gptoss_tap_view *view)
{
    watcher *w = user;
    char name[64];
    tensor_name(view->stage, view->layer, name);
    const tensor *wanted = safetensors_find(&w->dump->file, name);
    if (wanted == NULL)
        return;
    for (size_t row = 0; row < view->rows; row++) {
        size_t index = view->positions[row] * view->pieces;
        if (view->stage == GPTOSS_STAGE_EXPERTS)
            CHECK(memcmp(wanted->data + index * view->columns * 4, view->ids + row * view->columns,
                         view->columns * 4) == 0,
                  "%s, position %u", name, view->positions[row]);
        else
            for (size_t piece = 0; piece < view->pieces; piece++)
                compare_piece(gptoss_tap_piece(view, row, piece), wanted, index + piece,
                              view->columns);
        w->values += view->pieces * view->columns;
    }
}

/* Runs the tokens in one pass under a tap of our own and compares all of a dump with what it saw.
 */
static void check_values(const opened_dump *dump, gptoss_numerics numerics)
{
    watcher w = {dump, 0};
    gptoss_executor *executor = NULL;
    gptoss_sequence *sequence = NULL;
    gptoss_executor_options options = {.threads = 2, .chunk = TOKENS, .numerics = numerics};
    gptoss_row rows[TOKENS];
    size_t values = 0;
    CHECK(gptoss_executor_open(model, &options, &executor, NULL) == GPTOSS_OK, "executor");
    CHECK(gptoss_sequence_open(model,
                               &(gptoss_sequence_options){.context = TOKENS, .chunk = TOKENS},
                               &sequence, NULL) == GPTOSS_OK,
          "sequence");
    for (uint32_t i = 0; i < TOKENS; i++)
        rows[i] = (gptoss_row){sequence, i, tokens[i], true};
    gptoss_executor_tap(executor, watch, &w);
    CHECK(gptoss_executor_forward(executor, rows, TOKENS, NULL, NULL) == GPTOSS_OK, "forward");
    gptoss_sequence_close(sequence);
    gptoss_executor_close(executor);
    for (size_t i = 0; i < dump->file.count; i++)
        values += dump->file.tensors[i].bytes / dtype_bytes(dump->file.tensors[i].type);
    CHECK(w.values + TOKENS == values, "%zu values seen, %zu in the dump", w.values, values);
}

static void check_all_stages(gptoss_numerics numerics, const char *dtype_text, dtype type)
{
    gptoss_dump_options options = {.stages = ALL_STAGES};
    run_options run = {.threads = 2, .numerics = numerics};
    opened_dump dump = make_dump("all", &run, &options);
    const tensor *ids = safetensors_find(&dump.file, "ids");
    CHECK(ids != NULL && ids->type == DTYPE_I32 && ids->rank == 1 && ids->shape[0] == TOKENS &&
              memcmp(ids->data, tokens, sizeof tokens) == 0,
          "ids");
    CHECK(safetensors_find(&dump.file, "positions") == NULL, "every position needs no list");
    for (unsigned stage = 0; stage < GPTOSS_STAGE_COUNT; stage++)
        for (uint32_t layer = 0; layer < (gptoss_stage_per_layer(stage) ? config->layers : 1);
             layer++)
            find_stage(&dump, stage, layer, TOKENS, type);
    CHECK(strcmp(metadata(&dump, "format"), "gptoss-dump-1") == 0, "format");
    CHECK(strcmp(metadata(&dump, "dtype"), dtype_text) == 0, "dtype");
    CHECK(strcmp(metadata(&dump, "numerics"), gptoss_numerics_name(numerics)) == 0, "numerics");
    CHECK(metadata(&dump, "prompt") == NULL && metadata(&dump, "specials") == NULL, "no prompt");
    check_values(&dump, numerics);
    close_dump(&dump);
}

/* ---- selections ------------------------------------------------------------------------------ */

static void check_default(void)
{
    opened_dump dump = make_dump("default", &(run_options){.threads = 1}, NULL);
    CHECK(dump.file.count == config->layers + 3, "%zu tensors", dump.file.count);
    find_stage(&dump, GPTOSS_STAGE_EMBEDDING, 0, TOKENS, DTYPE_F32);
    find_stage(&dump, GPTOSS_STAGE_RESIDUAL, config->layers - 1, TOKENS, DTYPE_F32);
    find_stage(&dump, GPTOSS_STAGE_LOGITS, 0, TOKENS, DTYPE_F32);
    check_values(&dump, GPTOSS_NUMERICS_F32);
    close_dump(&dump);
}

static void check_same_rows(const opened_dump *all, const opened_dump *some, gptoss_stage stage,
                            uint32_t layer, const uint32_t *positions, size_t count)
{
    const tensor *whole = find_stage(all, stage, layer, TOKENS, DTYPE_F32);
    const tensor *part = find_stage(some, stage, layer, count, DTYPE_F32);
    if (whole == NULL || part == NULL)
        return;
    size_t row = whole->bytes / TOKENS;
    for (size_t i = 0; i < count; i++)
        CHECK(memcmp(part->data + i * row, whole->data + positions[i] * row, row) == 0,
              "%s, position %u", part->name, positions[i]);
}

/* Some rows of some stages of some layers are those of the whole. */
static void check_selection(const opened_dump *all, uint32_t stages, uint32_t layer_begin,
                            uint32_t layer_end, uint32_t chunk)
{
    static const uint32_t positions[] = {0, 3, 4, 17, 18, 19, 66};
    enum { COUNT = sizeof positions / sizeof *positions };
    gptoss_dump_options options = {.stages = stages,
                                   .layer_begin = layer_begin,
                                   .layer_end = layer_end,
                                   .positions = positions,
                                   .position_count = COUNT};
    opened_dump some = make_dump("some", &(run_options){.threads = 1, .chunk = chunk}, &options);
    const tensor *list = safetensors_find(&some.file, "positions");
    const tensor *ids = safetensors_find(&some.file, "ids");
    size_t tensors = 2;
    CHECK(list != NULL && list->type == DTYPE_I32 && list->shape[0] == COUNT &&
              memcmp(list->data, positions, sizeof positions) == 0,
          "positions");
    CHECK(ids != NULL && ids->shape[0] == TOKENS, "ids are those of the whole run");
    for (unsigned stage = 0; stage < GPTOSS_STAGE_COUNT; stage++) {
        bool layers = gptoss_stage_per_layer(stage);
        if ((stages & BIT(stage)) == 0)
            continue;
        for (uint32_t layer = layers ? layer_begin : 0; layer < (layers ? layer_end : 1); layer++) {
            check_same_rows(all, &some, stage, layer, positions, COUNT);
            tensors++;
        }
    }
    CHECK(some.file.count == tensors, "%zu tensors, expected %zu", some.file.count, tensors);
    close_dump(&some);
}

static void check_selections(void)
{
    gptoss_dump_options options = {.stages = ALL_STAGES};
    opened_dump all = make_dump("all", &(run_options){.threads = 1}, &options);
    check_selection(&all, ALL_STAGES, 0, config->layers, 0);
    check_selection(&all, ALL_STAGES, 1, 2, 5);
    check_selection(&all, BIT(GPTOSS_STAGE_LOGITS), 0, 1, 16);
    check_selection(&all, BIT(GPTOSS_STAGE_EXPERTS) | BIT(GPTOSS_STAGE_EXPERT_OUT), 1, 2, 1);
    check_selection(&all, BIT(GPTOSS_STAGE_EMBEDDING), 0, 1, 7);
    check_selection(&all, BIT(GPTOSS_STAGE_FINAL_NORM), 0, 1, 0);
    close_dump(&all);
}

static void check_same_file(const char *name, const opened_dump *wanted)
{
    file_map map;
    CHECK(file_map_open(scratch_path("%s", name), &map, NULL) == GPTOSS_OK, "%s", name);
    CHECK(map.size == wanted->map.size && memcmp(map.data, wanted->map.data, map.size) == 0, "%s",
          name);
    file_map_close(&map);
}

/* Neither threads nor chunks change a bit of the file. */
static void check_chunks(gptoss_numerics numerics)
{
    static const uint32_t chunks[] = {1, 7, 64, 65};
    gptoss_dump_options options = {.stages = ALL_STAGES};
    run_options run = {.threads = 1, .numerics = numerics};
    opened_dump wanted = make_dump("wanted", &run, &options);
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        run =
            (run_options){.threads = 1 + (uint32_t)i % 3, .chunk = chunks[i], .numerics = numerics};
        CHECK(write_dump(scratch_path("other"), &run, TOKENS, &options, NULL) == GPTOSS_OK, "dump");
        check_same_file("other", &wanted);
    }
    close_dump(&wanted);
}

/* ---- the header ------------------------------------------------------------------------------ */

static void check_prompt(const char *prompt, const char *expected)
{
    gptoss_dump_options options = {
        .stages = BIT(GPTOSS_STAGE_EMBEDDING), .prompt = prompt, .specials = true};
    opened_dump dump = make_dump("prompt", &(run_options){.threads = 1}, &options);
    const char *found = metadata(&dump, "prompt");
    CHECK(found != NULL && strcmp(found, expected) == 0, "found \"%s\", expected \"%s\"", found,
          expected);
    CHECK(strcmp(metadata(&dump, "specials"), "true") == 0, "specials");
    close_dump(&dump);
}

static void check_prompts(void)
{
    check_prompt("", "");
    check_prompt("\"\\/\b\f\n\r\t\x01\x7f \u00e9\U0001f600",
                 "\"\\/\b\f\n\r\t\x01\x7f \u00e9\U0001f600");
    check_prompt("a\xff|\xe2\x82", "a\ufffd|\ufffd");
}

/* The configuration in the metadata reads as that of the model. */
static void check_config(void)
{
    opened_dump dump = make_dump("config", &(run_options){.threads = 1}, NULL);
    const char *text = metadata(&dump, "config");
    json_value *document = NULL;
    gptoss_config *found = calloc(1, sizeof *found);
    CHECK(json_parse(text, strlen(text), "config", &document, NULL) == GPTOSS_OK, "%s", text);
    CHECK(config_parse(document, "config", found, NULL) == GPTOSS_OK, "%s", text);
    found->sampling = config->sampling;
    CHECK(memcmp(found, config, sizeof *found) == 0, "%s", text);
    json_free(document);
    free(found);
    close_dump(&dump);
}

/* ---- progress -------------------------------------------------------------------------------- */

typedef struct asked {
    unsigned times;
    uint64_t furthest; /* short of the end */
    bool ended;
    uint64_t stop_at;
} asked;

static bool ask(void *user, const char *what, uint64_t done, uint64_t total)
{
    asked *a = user;
    CHECK(strcmp(what, "dump") == 0 && done <= total, "%s %ju of %ju", what, (uintmax_t)done,
          (uintmax_t)total);
    a->times++;
    a->ended = done == total;
    if (!a->ended)
        a->furthest = done;
    return done < a->stop_at;
}

/* Nothing is computed behind the last layer that is wanted, nor behind the last position. */
static void check_early_end(void)
{
    static const uint32_t last[] = {10};
    asked a = {.stop_at = UINT64_MAX};
    run_options run = {.threads = 1, .progress = ask, .user = &a};
    gptoss_dump_options options = {.stages = BIT(GPTOSS_STAGE_K), .layer_end = 1};
    opened_dump dump = make_dump("early", &run, &options);
    close_dump(&dump);
    CHECK(a.ended && a.furthest == 0, "went on to %ju", (uintmax_t)a.furthest);
    a = (asked){.stop_at = UINT64_MAX};
    run.chunk = 1;
    options = (gptoss_dump_options){.stages = ALL_STAGES, .positions = last, .position_count = 1};
    dump = make_dump("early", &run, &options);
    close_dump(&dump);
    CHECK(a.ended && a.times == 12, "asked %u times for 11 tokens", a.times);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void check_nothing_left(const char *what)
{
    DIR *directory = opendir(scratch_path("empty"));
    const struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL)
        CHECK(entry->d_name[0] == '.', "%s left %s behind", what, entry->d_name);
    CHECK(directory != NULL && closedir(directory) == 0, "the directory");
}

/* A dump that fails says so in a sentence with `words`, and leaves no file. */
static void check_failure(const run_options *run, size_t count, const gptoss_dump_options *options,
                          gptoss_status expected, const char *words)
{
    gptoss_error error = {0};
    gptoss_status status = write_dump(scratch_path("empty/dump"), run, count, options, &error);
    CHECK(status == expected && error.status == expected && strstr(error.message, words) != NULL,
          "status %d, \"%s\", expected %d and \"%s\"", status, error.message, expected, words);
    check_nothing_left(words);
}

static void check_refusals(void)
{
    static const uint32_t beyond[] = {1, TOKENS};
    static const uint32_t twice[] = {1, 2, 2};
    static const uint32_t none[1];
    const run_options run = {.threads = 1};
#define REFUSE(words, ...)                                                                         \
    check_failure(&run, TOKENS, &(gptoss_dump_options){__VA_ARGS__}, GPTOSS_USAGE, words)
    REFUSE("position 70: expected one below the 70 tokens", .positions = beyond,
           .position_count = 2);
    REFUSE("position 2 after 2", .positions = twice, .position_count = 3);
    REFUSE("no position", .positions = none);
    REFUSE("layers below 9: the model has 3", .layer_end = 9);
    REFUSE("layers from 2 to below 2", .layer_begin = 2, .layer_end = 2);
    REFUSE("layers from 3 to below 3", .layer_begin = 3);
    REFUSE("stages 0x400000", .stages = BIT(GPTOSS_STAGE_COUNT));
#undef REFUSE
    check_failure(&run, 0, NULL, GPTOSS_USAGE, "at least one token");
    check_failure(&run, SIZE_MAX, NULL, GPTOSS_LIMIT, "the model is made for at most");
    tokens[3] = config->vocab;
    check_failure(&run, TOKENS, NULL, GPTOSS_USAGE, "below the vocabulary");
    tokens[3] = 3;
}

static void check_interruptions(void)
{
    gptoss_dump_options no_logits = {.stages = BIT(GPTOSS_STAGE_FINAL_NORM)};
    asked a = {.stop_at = 20};
    run_options run = {.threads = 1, .chunk = 16, .progress = ask, .user = &a};
    check_failure(&run, TOKENS, NULL, GPTOSS_INTERRUPTED, "interrupted after 32 of 70 tokens");
    check_failure(&run, TOKENS, &no_logits, GPTOSS_INTERRUPTED,
                  "interrupted after 16 of 70 tokens");
}

/* A limit on the size of files stands for a disk that is full. */
static void check_disk_full(void)
{
    struct rlimit before;
    const run_options run = {.threads = 1};
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, before.rlim_max});
    check_failure(&run, TOKENS, NULL, GPTOSS_IO, "empty/dump");
    setrlimit(RLIMIT_FSIZE, &before);
}

static void check_unwritable(void)
{
    gptoss_error error = {0};
    const run_options run = {.threads = 1};
    CHECK(write_dump(scratch_path("absent/dump"), &run, TOKENS, NULL, &error) == GPTOSS_IO &&
              strstr(error.message, "absent/dump") != NULL,
          "%s", error.message);
    /* The name is that of a directory. */
    scratch_write(scratch_path("empty/taken/file"), "");
    CHECK(write_dump(scratch_path("empty/taken"), &run, TOKENS, NULL, &error) == GPTOSS_IO &&
              strstr(error.message, "should be a regular file but is a directory") != NULL,
          "%s", error.message);
    remove(scratch_path("empty/taken/file"));
    remove(scratch_path("empty/taken"));
    check_nothing_left("a name that is taken");
}

int main(void)
{
    gptoss_error error = {0};
    scratch_begin();
    scratch_parents(scratch_path("empty/"));
    CHECK(gptoss_model_open(CHECKPOINT, &model, &error) == GPTOSS_OK, "%s", error.message);
    if (model == NULL)
        return test_result();
    config = gptoss_model_config(model);
    for (uint32_t i = 0; i < TOKENS; i++)
        tokens[i] = (i * 31 + i * i) % config->vocab;
    check_default();
    check_all_stages(GPTOSS_NUMERICS_F32, "float32", DTYPE_F32);
    check_all_stages(GPTOSS_NUMERICS_TORCH_BF16, "bfloat16", DTYPE_BF16);
    check_selections();
    check_chunks(GPTOSS_NUMERICS_F32);
    check_chunks(GPTOSS_NUMERICS_TORCH_BF16);
    check_prompts();
    check_config();
    check_early_end();
    check_refusals();
    check_interruptions();
    check_disk_full();
    check_unwritable();
    gptoss_model_close(model);
    return test_result();
}
