#include "text/find_tokenizer.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RANKS_SUFFIX ".tiktoken"

/* Orders file names by how much they are preferred; 0 is no tokenizer. */
static int preference(const char *name)
{
    size_t length = strlen(name);
    size_t suffix = strlen(RANKS_SUFFIX);
    if (strcmp(name, "tokenizer.json") == 0)
        return 3;
    if (strcmp(name, "o200k_base" RANKS_SUFFIX) == 0)
        return 2;
    return length > suffix && strcmp(name + length - suffix, RANKS_SUFFIX) == 0 ? 1 : 0;
}

static bool is_better(const char *name, const char *best)
{
    if (preference(name) == 0)
        return false;
    if (best == NULL || preference(name) != preference(best))
        return best == NULL || preference(name) > preference(best);
    return strcmp(name, best) < 0;
}

static gptoss_status join_path(const char *directory, const char *name, char **out,
                               gptoss_error *error)
{
    if (asprintf(out, "%s/%s", directory, name) >= 0)
        return GPTOSS_OK;
    *out = NULL;
    return fail_memory(error, "a path", strlen(directory) + strlen(name) + 2);
}

/* Looks in one directory; *out stays NULL when it has no tokenizer. */
static gptoss_status search_directory(const char *directory, char **out, gptoss_error *error)
{
    *out = NULL;
    DIR *stream = opendir(directory);
    if (stream == NULL)
        return fail(error, GPTOSS_IO, "%s: %s", directory, strerror(errno));
    gptoss_status status = GPTOSS_OK;
    char *best = NULL;
    while (status == GPTOSS_OK) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (entry == NULL && errno != 0)
            status = fail(error, GPTOSS_IO, "cannot list %s: %s", directory, strerror(errno));
        if (entry == NULL)
            break;
        if (!is_better(entry->d_name, best))
            continue;
        free(best);
        best = strdup(entry->d_name);
        if (best == NULL)
            status = fail_memory(error, "a file name", strlen(entry->d_name) + 1);
    }
    closedir(stream);
    if (status == GPTOSS_OK && best != NULL)
        status = join_path(directory, best, out, error);
    free(best);
    return status;
}

gptoss_status find_tokenizer(const char *path, char **out, gptoss_error *error)
{
    *out = NULL;
    struct stat info;
    if (stat(path, &info) != 0)
        return fail(error, GPTOSS_IO, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(info.st_mode)) {
        *out = strdup(path);
        return *out == NULL ? fail_memory(error, "a path", strlen(path) + 1) : GPTOSS_OK;
    }
    char *parent;
    gptoss_status status = search_directory(path, out, error);
    if (status != GPTOSS_OK || *out != NULL)
        return status;
    status = join_path(path, "..", &parent, error);
    if (status != GPTOSS_OK)
        return status;
    if (access(parent, R_OK) == 0)
        status = search_directory(parent, out, error);
    free(parent);
    return status;
}

bool gptoss_tokenizer_exists(const char *path)
{
    char *found;
    gptoss_status status = find_tokenizer(path, &found, NULL);
    bool exists = status != GPTOSS_OK || found != NULL;
    free(found);
    return exists;
}
