/* A file mapped read-only. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct file_map {
    const uint8_t *data; /* NULL for an empty file */
    size_t size;
} file_map;

/* Maps a regular file; a directory, a FIFO or a device is refused with a sentence. */
gptoss_status file_map_open(const char *path, file_map *out, gptoss_error *error);

/* Accepts a zeroed map, and one of memory_reserve. */
void file_map_close(file_map *map);

#endif
