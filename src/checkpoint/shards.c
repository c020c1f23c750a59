#include "checkpoint/shards.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoint/locate.h"

static const char weights_suffix[] = ".safetensors";
static const char index_suffix[] = ".safetensors.index.json";
static const char index_usual[] = "model.safetensors.index.json";

/* What download programs append to the name of a file that is not complete. */
static const char *const partial_suffixes[] = {
    ".aria2", ".part", ".partial", ".incomplete", ".crdownload", ".download", ".tmp"};
#define PARTIAL_SUFFIXES (sizeof partial_suffixes / sizeof *partial_suffixes)

static bool ends_with(const char *text, const char *suffix)
{
    size_t length = strlen(text);
    size_t end = strlen(suffix);
    return length > end && strcmp(text + length - end, suffix) == 0;
}

/* printf into new memory; NULL when there is none. */
static char *format_new(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *format_new(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    return text;
}

static bool file_size(const char *path, uint64_t *bytes)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return false;
    *bytes = (uint64_t)info.st_size;
    return true;
}

/* ---- what is in a directory ------------------------------------------------------------------ */

typedef struct name_list {
    char **names;
    size_t count;
    size_t room;
} name_list;

/* What a directory holds that has to do with weights. */
typedef struct listing {
    name_list weights;
    name_list indexes;
    name_list partial; /* *.safetensors with the mark of an unfinished download */
    name_list others;  /* weights in formats that are not read */
} listing;

static bool make_room(name_list *list)
{
    if (list->count < list->room)
        return true;
    size_t room = list->room == 0 ? 16 : 2 * list->room;
    char **names = realloc(list->names, room * sizeof *names);
    if (names == NULL)
        return false;
    list->names = names;
    list->room = room;
    return true;
}

static bool add_name(name_list *list, const char *name)
{
    char *copy = make_room(list) ? strdup(name) : NULL;
    if (copy == NULL)
        return false;
    list->names[list->count++] = copy;
    return true;
}

static void free_names(name_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
    *list = (name_list){0};
}

static void free_listing(listing *list)
{
    free_names(&list->weights);
    free_names(&list->indexes);
    free_names(&list->partial);
    free_names(&list->others);
}

static int compare_names(const void *left, const void *right)
{
    char *const *a = left;
    char *const *b = right;
    return strcmp(*a, *b);
}

static void sort_names(name_list *list)
{
    if (list->names != NULL)
        qsort(list->names, list->count, sizeof *list->names, compare_names);
}

static bool is_partial(const char *name)
{
    for (size_t i = 0; i < PARTIAL_SUFFIXES; i++)
        if (ends_with(name, partial_suffixes[i]) && strstr(name, weights_suffix) != NULL)
            return true;
    return false;
}

static bool add_entry(listing *list, const char *name)
{
    if (name[0] == '.')
        return true;
    if (ends_with(name, weights_suffix))
        return add_name(&list->weights, name);
    if (ends_with(name, index_suffix))
        return add_name(&list->indexes, name);
    if (is_partial(name))
        return add_name(&list->partial, name);
    if (ends_with(name, ".bin") || ends_with(name, ".gguf") || ends_with(name, ".pt") ||
        ends_with(name, ".pth") || ends_with(name, ".onnx"))
        return add_name(&list->others, name);
    return true;
}

/* A directory that does not exist lists as empty. */
static gptoss_status list_directory(const char *path, listing *out, gptoss_error *error)
{
    *out = (listing){0};
    DIR *directory = opendir(path);
    if (directory == NULL)
        return errno == ENOENT || errno == ENOTDIR
                   ? GPTOSS_OK
                   : fail(error, GPTOSS_IO, "cannot list %s: %s", path, strerror(errno));
    gptoss_status status = GPTOSS_OK;
    while (status == GPTOSS_OK) {
        errno = 0;
        const struct dirent *entry = readdir(directory);
        if (entry == NULL && errno != 0)
            status = fail(error, GPTOSS_IO, "cannot list %s: %s", path, strerror(errno));
        if (entry == NULL)
            break;
        if (!add_entry(out, entry->d_name))
            status = fail_memory(error, path, sizeof *out);
    }
    closedir(directory);
    if (status != GPTOSS_OK) {
        free_listing(out);
        return status;
    }
    sort_names(&out->weights);
    sort_names(&out->indexes);
    sort_names(&out->partial);
    sort_names(&out->others);
    return GPTOSS_OK;
}

