#include "op/attention.h"

#include <math.h>

#include "kernel/kernel.h"
#include "op/op.h"

enum { KEYS = KERNEL_ATTEND_KEYS, QUERIES = KERNEL_ATTEND_QUERIES, PART = OP_ATTENTION_PART };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t greatest(size_t a, size_t b)
{
    return a > b ? a : b;
}

void op_rotate(const team *self, const float *cosine, const float *sine, size_t rows, size_t heads,
               size_t half, float *x, size_t x_stride)
{
    size_t begin;
    size_t end;
    team_share(self, rows * heads, 1, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        size_t row = i / heads;
        kernel()->rotate(x + row * x_stride + i % heads * 2 * half, cosine + row * half,
                         sine + row * half, half);
    }
    team_wait(self);
}

void op_store_kv(const team *self, const attention_shape *shape, const kv_view *caches,
                 const uint32_t *positions, const float *k, const float *v, size_t stride,
                 size_t rows)
{
    size_t dim = shape->head_dim;
    size_t begin;
    size_t end;
    team_share(self, rows * shape->kv_heads, 1, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        size_t head = i / rows; /* a head's rows one after another: they are neighbours */
        size_t row = i % rows;
        size_t from = row * stride + head * dim;
        kv_put_key(&caches[row], dim, head, positions[row], k + from);
        kv_put_value(&caches[row], dim, head, positions[row], v + from);
    }
    team_wait(self);
}

uint64_t op_attention_floats(uint64_t head_dim, uint64_t context)
{
    uint64_t parts = (context + PART - 1) / PART;
    return KERNEL_ATTEND_STATE(head_dim) * (2 * OP_ATTENTION_TILE + parts);
}

/* ---- what there is to do --------------------------------------------------------------------- */

/*
 * The work as a line, along which each thread takes an equal share. Its length is counted in keys
 * that rows see:
 *
 *     | heads 0: tile 0 | tile 1 | ... | heads 1: tile 0 | tile 1 | ...
 *       one row, many parts: | part 0 | part 1 | part 2 |
 *
 * `heads` being as many query heads of one key-value head as a kernel takes. A piece, which is a
 * tile or one part of a tile of one row, belongs to the thread in whose share it begins. So a
 * thread may find the later parts of a row at the beginning of its share: these it leaves in its
 * scratch, for the thread that has the row's first part to merge.
 */
typedef struct attention_job {
    const team *self;
    const attention_shape *shape;
    const kv_view *caches;
    const uint32_t *positions;
    const float *q;
    size_t q_stride;
    const float *sinks;
    size_t rows;
    float *out;
    float *sink_mass;
    attention_scratch scratch;
    size_t tile_rows; /* most rows of a tile */
    uint64_t length;  /* of the line */
    bool divided;     /* some row has several parts */
} attention_job;

/* Rows of one sequence at consecutive positions. */
typedef struct tile {
    size_t row; /* the first */
    size_t rows;
    size_t first; /* positions [first, end) are visible to one or more of them */
    size_t end;
    uint64_t length;
} tile;

/* The query heads that are taken together, of one key-value head. */
typedef struct head_block {
    size_t kv_head;
    size_t head; /* the first query head */
    size_t heads;
} head_block;

/* Starting and finishing a row takes as long as this many keys. */
enum { ROW_KEYS = 32 };

static size_t first_visible(const attention_shape *shape, size_t position)
{
    return position + 1 > shape->window ? position + 1 - shape->window : 0;
}

/* The parts that [first, end) of a tile lies in. */
static size_t first_part(const tile *t)
{
    return t->first / PART;
}

static size_t last_part(const tile *t)
{
    return (t->end - 1) / PART;
}

static tile tile_at(const attention_job *job, size_t row)
{
    tile t = {.row = row, .first = first_visible(job->shape, job->positions[row])};
    do {
        size_t position = job->positions[row++];
        t.length += ROW_KEYS + position + 1 - first_visible(job->shape, position);
        t.end = position + 1;
        t.rows++;
    } while (t.rows < job->tile_rows && row < job->rows && job->positions[row] == t.end &&
             job->caches[row].keys == job->caches[t.row].keys);
    return t;
}

/* Query heads that share a key-value head. */
static size_t group_of(const attention_shape *shape)
{
    return shape->heads / shape->kv_heads;
}

static size_t blocks_of_group(const attention_shape *shape)
{
    return (group_of(shape) + QUERIES - 1) / QUERIES;
}

static size_t head_blocks(const attention_shape *shape)
{
    return shape->heads / group_of(shape) * blocks_of_group(shape);
}

