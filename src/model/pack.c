#include "model/pack.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/residency.h"
#include "kernel/kernel.h"
#include "op/parallel.h"

/* Groups of rows that are packed between two releases of pages, which stop all threads. */
#define STRIDE 256

/* Matrices that are packed per layer. */
#define PER_LAYER 4

/*
 * Each thread fills a part of one stretch of address space with its share of every matrix. A part
 * would hold all groups at their largest; what they do not take is never touched.
 *
 *     | part 0: share of matrix 0, of matrix 1, ... | part 1: ... | ...
 */
struct packed_memory {
    packed_memory *next;
    uint8_t *data;
    size_t bytes;
    dense_group *groups; /* of all matrices, one after another */
    size_t *begin;       /* [parts] where they begin, from data, */
    size_t *used;        /* [parts] and where what they hold ends */
    uint32_t parts;      /* as many as threads were asked for */
};

/* The work at hand. */
typedef struct packing {
    weights *bound;
    size_t count; /* matrices that are looked at */
    packed_memory *memory;
    size_t *before; /* [parts] memory->used before the present matrix */
    bool of_files;

    const matrix *from; /* the present matrix */
    dense_group *groups;
    atomic_size_t taken; /* bytes */
} packing;

/* Matrix number `index` of those that are packed: the unembedding, then layer by layer. */
static const matrix *matrix_number(const weights *bound, size_t index)
{
    if (index == 0)
        return &bound->unembedding;
    const layer_weights *layer = &bound->layers[(index - 1) / PER_LAYER];
    const matrix *const of_layer[PER_LAYER] = {&layer->q, &layer->k, &layer->v, &layer->out};
    return of_layer[(index - 1) % PER_LAYER];
}

/* The same, to be replaced. */
static matrix *matrix_to_replace(weights *bound, size_t index)
{
    if (index == 0)
        return &bound->unembedding;
    layer_weights *layer = &bound->layers[(index - 1) / PER_LAYER];
    matrix *const of_layer[PER_LAYER] = {&layer->q, &layer->k, &layer->v, &layer->out};
    return of_layer[(index - 1) % PER_LAYER];
}

static bool can_pack(const matrix *of)
{
    return of->format == NUMBER_BF16 && !of->transposed && of->columns <= DENSE_MAX_COLUMNS;
}

static size_t group_count(const matrix *of)
{
    return (of->rows + DENSE_GROUP_ROWS - 1) / DENSE_GROUP_ROWS;
}

/* The groups of a matrix that go to a part. */
static void share(const packing *p, const matrix *of, uint32_t part, size_t *begin, size_t *end)
{
    team as_if = {part, p->memory->parts, NULL};
    team_share(&as_if, group_count(of), 1, begin, end);
}

/* ---- packing one matrix ---------------------------------------------------------------------- */

static size_t pack_group(const packing *p, size_t index, size_t at)
{
    const matrix *from = p->from;
    size_t first = index * DENSE_GROUP_ROWS;
    size_t rows = from->rows - first < DENSE_GROUP_ROWS ? from->rows - first : DENSE_GROUP_ROWS;
    p->groups[index].line = (uint32_t)(at / DENSE_LINE);
    return dense_pack_group(&kernel()->dense, from->data + 2 * first * from->columns, rows,
                            from->columns, p->memory->data + at, &p->groups[index]);
}

/* The file's pages of groups [begin, end). */
static void release_groups(const matrix *from, size_t begin, size_t end)
{
    size_t first = begin * DENSE_GROUP_ROWS;
    size_t last = end * DENSE_GROUP_ROWS < from->rows ? end * DENSE_GROUP_ROWS : from->rows;
    residency_release(from->data + 2 * first * from->columns, 2 * (last - first) * from->columns);
}

static void fill_part(packing *p, uint32_t part)
{
    size_t begin;
    size_t end;
    size_t *used = &p->memory->used[part];
    size_t start = *used;
    share(p, p->from, part, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        *used += pack_group(p, i, *used);
        if (p->of_files && ((i + 1 - begin) % STRIDE == 0 || i + 1 == end))
            release_groups(p->from, begin + (i - begin) / STRIDE * STRIDE, i + 1);
    }
    atomic_fetch_add(&p->taken, *used - start);
}

static void fill_parts(const team *self, void *user)
{
    packing *p = user;
    for (uint32_t part = self->rank; part < p->memory->parts; part += self->size)
        fill_part(p, part);
}

