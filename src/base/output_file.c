#include "base/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_kind.h"

/* A file without a name in the directory of `path`; negative when there is no such thing. */
static int open_nameless(const char *path, unsigned permissions)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    char *directory = NULL;
    if (asprintf(&directory, "%.*s.", (int)length, path) < 0)
        return -1;
    int descriptor = open(directory, O_WRONLY | O_TMPFILE | O_CLOEXEC, permissions);
    free(directory);
    return descriptor;
}

/* Gives a nameless file its temporary name; an existing file cannot be replaced at once. */
static bool give_name(const output_file *file)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file->descriptor);
    return linkat(AT_FDCWD, link, AT_FDCWD, file->temporary, AT_SYMLINK_FOLLOW) == 0;
}

/* Renaming would put a file in the place of a device or a pipe. */
static gptoss_status check_place(const char *path, gptoss_error *error)
{
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return fail(error, GPTOSS_IO, "%s should be a regular file but is %s", path,
                    file_kind(info.st_mode));
    return GPTOSS_OK;
}

gptoss_status output_file_create(output_file *file, const char *path, unsigned permissions,
                                 gptoss_error *error)
{
    uint32_t random;
    gptoss_status status = check_place(path, error);
    if (status != GPTOSS_OK)
        return status;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        random = (uint32_t)getpid(); /* early after boot there is no more */
    *file = (output_file){.path = path, .error = error};
    if (asprintf(&file->temporary, "%s.%08" PRIx32 ".part", path, random) < 0)
        return fail_memory(error, "a file name", strlen(path));
    file->descriptor = access("/proc/self/fd", X_OK) == 0 ? open_nameless(path, permissions) : -1;
    file->nameless = file->descriptor >= 0;
    if (!file->nameless)
        file->descriptor =
            open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, permissions);
    if (file->descriptor >= 0)
        return GPTOSS_OK;
    status = fail(error, GPTOSS_IO, "cannot create %s: %s", path, strerror(errno));
    free(file->temporary);
    return status;
}

void output_file_reserve(output_file *file, uint64_t bytes)
{
    int failure = EINTR;
    while (failure == EINTR && file->status == GPTOSS_OK)
        failure = bytes > INT64_MAX ? EFBIG : posix_fallocate(file->descriptor, 0, (off_t)bytes);
    if (failure == EOPNOTSUPP)
        return; /* the writes will tell */
    if (failure != 0 && file->status == GPTOSS_OK)
        file->status =
            fail(file->error, GPTOSS_IO, "%s: cannot take %" PRIu64 " bytes of disk space: %s",
                 file->path, bytes, strerror(failure));
}

void output_file_write(output_file *file, const void *data, uint64_t bytes, uint64_t offset)
{
    const uint8_t *from = data;
    while (bytes > 0 && file->status == GPTOSS_OK) {
        ssize_t written = pwrite(file->descriptor, from, bytes, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            file->status = fail(file->error, GPTOSS_IO, "%s: cannot write: %s", file->path,
                                strerror(written < 0 ? errno : ENOSPC));
            return;
        }
        from += written;
        bytes -= (uint64_t)written;
        offset += (uint64_t)written;
    }
}

/* EINVAL: not every file system can. */
static void synchronise(output_file *file)
{
    if (fsync(file->descriptor) != 0 && errno != EINVAL)
        file->status =
            fail(file->error, GPTOSS_IO, "%s: cannot write: %s", file->path, strerror(errno));
}

/* Puts the new name on the disk. Where that fails, a crash may bring back the file that was there
 * before: both are whole, so that it is no failure. */
static void synchronise_directory(output_file *file)
{
    const char *slash = strrchr(file->path, '/');
    file->temporary[slash == NULL ? 0 : slash - file->path + 1] = '\0'; /* it has its name now */
    int directory = open(slash == NULL ? "." : file->temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return;
    fsync(directory);
    close(directory);
}

gptoss_status output_file_finish(output_file *file, gptoss_status keep)
{
    if (keep == GPTOSS_OK && file->status == GPTOSS_OK)
        synchronise(file);
    bool named = !file->nameless;
    if (file->nameless && keep == GPTOSS_OK && file->status == GPTOSS_OK) {
        named = give_name(file);
        if (!named)
            file->status =
                fail(file->error, GPTOSS_IO, "cannot create %s: %s", file->path, strerror(errno));
    }
    if (close(file->descriptor) != 0 && keep == GPTOSS_OK && file->status == GPTOSS_OK)
        file->status =
            fail(file->error, GPTOSS_IO, "%s: cannot write: %s", file->path, strerror(errno));
    if (file->status == GPTOSS_OK)
        file->status = keep;
    if (file->status == GPTOSS_OK && rename(file->temporary, file->path) != 0)
        file->status = fail(file->error, GPTOSS_IO, "cannot rename %s to %s: %s", file->temporary,
                            file->path, strerror(errno));
    if (file->status == GPTOSS_OK)
        synchronise_directory(file);
    else if (named)
        unlink(file->temporary);
    free(file->temporary);
    return file->status;
}
