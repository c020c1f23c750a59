/* One safetensors file: 8 bytes of header length, a JSON header, then the tensors' bytes. */
#ifndef CHECKPOINT_SAFETENSORS_H
#define CHECKPOINT_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/map.h"
#include "base/status.h"

/* Bounds of what is accepted; docs/SECURITY.md lists them. */
#define SAFETENSORS_MAX_HEADER  (100U << 20) /* bytes, as in the official reader */
#define SAFETENSORS_MAX_TENSORS 200000U
#define SAFETENSORS_MAX_RANK    8
#define SAFETENSORS_MAX_NAME    1024 /* bytes */

typedef enum dtype {
    DTYPE_BOOL,
    DTYPE_U8,
    DTYPE_I8,
    DTYPE_F8_E5M2,
    DTYPE_F8_E4M3,
    DTYPE_F8_E8M0,
    DTYPE_U16,
    DTYPE_I16,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_U32,
    DTYPE_I32,
    DTYPE_F32,
    DTYPE_U64,
    DTYPE_I64,
    DTYPE_F64,
    DTYPE_COUNT
} dtype;

/* "BF16" and the like; bytes of one element. */
const char *dtype_name(dtype type);
size_t dtype_bytes(dtype type);

/* A tensor where it lies in a mapped file. Row-major; data is aligned to nothing in particular. */
typedef struct tensor {
    const char *name; /* owned by the header */
    const uint8_t *data;
    uint64_t bytes;
    uint64_t offset; /* of data in its file */
    uint64_t shape[SAFETENSORS_MAX_RANK];
    uint32_t rank;
    dtype type;
    uint32_t file; /* index of the file in its checkpoint; set by the checkpoint */
} tensor;

typedef struct safetensors {
    tensor *tensors; /* sorted by name */
    size_t count;
    json_value *header;         /* owns the names */
    const json_value *metadata; /* the object "__metadata__" (all strings), or NULL */
} safetensors;

/*
 * Reads the header of a safetensors file whose `size` bytes start at `data`, and checks all of it:
 * length, JSON, dtypes, shapes, that every tensor's byte count follows from its shape, that no two
 * tensors overlap, that nothing lies outside the file and nothing in it is unaccounted for. What a
 * broken download leaves behind (a Git LFS pointer, a file that is too short) is called by its
 * name. `path` names the file in errors.
 */
gptoss_status safetensors_parse(const uint8_t *data, size_t size, const char *path,
                                safetensors *out, gptoss_error *error);

/* Accepts a zeroed object. The file's mapping is not touched. */
void safetensors_free(safetensors *file);

/* The tensor with this name, or NULL. */
const tensor *safetensors_find(const safetensors *file, const char *name);

#endif