/* ---- unfinished downloads -------------------------------------------------------------------- */

/* The first *.incomplete in `directory`, which is where the hub's client keeps what it has not
 * finished, as a new string; NULL when there is none. */
static char *first_incomplete(const char *directory)
{
    char *found = NULL;
    DIR *listed = opendir(directory);
    if (listed == NULL)
        return NULL;
    for (const struct dirent *entry; found == NULL && (entry = readdir(listed)) != NULL;)
        if (ends_with(entry->d_name, ".incomplete"))
            found = format_new("%s/%s", directory, entry->d_name);
    closedir(listed);
    return found;
}

/* The path of an unfinished download that could be of `file`: beside it under one of the usual
 * names, in the hub's cache, or in the hub's folder of a --local-dir. NULL when there is none. */
static char *unfinished_download(const char *directory, const char *file)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < PARTIAL_SUFFIXES; i++) {
        char *path = format_new("%s/%s%s", directory, file, partial_suffixes[i]);
        if (path != NULL && file_size(path, &bytes))
            return path;
        free(path);
    }
    static const char *const folders[] = {"../../blobs", ".cache/huggingface/download"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char *folder = format_new("%s/%s", directory, folders[i]);
        char *path = folder != NULL ? first_incomplete(folder) : NULL;
        free(folder);
        if (path != NULL)
            return path;
    }
    return NULL;
}

/* A link of a hub snapshot may lead nowhere; aria2 gives a file its full size at once and keeps a
 * control file beside it until it is done. */
static gptoss_status check_complete(const char *path, gptoss_error *error)
{
    uint64_t bytes = 0;
    if (!file_size(path, &bytes))
        return fail(error, GPTOSS_IO, "%s cannot be reached: %s", path, strerror(errno));
    char *control = format_new("%s.aria2", path);
    bool unfinished = control != NULL && file_size(control, &bytes);
    free(control);
    if (unfinished)
        return fail(error, GPTOSS_FORMAT,
                    "%s is not complete: aria2's control file %s.aria2 is beside it; let the "
                    "download finish",
                    path, path);
    return GPTOSS_OK;
}

/* Says what is missing of the files that the index names. `found` is their bytes so far. */
static gptoss_status fail_missing(const shard_list *list, size_t missing, const char *first,
                                  uint64_t found, gptoss_error *error)
{
    char sizes[128] = "";
    char partial[1024] = "";
    if (list->index.total_size > 0)
        snprintf(sizes, sizeof sizes,
                 " (%" PRIu64 " bytes are there, %" PRIu64 " of weights are expected)", found,
                 list->index.total_size);
    char *unfinished = unfinished_download(list->directory, first);
    uint64_t bytes = 0;
    if (unfinished != NULL && file_size(unfinished, &bytes))
        snprintf(partial, sizeof partial, "; %s is a download of %" PRIu64 " bytes so far",
                 unfinished, bytes);
    free(unfinished);
    return fail(error, GPTOSS_FORMAT,
                "%s lists %zu weight files, but %zu of them %s missing, first %s%s%s; run the "
                "download again, it fetches what is missing",
                list->index_path, list->index.file_count, missing, missing == 1 ? "is" : "are",
                first, sizes, partial);
}

static gptoss_status check_present(const shard_list *list, gptoss_error *error)
{
    size_t missing = 0;
    const char *first = NULL;
    uint64_t found = 0;
    for (size_t i = 0; i < list->count; i++) {
        uint64_t bytes = 0;
        if (file_size(list->paths[i], &bytes)) {
            found += bytes;
            continue;
        }
        if (missing++ == 0)
            first = list->index.files[i];
    }
    return missing > 0 ? fail_missing(list, missing, first, found, error) : GPTOSS_OK;
}

