#include <stdlib.h>
#include <string.h>

#include "checkpoint/safetensors.h"
#include "checkpoint/shards.h"

static int compare_entries(const void *left, const void *right)
{
    const shard_entry *a = left;
    const shard_entry *b = right;
    return strcmp(a->tensor, b->tensor);
}

static int compare_strings(const void *left, const void *right)
{
    const char *const *a = left;
    const char *const *b = right;
    return strcmp(*a, *b);
}

static gptoss_status check_file_name(const json_value *member, const char *what,
                                     gptoss_error *error)
{
    static const char suffix[] = ".safetensors";
    const char *name = json_name(member);
    if (!json_is_string(member))
        return fail(error, GPTOSS_FORMAT, "%s: the file of tensor \"%s\" is not a string", what,
                    name);
    const char *file = json_string(member);
    size_t length = strlen(file);
    if (strchr(file, '/') != NULL)
        return fail(error, GPTOSS_FORMAT,
                    "%s: tensor \"%s\" should be in a file of the same directory but is said to be "
                    "in \"%.200s\"",
                    what, name, file);
    if (length < sizeof suffix || strcmp(file + length - (sizeof suffix - 1), suffix) != 0)
        return fail(error, GPTOSS_UNSUPPORTED,
                    "%s: tensor \"%s\" is said to be in \"%.200s\", which is no .safetensors file",
                    what, name, file);
    return GPTOSS_OK;
}

/* Sorts the names and drops repetitions. */
static void make_unique(const char **names, size_t *count)
{
    qsort(names, *count, sizeof *names, compare_strings);
    size_t kept = 1;
    for (size_t i = 1; i < *count; i++)
        if (strcmp(names[i], names[kept - 1]) != 0)
            names[kept++] = names[i];
    *count = kept;
}

static uint32_t index_of(const shard_index *index, const char *file)
{
    const char **found =
        bsearch(&file, index->files, index->file_count, sizeof *index->files, compare_strings);
    return (uint32_t)(found - index->files);
}

static gptoss_status read_map(const json_value *map, const char *what, shard_index *out,
                              gptoss_error *error)
{
    size_t i = 0;
    for (const json_value *item = json_first(map); item != NULL; item = json_next(item), i++) {
        gptoss_status status = check_file_name(item, what, error);
        if (status != GPTOSS_OK)
            return status;
        out->files[i] = json_string(item);
    }
    make_unique(out->files, &out->file_count);
    if (out->file_count > SHARDS_MAX_FILES)
        return fail(error, GPTOSS_LIMIT, "%s: %zu files are more than the supported %d", what,
                    out->file_count, SHARDS_MAX_FILES);
    i = 0;
    for (const json_value *item = json_first(map); item != NULL; item = json_next(item), i++)
        out->entries[i] = (shard_entry){json_name(item), index_of(out, json_string(item))};
    qsort(out->entries, out->entry_count, sizeof *out->entries, compare_entries);
    for (i = 1; i < out->entry_count; i++)
        if (compare_entries(&out->entries[i - 1], &out->entries[i]) == 0)
            return fail(error, GPTOSS_FORMAT, "%s: tensor \"%s\" is listed twice", what,
                        out->entries[i].tensor);
    return GPTOSS_OK;
}

gptoss_status shard_index_parse(const json_value *document, const char *what, shard_index *out,
                                gptoss_error *error)
{
    *out = (shard_index){0};
    const json_value *map = json_member(document, "weight_map");
    if (!json_is_object(map))
        return fail(error, GPTOSS_FORMAT, "%s has no object \"weight_map\"", what);
    size_t count = json_count(map);
    if (count == 0)
        return fail(error, GPTOSS_FORMAT, "%s lists no tensors", what);
    if (count > SAFETENSORS_MAX_TENSORS)
        return fail(error, GPTOSS_LIMIT, "%s: %zu tensors are more than the supported %u", what,
                    count, SAFETENSORS_MAX_TENSORS);
    out->entry_count = count;
    out->file_count = count;
    out->entries = calloc(count, sizeof *out->entries);
    out->files = calloc(count, sizeof *out->files);
    gptoss_status status = GPTOSS_OK;
    if (out->entries == NULL || out->files == NULL)
        status = fail_memory(error, what, count * (sizeof *out->entries + sizeof *out->files));
    else
        status = read_map(map, what, out, error);
    if (status != GPTOSS_OK) {
        shard_index_free(out);
        return status;
    }
    json_u64(json_member(json_member(document, "metadata"), "total_size"), &out->total_size);
    return GPTOSS_OK;
}

void shard_index_free(shard_index *index)
{
    free(index->entries);
    free(index->files);
    *index = (shard_index){0};
}
