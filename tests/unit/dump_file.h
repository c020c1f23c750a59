/*
 * Dumps for tests: written from a text, and changed in a place. What fails here ends the program:
 * it is not the tested code's fault.
 */
#ifndef TESTS_UNIT_DUMP_FILE_H
#define TESTS_UNIT_DUMP_FILE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/number.h"
#include "checkpoint/safetensors.h"
#include "scratch.h"

#define DUMP_FORMAT "{\"format\":\"gptoss-dump-1\"}"

static inline void dump_file_require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "a dump for a test: %s\n", what);
        exit(2);
    }
}

static inline dtype dump_file_type(const char *name)
{
    unsigned type = 0;
    while (type < DTYPE_COUNT && strcmp(dtype_name((dtype)type), name) != 0)
        type++;
    dump_file_require(type < DTYPE_COUNT, name);
    return (dtype)type;
}

/* Stores a number as element `index` of a tensor's bytes. */
static inline void dump_file_store(uint8_t *bytes, dtype type, size_t index, double value)
{
    union {
        uint16_t half;
        float single;
        double twice;
        int32_t narrow;
        int64_t wide;
    } of = {.wide = 0};
    if (type == DTYPE_F64)
        of.twice = value;
    else if (type == DTYPE_F32)
        of.single = (float)value;
    else if (type == DTYPE_F16)
        of.half = f16_from_float((float)value);
    else if (type == DTYPE_BF16)
        of.half = bf16_from_float((float)value);
    else if (type == DTYPE_I32)
        of.narrow = (int32_t)value;
    else if (type == DTYPE_I64)
        of.wide = (int64_t)value;
    else
        dump_file_require(0, dtype_name(type));
    memcpy(bytes + index * dtype_bytes(type), &of, dtype_bytes(type));
}

/* Adds the tensor of "name DTYPE [shape] numbers" to a header and its data. */
static inline void dump_file_add(const char *line, char *header, uint8_t *data, size_t *size)
{
    char name[128];
    char type_name[16];
    char shape[64];
    int at = 0;
    dump_file_require(sscanf(line, " %127s %15s %63s%n", name, type_name, shape, &at) == 3, line);
    dtype type = dump_file_type(type_name);
    size_t count = 1;
    char *end;
    for (const char *dimension = shape + 1; *dimension >= '0' && *dimension <= '9';
         dimension = *end == ',' ? end + 1 : end)
        count *= strtoul(dimension, &end, 10);
    size_t bytes = count * dtype_bytes(type);
    memset(data + *size, 0, bytes);
    const char *numbers = line + at;
    for (size_t i = 0; i < count; i++) {
        double value = strtod(numbers, &end);
        if (end == numbers)
            break;
        dump_file_store(data + *size, type, i, value);
        numbers = end;
    }
    size_t length = strlen(header);
    sprintf(header + length, ",\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
            name, type_name, shape, *size, *size + bytes);
    *size += bytes;
}

/*
 * Writes a file of tensors from lines "name DTYPE [shape] numbers", which ';' separates; numbers
 * that are not given are zero. `metadata` is the JSON object for __metadata__.
 */
static inline void dump_file_write(const char *path, const char *metadata, const char *lines)
{
    static char header[1 << 16];
    static uint8_t data[1 << 16];
    static uint8_t file[1 << 17];
    static char line[1 << 14];
    size_t size = 0;
    sprintf(header, "{\"__metadata__\":%s", metadata);
    while (*lines != '\0') {
        size_t length = strcspn(lines, ";");
        memcpy(line, lines, length);
        line[length] = '\0';
        dump_file_add(line, header, data, &size);
        lines += length + (lines[length] == ';');
    }
    uint64_t length = strlen(header);
    header[length++] = '}';
    memcpy(file, &length, sizeof length);
    memcpy(file + 8, header, length);
    memcpy(file + 8 + length, data, size);
    scratch_write_bytes(path, file, 8 + length + size);
}

/* Copies a dump to `to` with one number of one tensor replaced. */
static inline void dump_file_change(const char *from, const char *to, const char *name,
                                    size_t index, double value)
{
    file_map map;
    safetensors parsed;
    dump_file_require(file_map_open(from, &map, NULL) == GPTOSS_OK, from);
    uint8_t *copy = malloc(map.size);
    dump_file_require(copy != NULL, from);
    memcpy(copy, map.data, map.size);
    dump_file_require(safetensors_parse(copy, map.size, from, &parsed, NULL) == GPTOSS_OK, from);
    const tensor *found = safetensors_find(&parsed, name);
    dump_file_require(found != NULL, name);
    dump_file_store(copy + found->offset, found->type, index, value);
    scratch_write_bytes(to, copy, map.size);
    safetensors_free(&parsed);
    free(copy);
    file_map_close(&map);
}

/* A number of a dump. */
static inline double dump_file_read(const char *path, const char *name, size_t index)
{
    file_map map;
    safetensors parsed;
    float value;
    dump_file_require(file_map_open(path, &map, NULL) == GPTOSS_OK, path);
    dump_file_require(safetensors_parse(map.data, map.size, path, &parsed, NULL) == GPTOSS_OK,
                      path);
    const tensor *found = safetensors_find(&parsed, name);
    dump_file_require(found != NULL && found->type == DTYPE_F32, name);
    memcpy(&value, found->data + index * sizeof value, sizeof value);
    safetensors_free(&parsed);
    file_map_close(&map);
    return value;
}

#endif