/* ---- from a path to files -------------------------------------------------------------------- */

/* Makes the list's paths from names in its directory. */
static gptoss_status set_paths(const char *const *names, size_t count, shard_list *out,
                               gptoss_error *error)
{
    if (count > SHARDS_MAX_FILES)
        return fail(error, GPTOSS_LIMIT, "%s: %zu weight files are more than the supported %d",
                    out->directory, count, SHARDS_MAX_FILES);
    out->paths = calloc(count, sizeof *out->paths);
    if (out->paths == NULL)
        return fail_memory(error, out->directory, count * sizeof *out->paths);
    for (size_t i = 0; i < count; i++) {
        out->paths[i] = format_new("%s/%s", out->directory, names[i]);
        if (out->paths[i] == NULL)
            return fail_memory(error, out->directory, PATH_MAX);
        out->count = i + 1;
    }
    return GPTOSS_OK;
}

/* The index that counts, or NULL when there is none. */
static gptoss_status choose_index(const char *directory, const name_list *indexes, const char **out,
                                  gptoss_error *error)
{
    *out = indexes->count > 0 ? indexes->names[0] : NULL;
    if (indexes->count < 2)
        return GPTOSS_OK;
    for (size_t i = 0; i < indexes->count; i++) {
        if (strcmp(indexes->names[i], index_usual) == 0) {
            *out = indexes->names[i];
            return GPTOSS_OK;
        }
    }
    return fail(error, GPTOSS_FORMAT,
                "%s should have one index but has %zu, %s and %s among them, and none is called %s",
                directory, indexes->count, indexes->names[0], indexes->names[1], index_usual);
}

static gptoss_status use_index(const char *name, shard_list *out, gptoss_error *error)
{
    out->index_path = format_new("%s/%s", out->directory, name);
    if (out->index_path == NULL)
        return fail_memory(error, out->directory, PATH_MAX);
    gptoss_status status = json_parse_file(out->index_path, &out->document, error);
    if (status == GPTOSS_OK)
        status = shard_index_parse(out->document, out->index_path, &out->index, error);
    if (status == GPTOSS_OK)
        status = set_paths(out->index.files, out->index.file_count, out, error);
    if (status == GPTOSS_OK)
        status = check_present(out, error);
    if (status == GPTOSS_OK)
        status = shards_check_links(out, error);
    return status;
}

/* Weights that are there but cannot be read explain more than "nothing found". */
static gptoss_status fail_nothing(const char *directory, const listing *list, gptoss_error *error)
{
    if (list->partial.count > 0)
        return fail(error, GPTOSS_FORMAT,
                    "%s has no complete *.safetensors file: %s is a download that did not finish",
                    directory, list->partial.names[0]);
    char *unfinished = unfinished_download(directory, "model.safetensors");
    if (unfinished != NULL) {
        fail(error, GPTOSS_FORMAT,
             "%s has no *.safetensors file: %s is a download that did not finish; run it again",
             directory, unfinished);
        free(unfinished);
        return GPTOSS_FORMAT;
    }
    if (list->others.count > 0)
        return fail(error, GPTOSS_UNSUPPORTED,
                    "%s has no *.safetensors file, and %s is in a format that is not read here",
                    directory, list->others.names[0]);
    char *metal = format_new("%s/metal/model.bin", directory);
    uint64_t bytes = 0;
    bool has_metal = metal != NULL && file_size(metal, &bytes);
    free(metal);
    if (has_metal)
        return fail(error, GPTOSS_UNSUPPORTED,
                    "%s has no *.safetensors file, only metal/model.bin, whose format is not read "
                    "here",
                    directory);
    char name[256];
    if (locate_hub_name(directory, name, sizeof name))
        return fail(error, GPTOSS_IO,
                    "the snapshot of %s in %s has no *.safetensors file; " LOCATE_DOWNLOAD
                    " fetches them",
                    name, directory, name);
    return fail(error, GPTOSS_IO,
                "%s has no *.safetensors file and neither has its subdirectory original/",
                directory);
}

