/* What is done to weights ahead of the first pass. */
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

gptoss_status gptoss_model_prepare(gptoss_model *model, const gptoss_prepare_options *options,
                                   gptoss_progress_fn progress, void *user, gptoss_error *error)
{
    preparation p = {.model = model,
                     .threads = options->threads > 0 ? options->threads : parallel_default(),
                     .progress = progress,
                     .user = user,
                     .error = error};
    gptoss_status status = GPTOSS_OK;
    if (options->read_ahead)
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