static head_block head_block_at(const attention_shape *shape, size_t index)
{
    size_t group = group_of(shape);
    size_t before = index % blocks_of_group(shape) * QUERIES; /* heads of the group */
    size_t head = index / blocks_of_group(shape) * group + before;
    return (head_block){head / group, head, least(group - before, QUERIES)};
}

/* Fills in how the work is cut. */
static void plan(attention_job *job)
{
    enum { PIECES = 8 }; /* that a thread should have at least, so that shares are nearly equal */
    size_t blocks = head_blocks(job->shape);
    size_t most = job->rows * blocks / (PIECES * job->self->size);
    job->tile_rows = greatest(1, least(most, OP_ATTENTION_TILE));
    for (size_t row = 0; row < job->rows;) {
        tile t = tile_at(job, row);
        job->length += blocks * t.length;
        job->divided = job->divided || (t.rows == 1 && first_part(&t) != last_part(&t));
        row += t.rows;
    }
}

/* Where the share of a thread begins. */
static uint64_t share_of(const attention_job *job, size_t rank)
{
    return job->length / job->self->size * rank +
           job->length % job->self->size * rank / job->self->size;
}

/* ---- a tile ---------------------------------------------------------------------------------- */

static float *state_at(const attention_job *job, float *states, size_t index)
{
    return states + index * KERNEL_ATTEND_STATE(job->shape->head_dim);
}

/* Takes the keys [first, end) of one block into the softmax of a row. */
static void attend(const attention_job *job, size_t row, const head_block *heads, size_t first,
                   size_t end, size_t ahead, float *state)
{
    size_t dim = job->shape->head_dim;
    const kv_view *cache = &job->caches[row];
    size_t slot = heads->kv_head * cache->slots + first / KEYS * KEYS % cache->slots;
    attend_keys block = {.keys = cache->keys + kv_key_bytes(cache->format, slot, dim),
                         .values = cache->values + kv_value_bytes(cache->format, slot, dim),
                         .first = first % KEYS,
                         .end = (end - 1) % KEYS + 1,
                         .ahead = ahead};
    kernel_attend_fn take =
        cache->format == NUMBER_BF16 ? kernel()->attend.bf16 : kernel()->attend.f32;
    take(&block, job->q + row * job->q_stride + heads->head * dim, heads->heads, dim,
         (float)(1.0 / sqrt((double)dim)), state);
}

/* Where the softmax of a tile's row over one part goes: the first part's into the row's total. */
static float *target(const attention_job *job, const tile *t, size_t r, size_t part, float *totals,
                     float *later)
{
    bool begins = first_visible(job->shape, t->end - t->rows + r) / PART == part;
    return state_at(job, begins ? totals : later, r);
}

/* The softmax of all rows of a tile over the keys of one part, block by block while a block is in
 * the processor's cache. */
static void attend_part(const attention_job *job, const tile *t, const head_block *heads,
                        size_t part, float *totals, float *later)
{
    size_t part_end = least(t->end, (part + 1) * PART);
    for (size_t r = 0; r < t->rows; r++) {
        float *state = target(job, t, r, part, totals, later);
        kernel()->attend.start(job->sinks + heads->head, heads->heads, job->shape->head_dim,
                               state == state_at(job, totals, r) ? 1.0F : 0.0F, state);
    }
    for (size_t at = greatest(t->first, part * PART) / KEYS * KEYS; at < part_end; at += KEYS) {
        for (size_t r = 0; r < t->rows; r++) {
            size_t position = t->end - t->rows + r;
            size_t first = greatest(at, first_visible(job->shape, position));
            size_t end = least(at + KEYS, position + 1);
            if (first < end)
                attend(job, t->row + r, heads, first, end, r + 1 == t->rows ? KEYS : 0,
                       target(job, t, r, part, totals, later));
        }
    }
}

/* The parts before `end` of a tile, merged into `totals`. */
static void attend_tile(const attention_job *job, const tile *t, const head_block *heads,
                        size_t end, float *totals, float *later)
{
    attend_part(job, t, heads, first_part(t), totals, later);
    for (size_t part = first_part(t) + 1; part < end; part++) {
        attend_part(job, t, heads, part, totals, later);
        for (size_t r = 0; r < t->rows; r++) {
            size_t position = t->end - t->rows + r;
            if (first_visible(job->shape, position) / PART < part && part <= position / PART)
                kernel()->attend.merge(state_at(job, later, r), heads->heads, job->shape->head_dim,
                                       state_at(job, totals, r));
        }
    }
}

