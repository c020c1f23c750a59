#include "writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transposed.h"

#define PATH_ROOM   4096
#define PIECE_BYTES (4U << 20) /* made in memory, then written */

static bool complain(const char *verb, const char *path)
{
    fprintf(stderr, "make-checkpoint: cannot %s %s: %s\n", verb, path, strerror(errno));
    return false;
}

bool write_directory(const char *path)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return complain("make directory", path);
    DIR *directory = opendir(path);
    if (!directory)
        return complain("open directory", path);
    bool empty = true;
    for (struct dirent *entry; empty && (entry = readdir(directory));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (dot && strcmp(dot, ".safetensors") == 0) {
            fprintf(stderr, "make-checkpoint: %s already holds %s; choose another directory\n",
                    path, entry->d_name);
            empty = false;
        }
    }
    closedir(directory);
    return empty;
}

/* ---- pieces of weights ----------------------------------------------------------------------- */

/*
 * A run of a tensor's units: values of a normal tensor, bytes of MXFP4 blocks and scales, tiles of
 * transposed experts. A tile is one group of input columns of one expert, for all outputs:
 *
 *     [expert, in, out]:   expert 0: | tile 0: 32 x out | tile 1: 32 x out | ... | last: fewer |
 *                          expert 1: | ...
 */
typedef struct piece {
    const planned_tensor *made;
    uint64_t first;
    uint64_t count;
} piece;

static uint64_t tiles_per_expert(const planned_tensor *made)
{
    return (made->columns + MX_GROUP - 1) / MX_GROUP;
}

static uint64_t unit_count(const planned_tensor *made)
{
    if (made->how == FILL_EXPERTS)
        return made->shape[0] * tiles_per_expert(made);
    return made->bytes / element_bytes(made->dtype);
}

/* Where a unit begins in the tensor, in bytes; unit_count() gives the tensor's end. */
static uint64_t unit_offset(const planned_tensor *made, uint64_t unit)
{
    uint64_t size = element_bytes(made->dtype);
    if (made->how != FILL_EXPERTS)
        return unit * size;
    uint64_t tiles = tiles_per_expert(made), row = made->shape[2] * size;
    return (unit / tiles * made->columns + unit % tiles * MX_GROUP) * row;
}

/* Bytes of the largest unit. */
static uint64_t unit_bytes(const planned_tensor *made)
{
    uint64_t size = element_bytes(made->dtype);
    return made->how == FILL_EXPERTS ? size * MX_GROUP * made->shape[2] : size;
}

static size_t piece_bytes(const piece *part)
{
    return (size_t)(unit_offset(part->made, part->first + part->count) -
                    unit_offset(part->made, part->first));
}

static void make_experts(const piece *part, uint8_t *out)
{
    const planned_tensor *t = part->made;
    mx_matrix matrix;
    mx_make(&matrix, t->stream, t->scale_stream, t->columns);
    uint32_t tiles = (uint32_t)tiles_per_expert(t), rows = (uint32_t)t->shape[2];
    for (uint64_t unit = part->first; unit < part->first + part->count; unit++) {
        uint32_t group = (uint32_t)(unit % tiles), left = t->columns - group * MX_GROUP;
        mx_fill_transposed(&matrix, unit / tiles * rows, rows, group, tiles,
                           left < MX_GROUP ? left : MX_GROUP, t->dtype, out);
        out += unit_offset(t, unit + 1) - unit_offset(t, unit);
    }
}

static void make_piece(const piece *part, const normal *table, uint8_t *out)
{
    const planned_tensor *t = part->made;
    mx_matrix matrix;
    if (t->planted.common > 0) {
        winners_fill(&t->planted, table, t->stream, part->first, part->count, out);
    } else if (t->how == FILL_NORMAL) {
        normal_fill(table, t->stream, t->first + part->first, part->count, out);
    } else if (t->how == FILL_EXPERTS) {
        make_experts(part, out);
    } else {
        mx_make(&matrix, t->stream, t->scale_stream, t->columns);
        (t->how == FILL_BLOCKS ? mx_fill_blocks : mx_fill_scales)(&matrix, part->first, part->count,
                                                                  out);
    }
}

