#include "model/sketch.h"

#include <stdlib.h>

#include "base/carver.h"
#include "base/memory.h"
#include "model/model.h"

/* ---- making ---------------------------------------------------------------------------------- */

static sketch shape_of(uint64_t rows, uint64_t columns)
{
    return (sketch){
        .rows = rows, .columns = columns, .groups = (columns + SKETCH_GROUP - 1) / SKETCH_GROUP};
}

static uint64_t lay_out(sketch *of, void *memory)
{
    carver c = {memory, 0};
    uint64_t plane = (uint64_t)of->rows * of->groups;
    of->planes[0] = carve(&c, plane, SKETCH_GROUP / 2);
    of->planes[1] = carve(&c, plane, SKETCH_GROUP / 2);
    of->multipliers = carve(&c, plane, 1);
    of->known = carve(&c, of->rows, sizeof *of->known);
    return c.used;
}

uint64_t model_sketch_bytes(uint64_t rows, uint64_t columns)
{
    sketch shape = shape_of(rows, columns);
    return columns > SKETCH_MAX_COLUMNS ? 0 : lay_out(&shape, NULL);
}

uint64_t model_sketch_first_bytes(uint64_t rows, uint64_t columns)
{
    sketch shape = shape_of(rows, columns);
    return columns > SKETCH_MAX_COLUMNS
               ? 0
               : rows * (shape.groups * (SKETCH_GROUP / 2 + 1) + sizeof *shape.known);
}

/* What the threads that make a part share. */
typedef struct making {
    const matrix *weights;
    sketch *out;
    size_t first;
    size_t count;
    float *scratch; /* [threads][OP_SKETCH_FLOATS(columns)] */
} making;

static void make_part(const team *self, void *user)
{
    const making *m = user;
    op_sketch(self, m->weights, m->first, m->count, m->out,
              m->scratch + self->rank * OP_SKETCH_FLOATS(m->out->columns));
}

/* Part by part, so that progress can be told. */
static gptoss_status make_all(making *m, uint32_t threads, gptoss_progress_fn progress, void *user,
                              gptoss_error *error)
{
    enum { PART = 8192 };
    size_t rows = m->weights->rows;
    uint64_t row_bytes = matrix_bytes(m->weights) / rows;
    for (m->first = 0; m->first < rows; m->first += m->count) {
        if (progress != NULL && !progress(user, "sketch", m->first * row_bytes, rows * row_bytes))
            return fail(error, GPTOSS_INTERRUPTED, "interrupted while sketching the unembedding");
        m->count = rows - m->first < PART ? rows - m->first : PART;
        parallel_run(threads, make_part, m);
    }
    if (progress != NULL)
        progress(user, "sketch", rows * row_bytes, rows * row_bytes);
    return GPTOSS_OK;
}

gptoss_status model_sketch_make(struct gptoss_model *model, uint32_t threads,
                                gptoss_progress_fn progress, void *user, gptoss_error *error)
{
    const matrix *from = &model->weights.unembedding;
    if (model->sketch != NULL || from->columns > SKETCH_MAX_COLUMNS)
        return GPTOSS_OK;
    threads = threads < parallel_limit() ? threads : parallel_limit();
    size_t scratch_bytes = threads * OP_SKETCH_FLOATS(from->columns) * sizeof(float);
    model_sketch *made = calloc(1, sizeof *made);
    float *scratch = memory_allocate(scratch_bytes);
    gptoss_status status = GPTOSS_OK;
    if (made == NULL || scratch == NULL)
        status = fail_memory(error, "the making of a sketch", scratch_bytes);
    if (status == GPTOSS_OK) {
        made->of = shape_of(from->rows, from->columns);
        made->bytes = lay_out(&made->of, NULL);
        status = memory_reserve(made->bytes, "the sketch", &made->memory, error);
    }
    if (status == GPTOSS_OK) {
        memory_prefer_huge_pages(made->memory, made->bytes);
        lay_out(&made->of, made->memory);
        making m = {.weights = from, .out = &made->of, .scratch = scratch};
        status = make_all(&m, threads, progress, user, error);
    }
    free(scratch);
    if (status != GPTOSS_OK) {
        model_sketch_free(made);
        return status;
    }
    made->largest_norm = sketch_largest_norm(&made->of);
    model->sketch = made;
    return GPTOSS_OK;
}

