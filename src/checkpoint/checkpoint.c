#include "checkpoint/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "checkpoint/locate.h"
#include "checkpoint/shards.h"

/* One mapped file and the header that owns the names of its tensors. */
typedef struct weight_file {
    file_map map;
    safetensors header;
} weight_file;

struct checkpoint {
    shard_list shards;
    weight_file *files; /* [shards.count] */
    tensor *tensors;    /* of all files, sorted by name */
    size_t count;
    char *names; /* those of tensors that come from no file's header */
};

static gptoss_status open_files(checkpoint *files, gptoss_error *error)
{
    files->files = calloc(files->shards.count, sizeof *files->files);
    if (files->files == NULL)
        return fail_memory(error, files->shards.directory,
                           files->shards.count * sizeof *files->files);
    for (size_t i = 0; i < files->shards.count; i++) {
        weight_file *file = &files->files[i];
        const char *path = files->shards.paths[i];
        gptoss_status status = file_map_open(path, &file->map, error);
        if (status == GPTOSS_OK)
            status = safetensors_parse(file->map.data, file->map.size, path, &file->header, error);
        if (status != GPTOSS_OK)
            return status;
        files->count += file->header.count;
    }
    return GPTOSS_OK;
}

static int compare_tensors(const void *left, const void *right)
{
    const tensor *a = left;
    const tensor *b = right;
    return strcmp(a->name, b->name);
}

/* One directory of all files' tensors. */
static gptoss_status merge_tensors(checkpoint *files, gptoss_error *error)
{
    if (files->count == 0)
        return fail(error, GPTOSS_FORMAT, "%s holds no tensors", files->shards.paths[0]);
    files->tensors = calloc(files->count, sizeof *files->tensors);
    if (files->tensors == NULL)
        return fail_memory(error, files->shards.directory, files->count * sizeof *files->tensors);
    tensor *next = files->tensors;
    for (size_t i = 0; i < files->shards.count; i++) {
        for (size_t j = 0; j < files->files[i].header.count; j++, next++) {
            *next = files->files[i].header.tensors[j];
            next->file = (uint32_t)i;
        }
    }
    qsort(files->tensors, files->count, sizeof *files->tensors, compare_tensors);
    for (size_t i = 1; i < files->count; i++) {
        const tensor *entry = &files->tensors[i];
        if (strcmp(entry[-1].name, entry->name) == 0)
            return fail(error, GPTOSS_FORMAT, "tensor \"%s\" is in two files, %s and %s",
                        entry->name, checkpoint_file_path(files, entry[-1].file),
                        checkpoint_file_path(files, entry->file));
    }
    return GPTOSS_OK;
}

/* Everything that the index lists must be where it says. */
static gptoss_status check_index(const checkpoint *files, gptoss_error *error)
{
    const shard_list *shards = &files->shards;
    for (size_t i = 0; i < shards->index.entry_count; i++) {
        const shard_entry *entry = &shards->index.entries[i];
        const tensor *found = checkpoint_find(files, entry->tensor);
        if (found == NULL)
            return fail(error, GPTOSS_FORMAT, "%s lists tensor \"%s\" in %s, but it is not there",
                        shards->index_path, entry->tensor, shards->index.files[entry->file]);
        if (found->file != entry->file)
            return fail(error, GPTOSS_FORMAT, "%s lists tensor \"%s\" in %s, but it is in %s",
                        shards->index_path, entry->tensor, shards->index.files[entry->file],
                        shards->index.files[found->file]);
    }
    return GPTOSS_OK;
}

gptoss_status checkpoint_open(const char *path, checkpoint **out, gptoss_error *error)
{
    *out = NULL;
    char *place = NULL;
    checkpoint *files = calloc(1, sizeof *files);
    if (files == NULL)
        return fail_memory(error, path, sizeof *files);
    gptoss_status status = locate_model(path, &place, error);
    if (status == GPTOSS_OK)
        status = shards_find(place, &files->shards, error);
    if (status == GPTOSS_OK)
        status = open_files(files, error);
    if (status == GPTOSS_OK)
        status = merge_tensors(files, error);
    if (status == GPTOSS_OK)
        status = check_index(files, error);
    free(place);
    if (status != GPTOSS_OK) {
        checkpoint_close(files);
        return status;
    }
    *out = files;
    return GPTOSS_OK;
}

/* The names one after another, each with its zero. */
static gptoss_status copy_tensors(checkpoint *files, const tensor *tensors, size_t count,
                                  gptoss_error *error)
{
    size_t room = 0;
    for (size_t i = 0; i < count; i++)
        room += strlen(tensors[i].name) + 1;
    files->names = malloc(room + 1);
    files->tensors = calloc(count + 1, sizeof *files->tensors);
    if (files->names == NULL || files->tensors == NULL)
        return fail_memory(error, "the directory of tensors", room + count * sizeof *tensors);
    char *next = files->names;
    for (size_t i = 0; i < count; i++) {
        files->tensors[i] = tensors[i];
        files->tensors[i].name = next;
        next = stpcpy(next, tensors[i].name) + 1;
    }
    files->count = count;
    qsort(files->tensors, count, sizeof *files->tensors, compare_tensors);
    return GPTOSS_OK;
}

gptoss_status checkpoint_of_memory(const char *name, file_map memory, const tensor *tensors,
                                   size_t count, checkpoint **out, gptoss_error *error)
{
    *out = NULL;
    checkpoint *files = calloc(1, sizeof *files);
    if (files != NULL) {
        files->files = calloc(1, sizeof *files->files);
        files->shards.paths = calloc(1, sizeof *files->shards.paths);
    }
    if (files == NULL || files->files == NULL || files->shards.paths == NULL) {
        file_map_close(&memory);
        checkpoint_close(files);
        return fail_memory(error, name, sizeof *files);
    }
    files->shards.count = 1;
    files->files[0].map = memory;
    files->shards.directory = strdup(name);
    files->shards.paths[0] = strdup(name);
    gptoss_status status = files->shards.directory == NULL || files->shards.paths[0] == NULL
                               ? fail_memory(error, name, strlen(name))
                               : copy_tensors(files, tensors, count, error);
    if (status != GPTOSS_OK) {
        checkpoint_close(files);
        return status;
    }
    *out = files;
    return GPTOSS_OK;
}

void checkpoint_close(checkpoint *files)
{
    if (files == NULL)
        return;
    for (size_t i = 0; i < files->shards.count && files->files != NULL; i++) {
        safetensors_free(&files->files[i].header);
        file_map_close(&files->files[i].map);
    }
    free(files->files);
    free(files->tensors);
    free(files->names);
    shards_free(&files->shards);
    free(files);
}

bool checkpoint_in_memory(const checkpoint *files)
{
    return files->names != NULL;
}

const char *checkpoint_directory(const checkpoint *files)
{
    return files->shards.directory;
}

size_t checkpoint_tensor_count(const checkpoint *files)
{
    return files->count;
}

const tensor *checkpoint_tensor(const checkpoint *files, size_t index)
{
    return &files->tensors[index];
}

const tensor *checkpoint_find(const checkpoint *files, const char *name)
{
    const tensor key = {.name = name};
    return bsearch(&key, files->tensors, files->count, sizeof key, compare_tensors);
}

size_t checkpoint_file_count(const checkpoint *files)
{
    return files->shards.count;
}

const char *checkpoint_file_path(const checkpoint *files, size_t index)
{
    return files->shards.paths[index];
}

file_map checkpoint_file_map(const checkpoint *files, size_t index)
{
    return files->files[index].map;
}
