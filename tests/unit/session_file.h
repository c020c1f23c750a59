/* Session files in memory: reading, changing and sealing them anew. */
#ifndef TESTS_UNIT_SESSION_FILE_H
#define TESTS_UNIT_SESSION_FILE_H

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/sha256.h"
#include "scratch.h"

typedef struct session_file {
    uint8_t *bytes;
    size_t size;
} session_file;

static inline session_file session_file_read(const char *path)
{
    file_map map;
    session_file file = {NULL, 0};
    if (file_map_open(path, &map, NULL) != GPTOSS_OK)
        abort();
    file.size = map.size;
    file.bytes = malloc(file.size + 1);
    if (file.bytes == NULL)
        abort();
    memcpy(file.bytes, map.data, file.size);
    file_map_close(&map);
    return file;
}

static inline session_file session_file_copy(const session_file *from)
{
    session_file copy = {malloc(from->size + 1), from->size};
    if (copy.bytes == NULL)
        abort();
    memcpy(copy.bytes, from->bytes, from->size);
    return copy;
}

static inline void session_file_free(session_file *file)
{
    free(file->bytes);
    *file = (session_file){NULL, 0};
}

/* Makes the digest at the end the right one. */
static inline void session_file_seal(session_file *file)
{
    sha256 digest;
    size_t size = file->size - SHA256_BYTES;
    sha256_begin(&digest);
    sha256_add(&digest, file->bytes, size);
    sha256_end(&digest, file->bytes + size);
}

/* Bytes of the header, without its length. */
static inline size_t session_file_header(const session_file *file)
{
    size_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | file->bytes[i];
    return length;
}

/* Puts `text`, of at most a hundred bytes more, in place of the first `old` in the header. Returns
 * whether that was there. */
static inline bool session_file_edit(session_file *file, const char *old, const char *text)
{
    enum { MORE = 104 };
    size_t length = session_file_header(file);
    uint8_t *at = memmem(file->bytes + 8, length, old, strlen(old));
    if (at == NULL)
        return false;
    size_t before = (size_t)(at - file->bytes);
    size_t behind = 8 + length - before - strlen(old);
    uint8_t *bytes = malloc(file->size + MORE);
    if (bytes == NULL)
        abort();
    memset(bytes, ' ', 8 + length + MORE);
    memcpy(bytes, file->bytes, before);
    memcpy(bytes + before, text, strlen(text));
    memcpy(bytes + before + strlen(text), at + strlen(old), behind);
    memcpy(bytes + 8 + length + MORE, file->bytes + 8 + length, file->size - 8 - length);
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((length + MORE) >> (8 * i));
    free(file->bytes);
    *file = (session_file){bytes, file->size + MORE};
    return true;
}

#endif