/* Packs *at, unless that makes it larger; then the next matrix takes the place of the attempt. */
static void pack_matrix(packing *p, matrix *at)
{
    packed_memory *memory = p->memory;
    memcpy(p->before, memory->used, memory->parts * sizeof *p->before);
    p->from = at;
    p->taken = group_count(at) * sizeof *p->groups;
    parallel_run(memory->parts, fill_parts, p);
    if (p->taken >= matrix_bytes(at)) {
        memcpy(memory->used, p->before, memory->parts * sizeof *p->before);
        return;
    }
    if (!p->of_files)
        release_groups(at, 0, group_count(at));
    at->data = p->memory->data;
    at->groups = p->groups;
    at->packed_bytes = p->taken;
    at->format = NUMBER_BF16_PACKED;
    p->groups += group_count(at);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static gptoss_status pack_all(packing *p, uint64_t total, gptoss_progress_fn progress, void *user,
                              gptoss_error *error)
{
    uint64_t done = 0;
    for (size_t i = 0; i < p->count; i++) {
        matrix *at = matrix_to_replace(p->bound, i);
        bool tied = i == 0 && at->data == p->bound->embedding.data;
        if (!can_pack(at))
            continue;
        if (progress != NULL && !progress(user, "packing weights", done, total))
            return fail(error, GPTOSS_INTERRUPTED, "interrupted while packing weights");
        done += matrix_bytes(at);
        pack_matrix(p, at);
        if (tied)
            p->bound->embedding = *at;
    }
    if (progress != NULL)
        progress(user, "packing weights", total, total);
    return GPTOSS_OK;
}

/* Bytes that a part may need. */
static size_t room_of_part(packing *p, uint32_t part)
{
    size_t room = 0;
    for (size_t i = 0; i < p->count; i++) {
        const matrix *at = matrix_number(p->bound, i);
        size_t begin;
        size_t end;
        share(p, at, part, &begin, &end);
        if (can_pack(at))
            room += (end - begin) * dense_group_room(at->columns);
    }
    return room;
}

/* Reserves the memory and says where in it the parts begin. */
static gptoss_status lay_out(packing *p, gptoss_error *error)
{
    packed_memory *memory = p->memory;
    size_t groups = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < p->count; i++)
        groups += group_count(matrix_number(p->bound, i));
    for (uint32_t part = 0; part < memory->parts; part++) {
        memory->begin[part] = memory->used[part] = bytes;
        bytes += room_of_part(p, part);
    }
    if (bytes / DENSE_LINE > UINT32_MAX)
        return fail(error, GPTOSS_LIMIT, "%zu bytes of weights are more than can be packed", bytes);
    memory->groups = calloc(groups, sizeof *p->groups);
    if (memory->groups == NULL)
        return fail_memory(error, "a directory of packed weights", groups * sizeof *p->groups);
    p->groups = memory->groups;
    void *data;
    gptoss_status status = memory_reserve(bytes, "packed weights", &data, error);
    if (status != GPTOSS_OK)
        return status;
    memory_prefer_huge_pages(data, bytes);
    memory->data = data;
    memory->bytes = bytes;
    return GPTOSS_OK;
}

gptoss_status pack_weights(weights *bound, uint32_t layers, bool of_files, uint32_t threads,
                           packed_memory **memory, gptoss_progress_fn progress, void *user,
                           gptoss_error *error)
{
    uint64_t total = 0;
    packing p = {.bound = bound, .count = 1 + (size_t)layers * PER_LAYER, .of_files = of_files};
    for (size_t i = 0; i < p.count; i++)
        total += can_pack(matrix_number(bound, i)) ? matrix_bytes(matrix_number(bound, i)) : 0;
    if (total == 0)
        return GPTOSS_OK;
    p.memory = calloc(1, sizeof *p.memory);
    if (p.memory == NULL)
        return fail_memory(error, "a list of packed weights", sizeof *p.memory);
    p.memory->parts = threads;
    p.memory->begin = calloc(threads, 3 * sizeof *p.memory->begin);
    gptoss_status status = GPTOSS_OK;
    if (p.memory->begin == NULL) {
        status = fail_memory(error, "a list of packed weights", threads * sizeof *p.before);
    } else {
        p.memory->used = p.memory->begin + threads;
        p.before = p.memory->used + threads;
        status = lay_out(&p, error);
    }
    if (status == GPTOSS_OK)
        status = pack_all(&p, total, progress, user, error);
    p.memory->next = *memory;
    *memory = p.memory;
    return status;
}

void pack_free(packed_memory *memory)
{
    while (memory != NULL) {
        packed_memory *next = memory->next;
        memory_release(memory->data, memory->bytes);
        free(memory->groups);
        free(memory->begin);
        free(memory);
        memory = next;
    }
}

bool pack_stretch(const packed_memory *memory, size_t index, const uint8_t **start, size_t *bytes)
{
    for (; memory != NULL; memory = memory->next) {
        if (index < memory->parts && memory->data != NULL) {
            *start = memory->data + memory->begin[index];
            *bytes = memory->used[index] - memory->begin[index];
            return true;
        }
        index -= memory->data != NULL ? memory->parts : 0;
    }
    return false;
}

/* What a matrix takes when it has no escapes. */
static uint64_t least_bytes(uint64_t rows, uint64_t columns)
{
    uint64_t groups = (rows + DENSE_GROUP_ROWS - 1) / DENSE_GROUP_ROWS;
    uint64_t blocks = (columns + DENSE_BLOCK_COLUMNS - 1) / DENSE_BLOCK_COLUMNS;
    return groups * (DENSE_LINE + blocks * DENSE_BLOCK_BYTES + sizeof(dense_group));
}

uint64_t pack_bytes(const weights *bound, uint32_t layers)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < 1 + (size_t)layers * PER_LAYER; i++) {
        const matrix *at = matrix_number(bound, i);
        bytes += can_pack(at) ? least_bytes(at->rows, at->columns) : 0;
    }
    return bytes;
}

uint64_t pack_saving(const weights *bound, uint32_t layers)
{
    uint64_t saving = 0;
    for (size_t i = 0; i < 1 + (size_t)layers * PER_LAYER; i++) {
        const matrix *at = matrix_number(bound, i);
        uint64_t before = 2 * (uint64_t)at->rows * at->columns;
        uint64_t after = before;
        if (at->format == NUMBER_BF16_PACKED)
            after = at->packed_bytes;
        else if (can_pack(at))
            after = least_bytes(at->rows, at->columns);
        saving += after < before ? before - after : 0;
    }
    return saving;
}
