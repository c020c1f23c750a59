/* Where the files of an index may lead to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoint/shards.h"

/* Whether `path` lies in the directory of the first `length` bytes, or below it. */
static bool lies_in(const char *path, const char *directory, size_t length)
{
    return strncmp(path, directory, length) == 0 && path[length] == '/';
}

/* Whether `path` lies in blobs/ of the hub cache whose snapshot `directory` is or lies in:
 * REPOSITORY/snapshots/COMMIT. Both are resolved. */
static bool lies_in_blobs(const char *path, const char *directory)
{
    static const char middle[] = "/snapshots/";
    static const char blobs[] = "/blobs/";
    const char *end = NULL;
    for (const char *at = directory; (at = strstr(at, middle)) != NULL; at++)
        end = at;
    if (end == NULL)
        return false;
    size_t length = (size_t)(end - directory);
    return lies_in(path, directory, length) && strncmp(path + length, blobs, sizeof blobs - 1) == 0;
}

/* One file; `directory` is resolved. */
static gptoss_status check_link(const shard_list *list, const char *path, const char *directory,
                                gptoss_error *error)
{
    struct stat info;
    if (lstat(path, &info) != 0 || !S_ISLNK(info.st_mode))
        return GPTOSS_OK;
    char *target = realpath(path, NULL);
    if (target == NULL)
        return fail(error, GPTOSS_IO, "%s cannot be reached: %s", path, strerror(errno));
    bool good = lies_in(target, directory, strlen(directory)) || lies_in_blobs(target, directory);
    gptoss_status status = GPTOSS_OK;
    if (!good)
        status = fail(error, GPTOSS_FORMAT,
                      "%s lists %s, which is a link out of the checkpoint's directory, to %.300s; "
                      "only links into the blobs of a hub cache are followed",
                      list->index_path, path, target);
    free(target);
    return status;
}

gptoss_status shards_check_links(const shard_list *list, gptoss_error *error)
{
    if (list->index_path == NULL)
        return GPTOSS_OK;
    char *directory = realpath(list->directory, NULL);
    if (directory == NULL)
        return fail(error, GPTOSS_IO, "%s cannot be reached: %s", list->directory, strerror(errno));
    gptoss_status status = GPTOSS_OK;
    for (size_t i = 0; i < list->count && status == GPTOSS_OK; i++)
        status = check_link(list, list->paths[i], directory, error);
    free(directory);
    return status;
}
