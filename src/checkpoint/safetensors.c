#include "checkpoint/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/*
 *     0          8                 8 + n                                  size
 *     | n, u64LE | n bytes of JSON | tensors, back to back, in any order  |
 *
 * The JSON maps a name to {"dtype": "BF16", "shape": [2, 3], "data_offsets": [begin, end]}, the
 * offsets counted from 8 + n.
 */
#define LENGTH_BYTES 8

static const struct {
    const char *name;
    size_t bytes;
} dtypes[DTYPE_COUNT] = {
    [DTYPE_BOOL] = {"BOOL", 1},       [DTYPE_U8] = {"U8", 1},
    [DTYPE_I8] = {"I8", 1},           [DTYPE_F8_E5M2] = {"F8_E5M2", 1},
    [DTYPE_F8_E4M3] = {"F8_E4M3", 1}, [DTYPE_F8_E8M0] = {"F8_E8M0", 1},
    [DTYPE_U16] = {"U16", 2},         [DTYPE_I16] = {"I16", 2},
    [DTYPE_F16] = {"F16", 2},         [DTYPE_BF16] = {"BF16", 2},
    [DTYPE_U32] = {"U32", 4},         [DTYPE_I32] = {"I32", 4},
    [DTYPE_F32] = {"F32", 4},         [DTYPE_U64] = {"U64", 8},
    [DTYPE_I64] = {"I64", 8},         [DTYPE_F64] = {"F64", 8},
};

const char *dtype_name(dtype type)
{
    return dtypes[type].name;
}

size_t dtype_bytes(dtype type)
{
    return dtypes[type].bytes;
}

static bool dtype_find(const char *name, dtype *out)
{
    for (size_t i = 0; i < DTYPE_COUNT; i++) {
        if (strcmp(name, dtypes[i].name) == 0) {
            *out = (dtype)i;
            return true;
        }
    }
    return false;
}

/* ---- one tensor of the header ---------------------------------------------------------------- */

static gptoss_status read_dtype(const json_value *value, const char *path, tensor *out,
                                gptoss_error *error)
{
    if (!json_is_string(value))
        return fail(error, GPTOSS_FORMAT, "%s: the dtype of tensor \"%s\" is not a string", path,
                    out->name);
    if (!dtype_find(json_string(value), &out->type))
        return fail(error, GPTOSS_UNSUPPORTED,
                    "%s: tensor \"%s\" has dtype \"%.32s\", which is not supported", path,
                    out->name, json_string(value));
    return GPTOSS_OK;
}

static gptoss_status read_shape(const json_value *value, const char *path, tensor *out,
                                gptoss_error *error)
{
    if (!json_is_array(value))
        return fail(error, GPTOSS_FORMAT, "%s: the shape of tensor \"%s\" is not an array", path,
                    out->name);
    for (const json_value *item = json_first(value); item != NULL; item = json_next(item)) {
        if (out->rank == SAFETENSORS_MAX_RANK)
            return fail(error, GPTOSS_LIMIT, "%s: tensor \"%s\" has more than %d dimensions", path,
                        out->name, SAFETENSORS_MAX_RANK);
        if (!json_u64(item, &out->shape[out->rank]))
            return fail(error, GPTOSS_FORMAT,
                        "%s: dimension %" PRIu32 " of tensor \"%s\" is not a whole number from 0 "
                        "to 2^53 - 1",
                        path, out->rank, out->name);
        out->rank++;
    }
    return GPTOSS_OK;
}

/* The offsets are kept relative to the end of the header for now. */
static gptoss_status read_offsets(const json_value *value, const char *path, tensor *out,
                                  gptoss_error *error)
{
    const json_value *first = json_is_array(value) ? json_first(value) : NULL;
    const json_value *second = first != NULL ? json_next(first) : NULL;
    uint64_t end = 0;
    if (second == NULL || json_next(second) != NULL || !json_u64(first, &out->offset) ||
        !json_u64(second, &end))
        return fail(error, GPTOSS_FORMAT,
                    "%s: data_offsets of tensor \"%s\" are not two whole numbers from 0 to "
                    "2^53 - 1",
                    path, out->name);
    if (end < out->offset)
        return fail(error, GPTOSS_FORMAT,
                    "%s: data_offsets of tensor \"%s\" end at %" PRIu64
                    ", before they begin at %" PRIu64,
                    path, out->name, end, out->offset);
    out->bytes = end - out->offset;
    return GPTOSS_OK;
}