static gptoss_status use_listing(const listing *list, shard_list *out, gptoss_error *error)
{
    const char *index = NULL;
    gptoss_status status = choose_index(out->directory, &list->indexes, &index, error);
    if (status != GPTOSS_OK)
        return status;
    if (index != NULL)
        return use_index(index, out, error);
    return set_paths((const char *const *)list->weights.names, list->weights.count, out, error);
}

static bool has_weights(const listing *list)
{
    return list->weights.count > 0 || list->indexes.count > 0;
}

/* For a directory without weights of its own, which holds `here`. */
static gptoss_status find_in_original(const listing *here, shard_list *out, gptoss_error *error)
{
    listing below;
    char *original = format_new("%s/original", out->directory);
    if (original == NULL)
        return fail_memory(error, out->directory, PATH_MAX);
    gptoss_status status = list_directory(original, &below, error);
    if (status != GPTOSS_OK) {
        free(original);
        return status;
    }
    if (has_weights(&below)) {
        free(out->directory);
        out->directory = original;
        status = use_listing(&below, out, error);
    } else {
        free(original);
        status = fail_nothing(out->directory, here, error);
    }
    free_listing(&below);
    return status;
}

static gptoss_status find_in_directory(const char *path, shard_list *out, gptoss_error *error)
{
    listing here;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    out->directory = strndup(path, length);
    if (out->directory == NULL)
        return fail_memory(error, path, length + 1);
    gptoss_status status = list_directory(path, &here, error);
    if (status != GPTOSS_OK)
        return status;
    status =
        has_weights(&here) ? use_listing(&here, out, error) : find_in_original(&here, out, error);
    free_listing(&here);
    return status;
}

/* A file that an index beside it counts among several is only a part of the model. */
static gptoss_status check_not_a_part(const char *directory, const char *name, gptoss_error *error)
{
    listing list;
    const char *index = NULL;
    gptoss_status status = GPTOSS_OK;
    shard_list whole = {.directory = strdup(directory)};
    if (whole.directory != NULL && list_directory(directory, &list, NULL) == GPTOSS_OK) {
        /* What is wrong with the index does not matter here: nobody asked for it. */
        if (choose_index(directory, &list.indexes, &index, NULL) == GPTOSS_OK && index != NULL)
            use_index(index, &whole, NULL);
        for (size_t i = 0; i < whole.index.file_count && whole.index.file_count > 1; i++)
            if (strcmp(whole.index.files[i], name) == 0)
                status = fail(error, GPTOSS_USAGE,
                              "%s is one of the %zu files of the checkpoint in %s; give the "
                              "directory",
                              name, whole.index.file_count, directory);
        free_listing(&list);
    }
    shards_free(&whole);
    return status;
}

static gptoss_status find_file(const char *path, shard_list *out, gptoss_error *error)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    if (slash == NULL)
        out->directory = strdup(".");
    else
        out->directory = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (out->directory == NULL)
        return fail_memory(error, path, PATH_MAX);
    if (ends_with(name, ".json"))
        return fail(error, GPTOSS_USAGE, "%s holds no weights; give its directory, %s", path,
                    out->directory);
    gptoss_status status = check_not_a_part(out->directory, name, error);
    if (status == GPTOSS_OK)
        status = set_paths(&name, 1, out, error);
    return status;
}

gptoss_status shards_find(const char *path, shard_list *out, gptoss_error *error)
{
    *out = (shard_list){0};
    struct stat info;
    if (stat(path, &info) != 0)
        return fail(error, GPTOSS_IO, "cannot look at %s: %s", path, strerror(errno));
    gptoss_status status =
        S_ISDIR(info.st_mode) ? find_in_directory(path, out, error) : find_file(path, out, error);
    for (size_t i = 0; i < out->count && status == GPTOSS_OK; i++)
        status = check_complete(out->paths[i], error);
    if (status != GPTOSS_OK)
        shards_free(out);
    return status;
}

void shards_free(shard_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->paths[i]);
    free(list->paths);
    free(list->directory);
    free(list->index_path);
    shard_index_free(&list->index);
    json_free(list->document);
    *list = (shard_list){0};
}
