#include "base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *kind_of(mode_t mode)
{
    if (S_ISDIR(mode))
        return "a directory";
    if (S_ISFIFO(mode))
        return "a pipe";
    if (S_ISSOCK(mode))
        return "a socket";
    if (S_ISCHR(mode) || S_ISBLK(mode))
        return "a device";
    return "something else";
}

static gptoss_status map_descriptor(int descriptor, const char *path, file_map *out,
                                    gptoss_error *error)
{
    struct stat info;
    if (fstat(descriptor, &info) != 0)
        return fail(error, GPTOSS_IO, "cannot examine %s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return fail(error, GPTOSS_IO, "%s should be a regular file but is %s", path,
                    kind_of(info.st_mode));
    if (info.st_size == 0)
        return GPTOSS_OK;
    if ((uintmax_t)info.st_size > SIZE_MAX)
        return fail(error, GPTOSS_LIMIT, "%s has %jd bytes, more than the address space", path,
                    (intmax_t)info.st_size);
    size_t size = (size_t)info.st_size;
    void *data = mmap(NULL, size, PROT_READ, MAP_SHARED, descriptor, 0);
    if (data == MAP_FAILED)
        return fail(error, GPTOSS_IO, "cannot map the %zu bytes of %s: %s", size, path,
                    strerror(errno));
    *out = (file_map){.data = data, .size = size};
    return GPTOSS_OK;
}

gptoss_status file_map_open(const char *path, file_map *out, gptoss_error *error)
{
    *out = (file_map){0};
    /* Without O_NONBLOCK, opening a pipe would wait for somebody to write into it. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0)
        return fail(error, GPTOSS_IO, "cannot open %s: %s", path, strerror(errno));
    gptoss_status status = map_descriptor(descriptor, path, out, error);
    close(descriptor);
    return status;
}

void file_map_close(file_map *map)
{
    /* mmap gave it as void *; nobody may write through the map in between. */
    if (map->data != NULL)
        munmap((void *)(uintptr_t)map->data, map->size); /* NOLINT(performance-no-int-to-ptr) */
    *map = (file_map){0};
}
