/* What is done to weights ahead of the first pass. */
#include <inttypes.h>

#include "base/memory.h"
#include "model/model.h"
#include "model/read_ahead.h"
#include "op/parallel.h"

/* What the parts share. */
typedef struct preparation {
    gptoss_model *model;
    uint32_t threads;
    gptoss_progress_fn progress; /* or NULL */
    void *user;
    gptoss_error *error;
} preparation;

static gptoss_status read_ahead(const preparation *p)
{
    return model_read_ahead(p->model, p->threads, p->progress, p->user, p->error);
}

static gptoss_status lock(const preparation *p)
{
    return model_lock(p->model, p->threads, p->progress, p->user, p->error);
}

static gptoss_status round_dense(const preparation *p)
{
    gptoss_model *model = p->model;
    if (model->rounded.layers != NULL)
        return GPTOSS_OK;
    return requantise(&model->config, &model->weights, !checkpoint_in_memory(model->files),
                      p->threads, p->progress, p->user, &model->rounded, p->error);
}

static gptoss_status pack(const preparation *p)
{
    gptoss_model *model = p->model;
    bool of_files = !checkpoint_in_memory(model->files);
    uint32_t layers = model->only_q8 ? 0 : model->config.layers;
    return pack_weights(&model->weights, layers, of_files, p->threads, &model->packed, p->progress,
                        p->user, p->error);
}

static gptoss_status make_sketch(const preparation *p)
{
    return model_sketch_make(p->model, p->threads, p->progress, p->user, p->error);
}

uint64_t gptoss_model_prepare_bytes(const gptoss_model *model,
                                    const gptoss_prepare_options *options)
{
    const gptoss_config *config = &model->config;
    bool rounded = model->rounded.layers != NULL;
    uint64_t rounding = options->requantise ? requantise_bytes(config, &model->weights) : 0;
    uint64_t bytes = rounded ? 0 : rounding;
    if (options->pack)
        bytes += pack_bytes(&model->weights,
                            options->only_q8 && (rounded || rounding > 0) ? 0 : config->layers);
    if (options->sketch && model->sketch == NULL)
        bytes += model_sketch_bytes(config->vocab, config->hidden);
    return bytes;
}

/* The system gives address space whether or not there is memory behind it. */
static gptoss_status check_memory(const gptoss_model *model, const gptoss_prepare_options *options,
                                  gptoss_error *error)
{
    uint64_t needed = gptoss_model_prepare_bytes(model, options);
    uint64_t available = memory_available();
    if (available == 0 || needed <= available)
        return GPTOSS_OK;
    return fail(error, GPTOSS_MEMORY,
                "not enough memory for other forms of the weights (packed, in 8 bits, a sketch): "
                "they take %" PRIu64 " KiB, %" PRIu64 " KiB are available",
                needed / 1024, available / 1024);
}

gptoss_status gptoss_model_prepare(gptoss_model *model, const gptoss_prepare_options *options,
                                   gptoss_progress_fn progress, void *user, gptoss_error *error)
{
    preparation p = {.model = model,
                     .threads = options->threads > 0 ? options->threads : parallel_default(),
                     .progress = progress,
                     .user = user,
                     .error = error};
    gptoss_status status = check_memory(model, options, error);
    if (status == GPTOSS_OK && options->read_ahead)
        status = read_ahead(&p);
    if (status == GPTOSS_OK && options->requantise)
        status = round_dense(&p);
    model->only_q8 = options->only_q8 && model->rounded.layers != NULL;
    if (status == GPTOSS_OK && options->pack)
        status = pack(&p);
    if (status == GPTOSS_OK && options->sketch)
        status = make_sketch(&p);
    if (status == GPTOSS_OK && options->lock) /* last: what the others replaced is not locked */
        status = lock(&p);
    return status;
}