static bool write_at(int file, const uint8_t *data, size_t count, uint64_t offset)
{
    while (count > 0) {
        ssize_t written = pwrite(file, data, count, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        data += written;
        count -= (size_t)written;
        offset += (uint64_t)written;
    }
    return true;
}

/* Makes a tensor and writes it behind `base`. Returns 0 or an error number. */
static int write_tensor(int file, uint64_t base, const planned_tensor *made)
{
    normal table;
    if (made->how == FILL_NORMAL)
        normal_make(&table, made->mean, made->deviation, made->dtype);
    uint64_t unit = unit_bytes(made), units = unit_count(made);
    uint64_t per_piece = unit < PIECE_BYTES ? PIECE_BYTES / unit : 1;
    int64_t pieces = (int64_t)((units + per_piece - 1) / per_piece);
    int fault = 0;
#pragma omp parallel if (pieces > 1) reduction(max : fault)
    {
        uint8_t *buffer = malloc(unit < PIECE_BYTES ? PIECE_BYTES : unit);
        fault = buffer ? 0 : ENOMEM;
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < pieces; i++) {
            piece part = {made, (uint64_t)i * per_piece, per_piece};
            if (part.first + part.count > units)
                part.count = units - part.first;
            if (fault)
                continue;
            make_piece(&part, &table, buffer);
            if (!write_at(file, buffer, piece_bytes(&part), base + unit_offset(made, part.first)))
                fault = errno;
        }
        free(buffer);
    }
    return fault;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* The JSON header of a file, padded so that the tensors begin at a multiple of 8, or one behind. */
static char *header_text(const plan *tensors, uint32_t file, bool unaligned, size_t *length,
                         uint64_t *data_bytes)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, length);
    if (!out)
        return NULL;
    *data_bytes = 0;
    fprintf(out, "{\"__metadata__\":{\"format\":\"pt\",\"producer\":\"gptoss make-checkpoint\"}");
    for (size_t i = 0; i < tensors->count; i++) {
        const planned_tensor *t = &tensors->tensors[i];
        if (t->file != file)
            continue;
        *data_bytes = t->offset + t->bytes;
        fprintf(out, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name, element_name(t->dtype));
        for (uint32_t d = 0; d < t->rank; d++)
            fprintf(out, "%s%" PRIu64, d ? "," : "", t->shape[d]);
        fprintf(out, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", t->offset, *data_bytes);
    }
    fprintf(out, "}");
    while (ftell(out) % 8 != unaligned)
        fputc(' ', out);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static void show_progress(uint64_t done, uint64_t total, bool last)
{
    static int shown = -1;
    int percent = (int)(100 * done / total);
    if (!isatty(STDERR_FILENO) || (percent == shown && !last))
        return;
    shown = percent;
    fprintf(stderr, "\rmake-checkpoint: %3d %% of %.1f GB%s", percent, (double)total / 1e9,
            last ? "\n" : "");
}

static bool write_file(const request *wanted, const plan *tensors, uint32_t file, uint64_t *done)
{
    char path[PATH_ROOM], name[PLAN_FILE_NAME];
    plan_file_name(tensors, wanted->layout, file, name);
    snprintf(path, sizeof path, "%s/%s", wanted->directory, name);
    size_t length;
    uint64_t data_bytes;
    char *header = header_text(tensors, file, wanted->unaligned, &length, &data_bytes);
    if (!header)
        return complain("make the header of", path);

    bool good = false;
    uint64_t prefix = length, base = sizeof prefix + length;
    int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (out < 0)
        goto end;
    if (!write_at(out, (const uint8_t *)&prefix, sizeof prefix, 0) ||
        !write_at(out, (const uint8_t *)header, length, sizeof prefix) ||
        ftruncate(out, (off_t)(base + data_bytes)) != 0)
        goto end;
    for (size_t i = 0; i < tensors->count && !wanted->sparse; i++) {
        const planned_tensor *made = &tensors->tensors[i];
        if (made->file != file)
            continue;
        errno = write_tensor(out, base + made->offset, made);
        if (errno)
            goto end;
        *done += made->bytes;
        show_progress(*done, tensors->bytes, *done == tensors->bytes);
    }
    good = true;
end:
    if (out >= 0 && close(out) != 0)
        good = false;
    free(header);
    return good || complain("write", path);
}

bool write_weights(const request *wanted, const plan *tensors)
{
    uint64_t done = 0;
    for (uint32_t file = 0; file < tensors->files; file++)
        if (!write_file(wanted, tensors, file, &done))
            return false;
    return true;
}

bool write_index(const request *wanted, const plan *tensors)
{
    char path[PATH_ROOM], name[PLAN_FILE_NAME];
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", wanted->directory);
    FILE *out = fopen(path, "w");
    if (!out)
        return complain("write", path);
    fprintf(out, "{\n  \"metadata\": {\"total_size\": %" PRIu64 "},\n  \"weight_map\": {\n",
            tensors->bytes);
    for (size_t i = 0; i < tensors->count; i++) {
        plan_file_name(tensors, wanted->layout, tensors->tensors[i].file, name);
        fprintf(out, "    \"%s\": \"%s\"%s\n", tensors->tensors[i].name, name,
                i + 1 < tensors->count ? "," : "");
    }
    fprintf(out, "  }\n}\n");
    bool good = !ferror(out);
    return (fclose(out) == 0 && good) || complain("write", path);
}
