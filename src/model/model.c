#include "model/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/sha256.h"
#include "checkpoint/config.h"
#include "checkpoint/locate.h"
#include "checkpoint/naming.h"
#include "kernel/kernel.h"
#include "model/kv_cache.h"
#include "model/kv_mark.h"
#include "model/workspace.h"

/* A head wider than the kernels take, or a context that positions cannot count. */
static gptoss_status check_support(const gptoss_config *config, const char *directory,
                                   gptoss_error *error)
{
    if (config->head_dim > KERNEL_MAX_HEAD_DIM)
        return fail(error, GPTOSS_UNSUPPORTED, "%s: head_dim %u: expected at most %d", directory,
                    config->head_dim, KERNEL_MAX_HEAD_DIM);
    return GPTOSS_OK;
}

gptoss_status model_bind(gptoss_model *model, const char *where, gptoss_error *error)
{
    gptoss_status status;
    if ((status = check_support(&model->config, where, error)) != GPTOSS_OK ||
        (status = naming_detect(model->files, &model->layout, error)) != GPTOSS_OK ||
        (status = rope_init(&model->rope, &model->config, error)) != GPTOSS_OK)
        return status;
    return weights_bind(model->files, model->layout, &model->config, &model->weights, error);
}

static gptoss_status open_at(const char *path, gptoss_model *model, gptoss_error *error)
{
    gptoss_status status = checkpoint_open(path, &model->files, error);
    if (status != GPTOSS_OK)
        return status;
    const char *directory = checkpoint_directory(model->files);
    status = config_load(directory, &model->config, error);
    return status == GPTOSS_OK ? model_bind(model, directory, error) : status;
}

gptoss_status gptoss_model_open(const char *path, gptoss_model **out, gptoss_error *error)
{
    char *found = NULL;
    *out = NULL;
    gptoss_status status = locate_model(path, &found, error);
    if (status != GPTOSS_OK)
        return status;
    gptoss_model *model = calloc(1, sizeof *model);
    status = model == NULL ? fail_memory(error, "the model's directory", sizeof *model)
                           : open_at(found, model, error);
    free(found);
    if (status != GPTOSS_OK) {
        gptoss_model_close(model);
        return status;
    }
    *out = model;
    return GPTOSS_OK;
}

void gptoss_model_close(gptoss_model *model)
{
    if (model == NULL)
        return;
    model_sketch_free(model->sketch);
    rounded_weights_free(&model->rounded);
    weights_free(&model->weights);
    pack_free(model->packed);
    rope_free(&model->rope);
    checkpoint_close(model->files);
    free(model);
}

const gptoss_config *gptoss_model_config(const gptoss_model *model)
{
    return &model->config;
}

const char *gptoss_model_directory(const gptoss_model *model)
{
    return checkpoint_directory(model->files);
}

const tensor *model_next_weight(const gptoss_model *model, weight_walk *walk, weight_role *role)
{
    const tensor *found = NULL;
    while (found == NULL && walk->next_role < WEIGHT_ROLE_COUNT) {
        char name[SAFETENSORS_MAX_NAME];
        *role = walk->next_role;
        if (naming_of(model->layout, *role, walk->next_layer, name))
            found = checkpoint_find(model->files, name);
        uint32_t layers = *role < WEIGHT_ATTENTION_NORM ? 1 : model->config.layers;
        if (++walk->next_layer == layers) {
            walk->next_layer = 0;
            walk->next_role++;
        }
    }
    return found;
}

size_t gptoss_model_tensor_count(const gptoss_model *model)
{
    return checkpoint_tensor_count(model->files);
}

void gptoss_model_tensor(const gptoss_model *model, size_t index, gptoss_tensor_info *out)
{
    const tensor *found = checkpoint_tensor(model->files, index);
    *out = (gptoss_tensor_info){.name = found->name,
                                .dtype = dtype_name(found->type),
                                .file = checkpoint_file_path(model->files, found->file),
                                .rank = found->rank,
                                .bytes = found->bytes,
                                .offset = found->offset};
    memcpy(out->shape, found->shape, sizeof out->shape);
}

size_t gptoss_model_file_count(const gptoss_model *model)
{
    return checkpoint_file_count(model->files);
}

const char *gptoss_model_file(const gptoss_model *model, size_t index, uint64_t *bytes)
{
    *bytes = checkpoint_file_map(model->files, index).size;
    return checkpoint_file_path(model->files, index);
}

gptoss_status gptoss_model_unchanged(const gptoss_model *model, gptoss_error *error)
{
    gptoss_status status = GPTOSS_OK;
    for (size_t i = 0; i < checkpoint_file_count(model->files) && status == GPTOSS_OK; i++) {
        file_map map = checkpoint_file_map(model->files, i);
        status = file_map_unchanged(&map, checkpoint_file_path(model->files, i), error);
    }
    return status;
}

gptoss_status gptoss_model_file_sha256(const gptoss_model *model, size_t index,
                                       gptoss_progress_fn progress, void *user, char digest[65],
                                       gptoss_error *error)
{
    file_map map = checkpoint_file_map(model->files, index);
    return sha256_hex(map.data, map.size, checkpoint_file_path(model->files, index), progress, user,
                      digest, error);
}

void gptoss_model_forecast(const gptoss_model *model, const gptoss_sequence_options *options,
                           gptoss_memory *out)
{
    gptoss_sequence_options wanted = kv_cache_options(&model->config, options);
    *out = (gptoss_memory){
        .cache = kv_cache_bytes(&model->config, wanted),
        .scratch = workspace_bytes(&model->config, wanted.chunk, parallel_default(), 1),
        .marks = (uint64_t)GPTOSS_MAX_MARKS * kv_mark_bytes(&model->config, wanted) +
                 (uint64_t)wanted.context * sizeof(uint32_t),
        .available = memory_available(),
        .machine = memory_machine(),
    };
    for (size_t i = 0;
         !checkpoint_in_memory(model->files) && i < checkpoint_tensor_count(model->files); i++)
        out->weights += checkpoint_tensor(model->files, i)->bytes;
}
