/* A file's bytes: mapped read-only when they are many, or read into memory of our own. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/status.h"

/* Most maps at once; docs/SECURITY.md lists the bounds. */
#define FILE_MAPS_MAX 8192

typedef struct file_map {
    const uint8_t *data; /* NULL for an empty file */
    size_t size;
    dev_t device; /* which file it was, and when it was last written to */
    ino_t inode;
    struct timespec written;
} file_map;

/*
 * Maps a regular file; a directory, a FIFO or a device is refused with a sentence. The bytes change
 * when somebody writes to the file, so that what was checked must be copied before it is relied on;
 * when somebody cuts it short, reading raises SIGBUS, of which gptoss_mapped_file tells more.
 */
gptoss_status file_map_open(const char *path, file_map *out, gptoss_error *error);

/*
 * Reads a regular file of at most `most` bytes (GPTOSS_LIMIT) into memory that nobody else can
 * change. One that shrinks or grows meanwhile is refused.
 */
gptoss_status file_map_read(const char *path, uint64_t most, file_map *out, gptoss_error *error);

/* GPTOSS_IO when the file at `path` is the one of `map` and was written to or cut short since it
 * was opened. A file that is gone, or another one at its path, does not matter to a map. */
gptoss_status file_map_unchanged(const file_map *map, const char *path, gptoss_error *error);

/* Accepts a zeroed map, and one of memory_reserve. */
void file_map_close(file_map *map);

#endif