static gptoss_status check_bytes(const char *path, const tensor *entry, gptoss_error *error)
{
    uint64_t bytes = dtype_bytes(entry->type);
    bool empty = false;
    for (uint32_t i = 0; i < entry->rank; i++)
        empty |= entry->shape[i] == 0;
    for (uint32_t i = 0; i < entry->rank && !empty; i++)
        if (!u64_multiply(bytes, entry->shape[i], &bytes))
            return fail(error, GPTOSS_FORMAT,
                        "%s: the shape of tensor \"%s\" is more than 2^64 bytes", path,
                        entry->name);
    if (empty)
        bytes = 0;
    if (bytes != entry->bytes)
        return fail(error, GPTOSS_FORMAT,
                    "%s: tensor \"%s\" should take %" PRIu64
                    " bytes by its shape and dtype %s, but its data_offsets span %" PRIu64,
                    path, entry->name, bytes, dtype_name(entry->type), entry->bytes);
    return GPTOSS_OK;
}

/* Each of the three keys once; others are left to future versions of the format. */
static gptoss_status find_keys(const json_value *object, const char *path, const char *name,
                               const json_value *found[3], gptoss_error *error)
{
    static const char *const keys[3] = {"dtype", "shape", "data_offsets"};
    for (const json_value *item = json_first(object); item != NULL; item = json_next(item)) {
        for (int i = 0; i < 3; i++) {
            if (strcmp(json_name(item), keys[i]) != 0)
                continue;
            if (found[i] != NULL)
                return fail(error, GPTOSS_FORMAT, "%s: tensor \"%s\" has two entries \"%s\"", path,
                            name, keys[i]);
            found[i] = item;
        }
    }
    for (int i = 0; i < 3; i++)
        if (found[i] == NULL)
            return fail(error, GPTOSS_FORMAT, "%s: tensor \"%s\" has no entry \"%s\"", path, name,
                        keys[i]);
    return GPTOSS_OK;
}

static gptoss_status read_tensor(const json_value *member, const char *path, tensor *out,
                                 gptoss_error *error)
{
    *out = (tensor){.name = json_name(member)};
    if (strlen(out->name) >= SAFETENSORS_MAX_NAME)
        return fail(error, GPTOSS_LIMIT, "%s: the tensor name \"%.40s...\" has more than %d bytes",
                    path, out->name, SAFETENSORS_MAX_NAME - 1);
    if (!json_is_object(member))
        return fail(error, GPTOSS_FORMAT, "%s: the entry of tensor \"%s\" is not an object", path,
                    out->name);
    const json_value *found[3] = {NULL, NULL, NULL};
    gptoss_status status = find_keys(member, path, out->name, found, error);
    if (status == GPTOSS_OK)
        status = read_dtype(found[0], path, out, error);
    if (status == GPTOSS_OK)
        status = read_shape(found[1], path, out, error);
    if (status == GPTOSS_OK)
        status = read_offsets(found[2], path, out, error);
    if (status == GPTOSS_OK)
        status = check_bytes(path, out, error);
    return status;
}

/* ---- the whole header ------------------------------------------------------------------------ */

static gptoss_status read_metadata(const json_value *member, const char *path, safetensors *out,
                                   gptoss_error *error)
{
    if (out->metadata != NULL)
        return fail(error, GPTOSS_FORMAT, "%s: the header has two entries \"__metadata__\"", path);
    if (!json_is_object(member))
        return fail(error, GPTOSS_FORMAT, "%s: the header's __metadata__ is not an object", path);
    for (const json_value *item = json_first(member); item != NULL; item = json_next(item))
        if (!json_is_string(item))
            return fail(error, GPTOSS_FORMAT,
                        "%s: \"%.64s\" in the header's __metadata__ is not a "
                        "string",
                        path, json_name(item));
    out->metadata = member;
    return GPTOSS_OK;
}

