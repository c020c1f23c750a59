#include "base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_kind.h"
#include "base/memory.h"

/* ---- what is mapped -------------------------------------------------------------------------- */

/*
 * A mapping as gptoss_mapped_file finds it. A signal handler walks the records while other threads
 * open and close maps. It reads the path of a mapping only that the thread it interrupted was
 * reading from, which nobody is closing.
 */
typedef struct map_record {
    atomic_bool taken;
    atomic_uintptr_t start; /* 0: nothing */
    size_t size;            /* these two are set before `start` is */
    char *path;
} map_record;

static map_record records[FILE_MAPS_MAX];

static map_record *take_record(void)
{
    for (size_t i = 0; i < FILE_MAPS_MAX; i++)
        if (!atomic_load(&records[i].taken) && !atomic_exchange(&records[i].taken, true))
            return &records[i];
    return NULL;
}

static void leave_record(map_record *record)
{
    atomic_store(&record->start, 0);
    free(record->path);
    record->path = NULL;
    atomic_store(&record->taken, false);
}

static map_record *record_of(uintptr_t address)
{
    for (size_t i = 0; i < FILE_MAPS_MAX; i++) {
        uintptr_t start = atomic_load(&records[i].start);
        if (start != 0 && address >= start && address - start < records[i].size)
            return &records[i];
    }
    return NULL;
}

const char *gptoss_mapped_file(const void *address, uint64_t *bytes)
{
    const map_record *record = record_of((uintptr_t)address);
    if (record == NULL)
        return NULL;
    *bytes = record->size;
    return record->path;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Opens a regular file; *out has its size and identity, and no data yet. */
static gptoss_status open_regular(const char *path, int *descriptor, file_map *out,
                                  gptoss_error *error)
{
    struct stat info;
    *out = (file_map){0};
    /* Without O_NONBLOCK, opening a pipe would wait for somebody to write into it. */
    *descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*descriptor < 0)
        return fail(error, GPTOSS_IO, "cannot open %s: %s", path, strerror(errno));
    gptoss_status status = GPTOSS_OK;
    if (fstat(*descriptor, &info) != 0)
        status = fail(error, GPTOSS_IO, "cannot examine %s: %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        status = fail(error, GPTOSS_IO, "%s should be a regular file but is %s", path,
                      file_kind(info.st_mode));
    else if ((uintmax_t)info.st_size > SIZE_MAX)
        status = fail(error, GPTOSS_LIMIT, "%s has %jd bytes, more than the address space", path,
                      (intmax_t)info.st_size);
    if (status != GPTOSS_OK) {
        close(*descriptor);
        return status;
    }
    *out = (file_map){.size = (size_t)info.st_size,
                      .device = info.st_dev,
                      .inode = info.st_ino,
                      .written = info.st_mtim};
    return GPTOSS_OK;
}

static gptoss_status map_whole(int descriptor, const char *path, file_map *out, gptoss_error *error)
{
    map_record *record = take_record();
    if (record == NULL)
        return fail(error, GPTOSS_LIMIT, "cannot map %s: %d files are mapped already", path,
                    FILE_MAPS_MAX);
    record->path = strdup(path);
    if (record->path == NULL) {
        leave_record(record);
        return fail_memory(error, path, strlen(path) + 1);
    }
    void *data = mmap(NULL, out->size, PROT_READ, MAP_SHARED, descriptor, 0);
    if (data == MAP_FAILED) {
        leave_record(record);
        return fail(error, GPTOSS_IO, "cannot map the %zu bytes of %s: %s", out->size, path,
                    strerror(errno));
    }
    memory_prefer_huge_pages(data, out->size); /* where the file system has them */
    record->size = out->size;
    atomic_store(&record->start, (uintptr_t)data);
    out->data = data;
    return GPTOSS_OK;
}

gptoss_status file_map_open(const char *path, file_map *out, gptoss_error *error)
{
    int descriptor;
    gptoss_status status = open_regular(path, &descriptor, out, error);
    if (status != GPTOSS_OK)
        return status;
    if (out->size > 0)
        status = map_whole(descriptor, path, out, error);
    close(descriptor);
    if (status != GPTOSS_OK)
        *out = (file_map){0};
    return status;
}

/* Fills the memory of *out, and makes sure that the file ends where it does. */
static gptoss_status read_whole(int descriptor, const char *path, uint8_t *data,
                                const file_map *out, gptoss_error *error)
{
    size_t done = 0;
    for (;;) {
        uint8_t beyond;
        bool full = done == out->size;
        ssize_t count =
            full ? read(descriptor, &beyond, 1) : read(descriptor, data + done, out->size - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return fail(error, GPTOSS_IO, "cannot read %s: %s", path, strerror(errno));
        if (count == 0 && full)
            return GPTOSS_OK;
        if (count == 0 || full)
            return fail(error, GPTOSS_IO, "%s changed while it was read: it had %zu bytes at first",
                        path, out->size);
        done += (size_t)count;
    }
}

gptoss_status file_map_read(const char *path, uint64_t most, file_map *out, gptoss_error *error)
{
    int descriptor;
    void *data = NULL;
    gptoss_status status = open_regular(path, &descriptor, out, error);
    if (status != GPTOSS_OK)
        return status;
    if (out->size > most)
        status =
            fail(error, GPTOSS_LIMIT,
                 "%s has %zu bytes, more than the %" PRIu64 " that a file of its kind may have",
                 path, out->size, most);
    if (status == GPTOSS_OK && !memory_suffices(out->size))
        status = fail_memory(error, path, out->size);
    if (status == GPTOSS_OK && out->size > 0)
        status = memory_reserve(out->size, path, &data, error);
    if (status == GPTOSS_OK && out->size > 0)
        status = read_whole(descriptor, path, data, out, error);
    close(descriptor);
    if (status != GPTOSS_OK) {
        memory_release(data, out->size);
        *out = (file_map){0};
        return status;
    }
    out->data = data;
    return GPTOSS_OK;
}

gptoss_status file_map_unchanged(const file_map *map, const char *path, gptoss_error *error)
{
    struct stat now;
    if (map->inode == 0 || stat(path, &now) != 0 || now.st_ino != map->inode ||
        now.st_dev != map->device)
        return GPTOSS_OK;
    if ((uintmax_t)now.st_size == map->size && now.st_mtim.tv_sec == map->written.tv_sec &&
        now.st_mtim.tv_nsec == map->written.tv_nsec)
        return GPTOSS_OK;
    return fail(error, GPTOSS_IO,
                "%s was written to while it was used: what was computed from it is not to be "
                "trusted",
                path);
}

void file_map_close(file_map *map)
{
    /* mmap gave it as void *; nobody may write through the map in between. */
    void *start = (void *)(uintptr_t)map->data; /* NOLINT(performance-no-int-to-ptr) */
    if (start != NULL) {
        map_record *record = record_of((uintptr_t)start);
        if (record != NULL)
            atomic_store(&record->start, 0); /* before the addresses can be another map's */
        munmap(start, map->size);
        if (record != NULL)
            leave_record(record);
    }
    *map = (file_map){0};
}
