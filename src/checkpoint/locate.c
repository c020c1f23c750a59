#include "checkpoint/locate.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/*
 * The hub's cache:
 *
 *     CACHE/models--OWNER--NAME/refs/main                  the commit that "main" was
 *                               snapshots/COMMIT/FILE      links into blobs/
 *                               blobs/DIGEST               the files
 *                               blobs/DIGEST.incomplete    a download that did not finish
 */

static gptoss_status copy_path(const char *path, char **out, gptoss_error *error)
{
    *out = strdup(path);
    return *out != NULL ? GPTOSS_OK : fail_memory(error, "a path", strlen(path) + 1);
}

static bool is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* "owner/name" of letters, digits, '.', '_' and '-', neither beginning with '.'. */
static bool is_hub_name(const char *path)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t owner = strspn(path, allowed);
    if (owner == 0 || path[0] == '.' || path[owner] != '/')
        return false;
    const char *name = path + owner + 1;
    size_t length = strspn(name, allowed);
    return length > 0 && name[0] != '.' && name[length] == '\0';
}

/* A setting; an empty one counts as absent. */
static const char *setting(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* The first place that is configured, as the hub's own client has it. A leading "~/" is the home
 * directory. False when there is no home and nothing configured, or no room. */
static bool cache_directory(char out[PATH_MAX])
{
    static const struct {
        const char *variable;
        const char *below;
    } places[] = {
        {"HF_HUB_CACHE", ""},
        {"HUGGINGFACE_HUB_CACHE", ""},
        {"HF_HOME", "/hub"},
        {"XDG_CACHE_HOME", "/huggingface/hub"},
        {"HOME", "/.cache/huggingface/hub"},
    };
    const char *home = setting("HOME");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *value = setting(places[i].variable);
        if (value == NULL)
            continue;
        bool tilde = value[0] == '~' && value[1] == '/' && home != NULL;
        return snprintf(out, PATH_MAX, "%s%s%s", tilde ? home : "", tilde ? value + 1 : value,
                        places[i].below) < PATH_MAX;
    }
    return false;
}

/* The commit in refs/main, when that is one plain word. */
static bool read_main(const char *repository, char commit[128])
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/refs/main", repository) >= (int)sizeof path)
        return false;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool found = fgets(commit, 128, file) != NULL;
    fclose(file);
    if (found)
        commit[strcspn(commit, " \t\r\n")] = '\0';
    return found && commit[0] != '\0' && commit[0] != '.' && strchr(commit, '/') == NULL;
}

/* The snapshot that was changed last, ties to the greater name. */
static bool newest_snapshot(const char *repository, char out[PATH_MAX])
{
    char path[PATH_MAX];
    char best_name[NAME_MAX + 1] = "";
    struct timespec best = {0};
    if (snprintf(path, sizeof path, "%s/snapshots", repository) >= (int)sizeof path)
        return false;
    DIR *directory = opendir(path);
    if (directory == NULL)
        return false;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        struct stat info;
        if (entry->d_name[0] == '.' ||
            snprintf(path, sizeof path, "%s/snapshots/%s", repository, entry->d_name) >=
                (int)sizeof path ||
            stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
            continue;
        bool later = info.st_mtim.tv_sec != best.tv_sec ? info.st_mtim.tv_sec > best.tv_sec
                                                        : info.st_mtim.tv_nsec > best.tv_nsec;
        bool same = info.st_mtim.tv_sec == best.tv_sec && info.st_mtim.tv_nsec == best.tv_nsec;
        if (best_name[0] == '\0' || later || (same && strcmp(entry->d_name, best_name) > 0)) {
            best = info.st_mtim;
            snprintf(best_name, sizeof best_name, "%s", entry->d_name);
        }
    }
    closedir(directory);
    return best_name[0] != '\0' &&
           snprintf(out, PATH_MAX, "%s/snapshots/%s", repository, best_name) < PATH_MAX;
}

/* The directory of a repository's snapshot in the cache. */
static bool find_snapshot(const char *cache, const char *hub_name, char out[PATH_MAX])
{
    char repository[PATH_MAX];
    char commit[128];
    const char *slash = strchr(hub_name, '/');
    if (snprintf(repository, sizeof repository, "%s/models--%.*s--%s", cache,
                 (int)(slash - hub_name), hub_name, slash + 1) >= (int)sizeof repository)
        return false;
    if (read_main(repository, commit) &&
        snprintf(out, PATH_MAX, "%s/snapshots/%s", repository, commit) < PATH_MAX &&
        is_directory(out))
        return true;
    return newest_snapshot(repository, out);
}

static gptoss_status locate_in_cache(const char *hub_name, char **out, gptoss_error *error)
{
    char cache[PATH_MAX];
    char snapshot[PATH_MAX];
    if (!cache_directory(cache))
        return fail(error, GPTOSS_IO,
                    "there is no %s here, and no hub cache to look for it either, because HOME is "
                    "not set",
                    hub_name);
    if (find_snapshot(cache, hub_name, snapshot))
        return copy_path(snapshot, out, error);
    return fail(error, GPTOSS_IO,
                "%s is neither here nor in the hub's cache %s; " LOCATE_DOWNLOAD " fetches it",
                hub_name, cache, hub_name);
}

gptoss_status locate_model(const char *path, char **out, gptoss_error *error)
{
    *out = NULL;
    struct stat info;
    if (stat(path, &info) == 0)
        return copy_path(path, out, error);
    int reason = errno;
    if (lstat(path, &info) == 0)
        return fail(error, GPTOSS_IO, "%s is a link to something that cannot be reached: %s", path,
                    strerror(reason));
    if (reason != ENOENT && reason != ENOTDIR)
        return fail(error, GPTOSS_IO, "cannot look at %s: %s", path, strerror(reason));
    if (is_hub_name(path))
        return locate_in_cache(path, out, error);
    return fail(error, GPTOSS_IO,
                "there is no file or directory %s, and it is no hub name such as "
                "openai/gpt-oss-20b either",
                path);
}

bool locate_hub_name(const char *directory, char *out, size_t room)
{
    static const char begin[] = "models--";
    static const char middle[] = "/snapshots/";
    const char *end = NULL;
    for (const char *at = directory; (at = strstr(at, middle)) != NULL; at++)
        end = at;
    const char *start = end;
    while (start != NULL && start > directory && start[-1] != '/')
        start--;
    if (start == NULL || strncmp(start, begin, sizeof begin - 1) != 0)
        return false;
    const char *owner = start + sizeof begin - 1;
    const char *dashes = strstr(owner, "--");
    if (dashes == NULL || dashes >= end)
        return false;
    snprintf(out, room, "%.*s/%.*s", (int)(dashes - owner), owner, (int)(end - dashes - 2),
             dashes + 2);
    return is_hub_name(out);
}