static gptoss_status read_entries(const char *path, safetensors *out, gptoss_error *error)
{
    size_t members = json_count(out->header);
    if (members > SAFETENSORS_MAX_TENSORS)
        return fail(error, GPTOSS_LIMIT, "%s: %zu tensors are more than the supported %u", path,
                    members, SAFETENSORS_MAX_TENSORS);
    if (members == 0)
        return GPTOSS_OK;
    out->tensors = calloc(members, sizeof *out->tensors);
    if (out->tensors == NULL)
        return fail_memory(error, path, members * sizeof *out->tensors);
    gptoss_status status = GPTOSS_OK;
    const json_value *member = json_first(out->header);
    for (; member != NULL && status == GPTOSS_OK; member = json_next(member)) {
        if (strcmp(json_name(member), "__metadata__") == 0)
            status = read_metadata(member, path, out, error);
        else
            status = read_tensor(member, path, &out->tensors[out->count++], error);
    }
    return status;
}

static int compare_offsets(const void *left, const void *right)
{
    const tensor *a = left;
    const tensor *b = right;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

static int compare_names(const void *left, const void *right)
{
    const tensor *a = left;
    const tensor *b = right;
    return strcmp(a->name, b->name);
}

/* The tensors, sorted by offset, must follow each other without a gap; *end becomes their end. */
static gptoss_status check_adjacent(const char *path, const safetensors *file, uint64_t *end,
                                    gptoss_error *error)
{
    *end = 0;
    for (size_t i = 0; i < file->count; i++) {
        const tensor *entry = &file->tensors[i];
        if (entry->offset < *end)
            return fail(error, GPTOSS_FORMAT,
                        "%s: tensor \"%s\" begins at offset %" PRIu64
                        ", inside tensor \"%s\", which ends at %" PRIu64,
                        path, entry->name, entry->offset, entry[-1].name, *end);
        if (entry->offset > *end)
            return fail(error, GPTOSS_FORMAT,
                        "%s: the %" PRIu64 " bytes before tensor \"%s\" belong to no tensor", path,
                        entry->offset - *end, entry->name);
        *end += entry->bytes;
    }
    return GPTOSS_OK;
}

static gptoss_status check_size(const char *path, uint64_t promised, size_t size,
                                gptoss_error *error)
{
    if (size < promised)
        return fail(error, GPTOSS_FORMAT,
                    "%s is cut short, probably by a download that did not finish: it has %zu bytes "
                    "of the %" PRIu64 " that its header promises; download it again",
                    path, size, promised);
    if (size > promised)
        return fail(error, GPTOSS_FORMAT,
                    "%s has %zu bytes, %" PRIu64 " more than its header accounts for", path, size,
                    size - promised);
    return GPTOSS_OK;
}

static gptoss_status check_names(const char *path, const safetensors *file, gptoss_error *error)
{
    for (size_t i = 1; i < file->count; i++)
        if (strcmp(file->tensors[i - 1].name, file->tensors[i].name) == 0)
            return fail(error, GPTOSS_FORMAT, "%s: the header names tensor \"%s\" twice", path,
                        file->tensors[i].name);
    return GPTOSS_OK;
}

/* Parses a copy of the header: what is checked must not change before it is read again. */
static gptoss_status parse_header(const uint8_t *text, size_t length, const char *path,
                                  json_value **out, gptoss_error *error)
{
    char what[512];
    snprintf(what, sizeof what, "the header of %s", path);
    char *copy = malloc(length);
    if (copy == NULL)
        return fail_memory(error, what, length);
    memcpy(copy, text, length);
    gptoss_status status = json_parse(copy, length, what, out, error);
    free(copy);
    if (status == GPTOSS_OK && !json_is_object(*out))
        status = fail(error, GPTOSS_FORMAT, "%s should be a JSON object", what);
    return status;
}

/* `start` is where the tensors' bytes begin in the file. */
static gptoss_status read_header(const uint8_t *data, size_t size, size_t start, const char *path,
                                 safetensors *out, gptoss_error *error)
{
    uint64_t end = 0;
    gptoss_status status =
        parse_header(data + LENGTH_BYTES, start - LENGTH_BYTES, path, &out->header, error);
    if (status == GPTOSS_OK)
        status = read_entries(path, out, error);
    if (status != GPTOSS_OK)
        return status;
    if (out->count > 0)
        qsort(out->tensors, out->count, sizeof *out->tensors, compare_offsets);
    status = check_adjacent(path, out, &end, error);
    if (status == GPTOSS_OK)
        status = check_size(path, start + end, size, error);
    if (status != GPTOSS_OK)
        return status;
    for (size_t i = 0; i < out->count; i++) {
        out->tensors[i].offset += start;
        out->tensors[i].data = data + out->tensors[i].offset;
    }
    if (out->count > 0)
        qsort(out->tensors, out->count, sizeof *out->tensors, compare_names);
    return check_names(path, out, error);
}

/* ---- the file -------------------------------------------------------------------------------- */

static bool begins_with(const uint8_t *data, size_t size, const char *text)
{
    size_t length = strlen(text);
    return size >= length && memcmp(data, text, length) == 0;
}

/* A Git LFS pointer stands where a file should be that Git has not fetched: three lines of text,
 * the last of which is "size N". */
static gptoss_status fail_pointer(const uint8_t *data, size_t size, const char *path,
                                  gptoss_error *error)
{
    char text[512];
    size_t length = size < sizeof text ? size : sizeof text - 1;
    memcpy(text, data, length);
    text[length] = '\0';
    const char *line = strstr(text, "\nsize ");
    uint64_t expected = line != NULL ? strtoull(line + 6, NULL, 10) : 0;
    return fail(error, GPTOSS_FORMAT,
                "%s is a Git LFS pointer of %zu bytes, not the %" PRIu64
                " bytes of weights it stands for; fetch them with `git lfs pull`",
                path, size, expected);
}

/* What else is found under a wrong name. */
static const struct {
    const char *begins;
    const char *is;
} impostors[] = {
    {"GGUF", "a GGUF file; this program reads the original safetensors files"},
    {"PK\3\4", "a zip archive, perhaps a PyTorch checkpoint; safetensors files are needed"},
    {"<!DOCTYPE", "a web page; download the file itself"},
    {"<!doctype", "a web page; download the file itself"},
    {"<html", "a web page; download the file itself"},
};

/* Checks the first bytes; *start becomes the end of the header. */
static gptoss_status check_prefix(const uint8_t *data, size_t size, const char *path, size_t *start,
                                  gptoss_error *error)
{
    if (size == 0)
        return fail(error, GPTOSS_FORMAT, "%s is empty; download it again", path);
    if (begins_with(data, size, "version https://git-lfs"))
        return fail_pointer(data, size, path, error);
    for (size_t i = 0; i < sizeof impostors / sizeof *impostors; i++)
        if (begins_with(data, size, impostors[i].begins))
            return fail(error, GPTOSS_FORMAT, "%s is %s", path, impostors[i].is);
    if (size < LENGTH_BYTES)
        return fail(error, GPTOSS_FORMAT,
                    "%s has %zu bytes, too few for a safetensors header; download it again", path,
                    size);
    uint64_t length = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        length = length << 8 | data[i];
    if (length == 0)
        return fail(error, GPTOSS_FORMAT,
                    "%s begins with zeros instead of a header, as a file does whose download has "
                    "only reserved its space; download it again",
                    path);
    if (length > SAFETENSORS_MAX_HEADER)
        return fail(error, GPTOSS_FORMAT,
                    "%s is no safetensors file: its first 8 bytes announce a header of %" PRIu64
                    " bytes, more than %u",
                    path, length, SAFETENSORS_MAX_HEADER);
    *start = LENGTH_BYTES + (size_t)length;
    if (size > LENGTH_BYTES && data[LENGTH_BYTES] != '{')
        return fail(error, GPTOSS_FORMAT,
                    "%s is no safetensors file: its header begins with byte %d instead of '{'",
                    path, data[LENGTH_BYTES]);
    if (size < *start)
        return fail(
            error, GPTOSS_FORMAT,
            "%s is cut short, probably by a download that did not finish: it has %zu bytes, "
            "its header alone %zu; download it again",
            path, size, *start);
    return GPTOSS_OK;
}

gptoss_status safetensors_parse(const uint8_t *data, size_t size, const char *path,
                                safetensors *out, gptoss_error *error)
{
    *out = (safetensors){0};
    size_t start = 0;
    gptoss_status status = check_prefix(data, size, path, &start, error);
    if (status == GPTOSS_OK)
        status = read_header(data, size, start, path, out, error);
    if (status != GPTOSS_OK)
        safetensors_free(out);
    return status;
}

void safetensors_free(safetensors *file)
{
    free(file->tensors);
    json_free(file->header);
    *file = (safetensors){0};
}

const tensor *safetensors_find(const safetensors *file, const char *name)
{
    if (file->count == 0)
        return NULL;
    const tensor key = {.name = name};
    return bsearch(&key, file->tensors, file->count, sizeof key, compare_names);
}
