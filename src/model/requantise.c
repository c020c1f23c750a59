#include "model/requantise.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/residency.h"
#include "op/parallel.h"

/* Panels of all matrices that the threads of a team round, each the next that nobody has taken. */
typedef struct rounding {
    const matrix **from; /* [count] */
    q8_matrix **to;      /* [count] */
    size_t count;
    size_t widest;  /* columns */
    float *scratch; /* [threads, OP_Q8_PACK_FLOATS(widest)] */
    uint64_t total;
    atomic_size_t next; /* panel, counted over all matrices */
    atomic_uint_fast64_t done;
    atomic_bool stopped;
    gptoss_progress_fn progress; /* or NULL */
    void *user;
} rounding;

static size_t panels_of(const matrix *from)
{
    return (from->rows + Q8_PANEL_ROWS - 1) / Q8_PANEL_ROWS;
}

static void round_panels(const team *self, void *user)
{
    rounding *r = user;
    float *scratch = r->scratch + self->rank * OP_Q8_PACK_FLOATS(r->widest);
    size_t index = 0; /* of the matrix that panel `before` begins */
    size_t before = 0;
    while (!atomic_load(&r->stopped)) {
        size_t panel = atomic_fetch_add(&r->next, 1);
        while (index < r->count && panel - before >= panels_of(r->from[index]))
            before += panels_of(r->from[index++]);
        if (index == r->count)
            return;
        q8_pack_panel(r->from[index], panel - before, r->to[index], scratch);
        uint64_t bytes = q8_bytes(Q8_PANEL_ROWS, r->from[index]->columns);
        uint64_t done = atomic_fetch_add(&r->done, bytes) + bytes;
        if (self->rank == 0 && r->progress != NULL && done < r->total &&
            !r->progress(r->user, "rounding weights", done, r->total))
            atomic_store(&r->stopped, true);
    }
}

/* Lists the matrices; their copies get shapes. */
static void list_matrices(const gptoss_config *config, const weights *bound, rounded_weights *out,
                          rounding *r)
{
    for (uint32_t l = 0; l < config->layers; l++) {
        const layer_weights *layer = &bound->layers[l];
        rounded_layer *rounded = &out->layers[l];
        enum { PARTS = 4 };
        const matrix *from[PARTS] = {&layer->q, &layer->k, &layer->v, &layer->out};
        q8_matrix *to[PARTS] = {&rounded->q, &rounded->k, &rounded->v, &rounded->out};
        for (size_t i = 0; i < PARTS; i++) {
            r->from[r->count] = from[i];
            r->to[r->count++] = to[i];
        }
    }
    for (size_t i = 0; i < r->count; i++) {
        *r->to[i] = (q8_matrix){.rows = r->from[i]->rows, .columns = r->from[i]->columns};
        r->widest = r->from[i]->columns > r->widest ? r->from[i]->columns : r->widest;
        r->total += q8_bytes(r->from[i]->rows, r->from[i]->columns);
    }
}

static bool can_round(const rounding *r)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->from[i]->columns % FIXED_GROUP != 0)
            return false;
    return true;
}

/* Memory for the copies, then the copies. */
static gptoss_status round_all(rounding *r, uint32_t threads, rounded_weights *out,
                               gptoss_error *error)
{
    gptoss_status status = memory_reserve(r->total, "the weights in 8 bits", &out->memory, error);
    if (status != GPTOSS_OK)
        return status;
    out->bytes = r->total;
    memory_prefer_huge_pages(out->memory, out->bytes);
    uint8_t *at = out->memory;
    for (size_t i = 0; i < r->count; i++) {
        r->to[i]->panels = at;
        at += q8_bytes(r->to[i]->rows, r->to[i]->columns);
    }
    size_t scratch = threads * OP_Q8_PACK_FLOATS(r->widest) * sizeof *r->scratch;
    r->scratch = memory_allocate(scratch);
    if (r->scratch == NULL)
        return fail_memory(error, "scratch for rounding weights", scratch);
    parallel_run(threads, round_panels, r);
    if (r->progress != NULL && !r->progress(r->user, "rounding weights", r->total, r->total))
        atomic_store(&r->stopped, true);
    free(r->scratch);
    return atomic_load(&r->stopped) ? fail(error, GPTOSS_INTERRUPTED, "interrupted") : GPTOSS_OK;
}

uint64_t requantise_bytes(const gptoss_config *config, const weights *bound)
{
    uint64_t bytes = 0;
    for (uint32_t l = 0; l < config->layers; l++) {
        const layer_weights *layer = &bound->layers[l];
        enum { PARTS = 4 };
        const matrix *const parts[PARTS] = {&layer->q, &layer->k, &layer->v, &layer->out};
        for (size_t i = 0; i < PARTS; i++) {
            if (parts[i]->columns % FIXED_GROUP != 0)
                return 0;
            bytes += q8_bytes(parts[i]->rows, parts[i]->columns);
        }
    }
    return bytes;
}

static void release_pages(const matrix *of)
{
    if (of->format != NUMBER_BF16_PACKED)
        residency_release(of->data, number_bytes(of->format, of->rows * of->columns));
}

gptoss_status requantise(const gptoss_config *config, const weights *bound, bool release,
                         uint32_t threads, gptoss_progress_fn progress, void *user,
                         rounded_weights *out, gptoss_error *error)
{
    size_t most = 4 * (size_t)config->layers;
    rounding r = {.progress = progress, .user = user};
    *out = (rounded_weights){.layers = calloc(config->layers, sizeof *out->layers)};
    r.from = calloc(most, sizeof(void *));
    r.to = calloc(most, sizeof(void *));
    bool empty = false;
    gptoss_status status = GPTOSS_OK;
    if (out->layers == NULL || r.from == NULL || r.to == NULL) {
        status = fail_memory(error, "a list of weights", most * sizeof(void *));
    } else {
        list_matrices(config, bound, out, &r);
        empty = !can_round(&r);
        if (!empty)
            status = round_all(&r, threads, out, error);
        for (size_t i = 0; i < r.count && release; i++)
            release_pages(r.from[i]);
    }
    free(r.from);
    free(r.to);
    if (status != GPTOSS_OK || empty)
        rounded_weights_free(out);
    return status;
}

void rounded_weights_free(rounded_weights *rounded)
{
    if (rounded->memory != NULL)
        memory_release(rounded->memory, rounded->bytes);
    free(rounded->layers);
    *rounded = (rounded_weights){0};
}