static void finish(const attention_job *job, const tile *t, const head_block *heads,
                   const float *totals)
{
    size_t dim = job->shape->head_dim;
    for (size_t r = 0; r < t->rows; r++) {
        size_t first = (t->row + r) * job->shape->heads + heads->head;
        kernel()->attend.finish(totals + r * KERNEL_ATTEND_STATE(dim), job->sinks + heads->head,
                                heads->heads, dim, job->out + first * dim,
                                job->sink_mass == NULL ? NULL : job->sink_mass + first);
    }
}

/* ---- a thread's share ------------------------------------------------------------------------ */

/* A thread's scratch. */
static float *totals_of(const attention_job *job)
{
    return job->scratch.own;
}

static float *later_of(const attention_job *job)
{
    return state_at(job, job->scratch.own, OP_ATTENTION_TILE);
}

static float *left_by(const attention_job *job, size_t rank, size_t index)
{
    float *scratch = job->scratch.own + (rank - job->self->rank) * job->scratch.stride;
    return state_at(job, scratch, 2 * OP_ATTENTION_TILE + index);
}

/* A row whose later parts are left by other threads. */
typedef struct open_row {
    tile row;
    head_block heads;
    size_t part; /* the first that is missing; 0: nothing is open */
    uint64_t at; /* where it begins on the line */
} open_row;

/* Length of one part of a tile of one row. */
static uint64_t part_length(const tile *t, size_t part)
{
    size_t keys = least(t->end, (part + 1) * PART) - greatest(t->first, part * PART);
    return keys + (part == first_part(t) ? ROW_KEYS : 0);
}

/* What of a tile of one row, which begins at `at`, lies in the share [begin, end). */
static void share_row(const attention_job *job, const tile *t, const head_block *heads, uint64_t at,
                      uint64_t begin, uint64_t end, open_row *open)
{
    size_t part = first_part(t);
    for (; part <= last_part(t) && at < begin; part++)
        at += part_length(t, part);
    size_t mine = part;
    for (; part <= last_part(t) && at < end; part++)
        at += part_length(t, part);
    if (mine == first_part(t) && mine < part) {
        attend_tile(job, t, heads, part, totals_of(job), later_of(job));
        if (part > last_part(t))
            finish(job, t, heads, totals_of(job));
        else
            *open = (open_row){*t, *heads, part, at};
    } else {
        for (size_t i = mine; i < part; i++)
            attend_part(job, t, heads, i, NULL, left_by(job, job->self->rank, i - mine));
    }
}

/* Merges what other threads have left of the row that is open at the end of this share. */
static void close_row(const attention_job *job, const open_row *open)
{
    size_t rank = job->self->rank;
    size_t index = 0;
    uint64_t at = open->at;
    for (size_t part = open->part; part <= last_part(&open->row); part++, index++) {
        for (; at >= share_of(job, rank + 1); rank++)
            index = 0;
        kernel()->attend.merge(left_by(job, rank, index), open->heads.heads, job->shape->head_dim,
                               totals_of(job));
        at += part_length(&open->row, part);
    }
    finish(job, &open->row, &open->heads, totals_of(job));
}

/* This thread's pieces. Returns the row whose later parts are missing. */
static open_row work(const attention_job *job)
{
    uint64_t begin = share_of(job, job->self->rank);
    uint64_t end = share_of(job, job->self->rank + 1);
    uint64_t at = 0;
    open_row open = {.part = 0};
    for (size_t index = 0; index < head_blocks(job->shape) && at < end; index++) {
        head_block heads = head_block_at(job->shape, index);
        for (size_t row = 0; row < job->rows && at < end;) {
            tile t = tile_at(job, row);
            if (t.rows == 1 && at + t.length > begin) {
                share_row(job, &t, &heads, at, begin, end, &open);
            } else if (at >= begin) {
                attend_tile(job, &t, &heads, last_part(&t) + 1, totals_of(job), later_of(job));
                finish(job, &t, &heads, totals_of(job));
            }
            at += t.length;
            row += t.rows;
        }
    }
    return open;
}

void op_attention(const team *self, const attention_shape *shape, const kv_view *caches,
                  const uint32_t *positions, const float *q, size_t q_stride, const float *sinks,
                  size_t rows, float *out, float *sink_mass, attention_scratch scratch)
{
    attention_job job = {.self = self,
                         .shape = shape,
                         .caches = caches,
                         .positions = positions,
                         .q = q,
                         .q_stride = q_stride,
                         .sinks = sinks,
                         .rows = rows,
                         .out = out,
                         .sink_mass = sink_mass,
                         .scratch = scratch};
    plan(&job);
    open_row open = work(&job);
    if (job.divided) {
        team_wait(self);
        if (open.part > 0)
            close_row(&job, &open);
    }
    team_wait(self);
}
