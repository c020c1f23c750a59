/* Models of random weights that live in memory. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text_buffer.h"
#include "checkpoint/config.h"
#include "checkpoint/config_writer.h"
#include "model/model.h"
#include "model/synthetic_tensors.h"
#include "op/parallel.h"

/* What keeps a run going beside the weights: its cache, work space, and the rest of the system. */
#define MARGIN ((uint64_t)256 << 20)

/* Bytes that a thread makes between two looks at what is left. */
#define PIECE ((uint64_t)1 << 20)

bool gptoss_config_published(const char *name, gptoss_config *out)
{
    static const char text_20b[] = "{\"num_hidden_layers\": 24, \"num_experts\": 32}";
    static const char text_120b[] = "{\"num_hidden_layers\": 36, \"num_experts\": 128}";
    const char *text = strcmp(name, "20b") == 0    ? text_20b
                       : strcmp(name, "120b") == 0 ? text_120b
                                                   : NULL;
    json_value *document = NULL;
    bool good = text != NULL &&
                json_parse(text, strlen(text), name, &document, NULL) == GPTOSS_OK &&
                config_parse(document, name, out, NULL) == GPTOSS_OK;
    json_free(document);
    return good;
}

/* The same checks as for a checkpoint's config.json: *out is what would be read from one. */
static gptoss_status check_config(const gptoss_config *config, gptoss_config *out,
                                  gptoss_error *error)
{
    static const char what[] = "the configuration";
    text_buffer text = {0};
    json_value *document = NULL;
    if (config->layers == 0 || config->layers > GPTOSS_MAX_LAYERS) /* before they are written */
        return fail(error, GPTOSS_LIMIT, "%s: expected 1 to %d layers, found %u", what,
                    GPTOSS_MAX_LAYERS, config->layers);
    config_write(config, &text);
    gptoss_status status = text.failed
                               ? fail_memory(error, what, text.length)
                               : json_parse(text.bytes, text.length, what, &document, error);
    if (status == GPTOSS_OK)
        status = config_parse(document, what, out, error);
    if (status == GPTOSS_OK && (out->hidden % MX_GROUP != 0 || out->intermediate % MX_GROUP != 0))
        status = fail(error, GPTOSS_UNSUPPORTED,
                      "%s: MXFP4 experts need hidden and intermediate sizes that are multiples of "
                      "%d, found %u and %u",
                      what, MX_GROUP, out->hidden, out->intermediate);
    json_free(document);
    text_free(&text);
    return status;
}

static gptoss_status take_memory(uint64_t bytes, file_map *out, gptoss_error *error)
{
    uint64_t available = memory_available();
    void *memory;
    if (available > 0 && (available < MARGIN || bytes > available - MARGIN))
        return fail(error, GPTOSS_MEMORY,
                    "the random weights would take %.2f GiB of memory and %.2f GiB is available; "
                    "fewer layers take less",
                    (double)bytes / 0x1p30, (double)available / 0x1p30);
    gptoss_status status = memory_reserve(bytes, "random weights", &memory, error);
    if (status != GPTOSS_OK)
        return status;
    memory_prefer_huge_pages(memory, bytes);
    *out = (file_map){.data = memory, .size = bytes};
    return GPTOSS_OK;
}

/* ---- making them ----------------------------------------------------------------------------- */

typedef struct making {
    const synthetic_tensors *list;
    uint8_t *memory;
    gptoss_progress_fn progress;
    void *user;
    atomic_bool stopped;
} making;

/* Thread 0 tells how far the work is. */
static void tell(const team *self, making *m, uint64_t done)
{
    if (self->rank == 0 && m->progress != NULL &&
        !m->progress(m->user, "making random weights", done, m->list->bytes))
        m->stopped = true;
}

/* Every thread makes its part of every tensor. */
static void make_parts(const team *self, void *user)
{
    making *m = user;
    normal table;
    for (size_t i = 0; i < m->list->count && !m->stopped; i++) {
        const tensor *made = &m->list->tensors[i];
        const synthetic_recipe *recipe = &m->list->recipes[i];
        size_t size = dtype_bytes(made->type);
        size_t begin;
        size_t end;
        if (recipe->how == SYNTHETIC_NORMAL)
            normal_make(&table, recipe->mean, recipe->deviation, made->type);
        team_share(self, made->bytes / size, PIECE / 2, &begin, &end);
        for (size_t at = begin; at < end && !m->stopped;) {
            size_t count = end - at < PIECE ? end - at : PIECE;
            synthetic_make(recipe, &table, at, count, m->memory + made->offset + at * size);
            at += count;
            tell(self, m, made->offset + (at - begin) * size);
        }
    }
}

static gptoss_status make_weights(const synthetic_tensors *list, uint32_t threads,
                                  gptoss_progress_fn progress, void *user, file_map *memory,
                                  gptoss_error *error)
{
    gptoss_status status = take_memory(list->bytes, memory, error);
    if (status != GPTOSS_OK)
        return status;
    making m = {list, (uint8_t *)(uintptr_t)memory->data, /* NOLINT(performance-no-int-to-ptr) */
                progress, user, false};
    parallel_run(threads, make_parts, &m);
    if (m.stopped) {
        file_map_close(memory);
        return fail(error, GPTOSS_INTERRUPTED, "interrupted while making random weights");
    }
    if (progress != NULL)
        progress(user, "making random weights", list->bytes, list->bytes);
    for (size_t i = 0; i < list->count; i++)
        list->tensors[i].data = memory->data + list->tensors[i].offset;
    return GPTOSS_OK;
}

static gptoss_status fill_model(gptoss_model *model, uint64_t seed, bool with_winners,
                                uint32_t threads, gptoss_progress_fn progress, void *user,
                                gptoss_error *error)
{
    synthetic_tensors list = {0};
    file_map memory;
    gptoss_status status = synthetic_list(&model->config, seed, with_winners, &list, error);
    if (status == GPTOSS_OK)
        status = make_weights(&list, threads, progress, user, &memory, error);
    if (status == GPTOSS_OK)
        status = checkpoint_of_memory("synthetic", memory, list.tensors, list.count, &model->files,
                                      error);
    if (status == GPTOSS_OK)
        status = model_bind(model, "synthetic", error);
    if (status == GPTOSS_OK)
        status = model_identify(model, model->identity, error);
    synthetic_free(&list);
    return status;
}

gptoss_status gptoss_model_open_synthetic(const gptoss_config *config, uint64_t seed,
                                          bool with_winners, uint32_t threads,
                                          gptoss_progress_fn progress, void *user,
                                          gptoss_model **out, gptoss_error *error)
{
    *out = NULL;
    threads = threads == 0 ? parallel_default() : threads;
    if (threads > PARALLEL_MAX_THREADS)
        return fail(error, GPTOSS_LIMIT, "%u threads: expected at most %d", threads,
                    PARALLEL_MAX_THREADS);
    gptoss_model *model = calloc(1, sizeof *model);
    if (model == NULL)
        return fail_memory(error, "a model", sizeof *model);
    gptoss_status status = check_config(config, &model->config, error);
    if (status == GPTOSS_OK)
        status = fill_model(model, seed, with_winners, threads, progress, user, error);
    if (status != GPTOSS_OK) {
        gptoss_model_close(model);
        return status;
    }
    *out = model;
    return GPTOSS_OK;
}
