/* A temporary directory for one test program, and small files in it. What fails here ends the
 * program: it is the machine's fault, not the tested code's. */
#ifndef TESTS_UNIT_SCRATCH_H
#define TESTS_UNIT_SCRATCH_H

#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch_root[] = "/tmp/gptoss-test-XXXXXX";

static inline int scratch_remove_entry(const char *path, const struct stat *info, int type,
                                       struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    return remove(path);
}

static inline void scratch_remove(void)
{
    nftw(scratch_root, scratch_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Makes the directory; it goes when the program ends. */
static inline void scratch_begin(void)
{
    if (mkdtemp(scratch_root) == NULL || atexit(scratch_remove) != 0) {
        perror(scratch_root);
        exit(2);
    }
}

/* The path of `name` (a printf format) inside, in one of 16 buffers that take turns: do not
 * keep it over a loop. */
static inline const char *scratch_path(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
static inline const char *scratch_path(const char *format, ...)
{
    static char paths[16][PATH_MAX];
    static int turn;
    char *path = paths[turn++ % 16];
    int length = snprintf(path, PATH_MAX, "%s/", scratch_root);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path + length, PATH_MAX - (size_t)length, format, arguments);
    va_end(arguments);
    return path;
}

/* Makes the directories above `path`. */
static inline void scratch_parents(const char *path)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *at = copy + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        mkdir(copy, 0777);
        *at = '/';
    }
}

static inline void scratch_write_bytes(const char *path, const void *data, size_t size)
{
    scratch_parents(path);
    FILE *file = fopen(path, "wb");
    if (file == NULL || (size > 0 && fwrite(data, 1, size, file) != size) || fclose(file) != 0) {
        perror(path);
        exit(2);
    }
}

static inline void scratch_write(const char *path, const char *text)
{
    scratch_write_bytes(path, text, strlen(text));
}

/* A safetensors file of this header and as many zero bytes of data. */
static inline uint8_t *scratch_safetensors(const char *header, size_t data, size_t *size)
{
    size_t length = strlen(header);
    *size = 8 + length + data;
    uint8_t *bytes = calloc(1, *size);
    if (bytes == NULL)
        abort();
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)length >> (8 * i));
    for (size_t i = 0; i < length; i++)
        bytes[8 + i] = (uint8_t)header[i];
    return bytes;
}

static inline void scratch_write_safetensors(const char *path, const char *header, size_t data)
{
    size_t size;
    uint8_t *bytes = scratch_safetensors(header, data, &size);
    scratch_write_bytes(path, bytes, size);
    free(bytes);
}

#endif