void model_sketch_free(model_sketch *made)
{
    if (made == NULL)
        return;
    memory_release(made->memory, made->bytes);
    free(made);
}

/* ---- the best tokens ------------------------------------------------------------------------- */

static uint64_t lay_out_search(token_search *of, void *memory, size_t columns)
{
    carver c = {memory, 0};
    row_search *s = &of->search;
    s->digits = carve(&c, 2 * s->sketch->groups, SKETCH_GROUP);
    s->centre = carve(&c, 2 * s->sketch->groups, 8 * sizeof *s->centre);
    s->estimates = carve(&c, s->sketch->rows, sizeof *s->estimates);
    s->blocks = carve(&c, (s->sketch->rows + SEARCH_BLOCK - 1) / SEARCH_BLOCK, sizeof *s->blocks);
    s->finders = carve(&c, of->threads, sizeof *s->finders);
    for (uint32_t t = 0; t < of->threads; t++) {
        ranked_row *leaders = carve(&c, s->room, sizeof *leaders);
        ranked_row *kept = carve(&c, s->room, sizeof *kept);
        if (memory != NULL)
            s->finders[t] = (row_finder){.leaders = leaders, .kept = kept};
    }
    of->scratch_floats = (OP_PANEL_FLOATS(columns) + 15) / 16 * 16;
    of->scratch = carve(&c, of->threads * of->scratch_floats, sizeof *of->scratch);
    return c.used;
}

gptoss_status token_search_init(token_search *out, const struct gptoss_model *model,
                                uint32_t threads, const uint16_t *processors, gptoss_error *error)
{
    const matrix *from = &model->weights.unembedding;
    *out = (token_search){.search = {.weights = from,
                                     .sketch = &model->sketch->of,
                                     .largest_norm = model->sketch->largest_norm,
                                     .room = TOKEN_SEARCH_MAX + SEARCH_LEADERS},
                          .threads = threads,
                          .processors = processors};
    out->bytes = lay_out_search(out, NULL, from->columns);
    gptoss_status status = memory_reserve(out->bytes, "the search for tokens", &out->memory, error);
    if (status == GPTOSS_OK)
        lay_out_search(out, out->memory, from->columns);
    else
        *out = (token_search){.threads = 0};
    return status;
}

void token_search_free(token_search *of)
{
    memory_release(of->memory, of->bytes);
    *of = (token_search){.threads = 0};
}

/* What the threads of one search share. */
typedef struct searching {
    token_search *of;
    const float *x;
    const row_query *query;
    ranked_row *best;
    size_t *found;
    bool again;
} searching;

static void search(const team *self, void *user)
{
    const searching *s = user;
    token_search *of = s->of;
    if (!s->again)
        op_estimate(self, s->x, &of->search);
    if (of->search.usable)
        op_find_best(self, s->x, s->query, &of->search, s->best, s->found,
                     of->scratch + self->rank * of->scratch_floats);
}

bool token_search_best(token_search *of, const float *x, bool again, const row_query *query,
                       ranked_row *best, size_t *found)
{
    searching shared = {of, x, query, best, found, again};
    *found = 0;
    of->search.alarm = 0;
    for (uint32_t t = 0; t < of->threads; t++)
        of->search.finders[t].low = of->search.finders[t].exact = 0;
    parallel_run_on(of->threads, of->processors, search, &shared);
    if (!of->search.usable)
        return false;
    of->reads.high += again ? 0 : of->search.sketch->rows;
    for (uint32_t t = 0; t < of->threads; t++) {
        of->reads.low += of->search.finders[t].low;
        of->reads.exact += of->search.finders[t].exact;
    }
    return of->search.alarm == 0;
}
