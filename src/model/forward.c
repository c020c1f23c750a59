#include "model/forward.h"

#include <string.h>

#include "base/clock.h"
#include "model/layer.h"
#include "model/tally.h"
#include "op/bfloat.h"
#include "op/blas.h"
#include "op/torch_bf16.h"

/* What all threads of one pass share. */
typedef struct batch {
    const gptoss_model *model;
    const forward_options *options;
    const forward_row *rows;
    workspace *space;
    size_t count;
    atomic_bool abandoned;
} batch;

/* Cosines and sines of every row's position; they serve all layers. */
static void find_angles(const pass *p, const rope *table)
{
    workspace *w = p->space;
    size_t half = table->half;
    size_t begin;
    size_t end;
    team_share(p->self, p->rows, 1, &begin, &end);
    for (size_t row = begin; row < end; row++)
        rope_angles(table, w->positions[row], w->cosine + row * half, w->sine + row * half);
    team_wait(p->self);
    if (p->torch) {
        torch_round(p->self, w->cosine, p->rows, half, half);
        torch_round(p->self, w->sine, p->rows, half, half);
    }
}

/* Points every row at its cache of this layer. */
static void select_layer(const team *self, const batch *b, uint32_t layer)
{
    if (self->rank == 0)
        for (size_t row = 0; row < b->count; row++)
            b->space->views[row] = b->rows[row].cache->views[layer];
    team_wait(self);
}

/* Whether the team goes on to this layer. Thread 0 asks, all get the same answer. */
static bool goes_on(const team *self, batch *b, uint32_t layer)
{
    if (b->options->on_layer == NULL)
        return true;
    if (self->rank == 0 && !b->options->on_layer(b->options->layer_user, layer))
        b->abandoned = true;
    team_wait(self);
    return !b->abandoned;
}

/* Final norm of all rows; that of the rows that want logits, packed together. Returns their number.
 */
static size_t final_norm(const pass *p, const batch *b)
{
    const gptoss_config *c = p->config;
    workspace *w = p->space;
    size_t wanted = 0;
    op_rms_norm(p->self, w->hidden, b->model->weights.final_norm, p->rows, c->hidden, c->norm_eps,
                w->normed, &w->alarms[(size_t)2 * c->layers]);
    pass_settle(p, GPTOSS_STAGE_FINAL_NORM, w->normed, c->hidden);
    for (size_t row = 0; row < p->rows; row++) {
        if (!b->rows[row].want_logits)
            continue;
        if (p->self->rank == 0) {
            memcpy(w->wanted + wanted * c->hidden, w->normed + row * c->hidden,
                   c->hidden * sizeof *w->wanted);
            w->wanted_positions[wanted] = w->positions[row];
        }
        wanted++;
    }
    team_wait(p->self);
    return wanted;
}

/* The logits of the rows in w->wanted, rounded and shown as a stage unless `p` is NULL. */
static void unembed(const team *self, const gptoss_model *model, workspace *w, size_t wanted,
                    const pass *p)
{
    const gptoss_config *c = &model->config;
    if (self->rank == 0)
        tally_unembedding(&w->statistics, &model->weights.unembedding, wanted);
    product_space room = {(float *)(void *)w->prepared,
                          w->scratch + self->rank * w->scratch_floats};
    linear_map map = {&model->weights.unembedding, NULL, w->logits};
    bool blas = p != NULL && p->blas && wanted >= OP_BLAS_LEAST_ROWS;
    (blas ? op_blas_linear_maps : op_linear_maps)(self, &map, 1, w->wanted, wanted, c->vocab, room);
    if (p != NULL)
        pass_settle_logits(p, wanted);
    else if (self->rank == 0)
        tally_time(&w->statistics, GPTOSS_OPERATION_UNEMBEDDING, &w->lap);
    op_check_finite(self, w->logits, wanted * c->vocab, &w->alarms[(size_t)2 * c->layers + 1]);
}

/* The whole pass, run by every thread of the team. */
static void run(const team *self, void *user)
{
    batch *b = user;
    const gptoss_config *config = &b->model->config;
    workspace *space = b->space;
    pass p = {.self = self,
              .config = config,
              .space = space,
              .rows = b->count,
              .scratch = space->scratch + self->rank * space->scratch_floats,
              .torch = b->options->numerics == GPTOSS_NUMERICS_TORCH_BF16,
              .precision = b->options->precision,
              .blas = b->options->blas && b->count >= OP_BLAS_LEAST_ROWS,
              .tap = b->options->tap,
              .tap_user = b->options->tap_user};

    p.bfloat =
        p.precision == GPTOSS_PRECISION_BF16 && !p.torch && !b->options->blas && op_bfloat_pays();
    const rounded_layer *rounded =
        !p.torch && p.precision == GPTOSS_PRECISION_Q8 ? b->model->rounded.layers : NULL;
    find_angles(&p, &b->model->rope);
    op_embed(self, &b->model->weights.embedding, space->tokens, b->count, space->hidden);
    pass_settle(&p, GPTOSS_STAGE_EMBEDDING, space->hidden, config->hidden);
    for (uint32_t layer = 0; layer < config->layers; layer++) {
        if (!goes_on(self, b, layer))
            return;
        const layer_weights *bound = &b->model->weights.layers[layer];
        select_layer(self, b, layer);
        p.layer = layer;
        p.rounded = rounded == NULL ? NULL : &rounded[layer];
        p.alarm = &space->alarms[(size_t)2 * layer];
        layer_attention(&p, bound, config->sliding[layer]);
        p.alarm = &space->alarms[(size_t)2 * layer + 1];
        layer_experts(&p, bound);
        if (self->rank == 0)
            tally_layer(&space->statistics, config, bound, p.rounded, &space->route);
    }
    if (self->rank == 0)
        tally_rows(&space->statistics, config, &b->model->weights, b->rows, b->count);
    size_t wanted = final_norm(&p, b);
    if (wanted > 0 && !b->options->leave_logits)
        unembed(self, b->model, space, wanted, &p);
}

/* The first place where numbers were not finite, in words. Place 2 L checks what enters layer L,
 * place 2 L + 1 what its attention made of it; then come the last layer's result and the logits. */
static gptoss_status check_alarms(const gptoss_model *model, const workspace *space,
                                  gptoss_error *error)
{
    uint32_t places = 2 * model->config.layers + 2;
    uint32_t place = 0;
    while (place < places && space->alarms[place] == 0)
        place++;
    if (place == places)
        return GPTOSS_OK;
    static const char what[] = "is not finite (NaN, infinity or beyond float32): the weights are "
                               "damaged or not of this model; `gptoss inspect --check` reads them";
    if (place == places - 1)
        return fail(error, GPTOSS_NUMERIC, "a logit %s", what);
    if (place == 0)
        return fail(error, GPTOSS_NUMERIC, "the embedding of a token %s", what);
    if (place % 2 == 1)
        return fail(error, GPTOSS_NUMERIC, "layer %u: the output of the attention %s",
                    (place - 1) / 2, what);
    return fail(error, GPTOSS_NUMERIC, "layer %u: the output of the experts %s", place / 2 - 1,
                what);
}

gptoss_status forward(const gptoss_model *model, workspace *space, const forward_options *options,
                      const forward_row *rows, size_t count, gptoss_error *error)
{
    batch b = {.model = model, .options = options, .rows = rows, .space = space, .count = count};
    for (size_t row = 0; row < count; row++) {
        space->tokens[row] = rows[row].token;
        space->positions[row] = rows[row].position;
    }
    for (size_t place = 0; place < (size_t)2 * model->config.layers + 2; place++)
        space->alarms[place] = 0;
    space->route.rows = count;
    space->lap = clock_now();
    parallel_run_on(options->threads, options->processors, run, &b);
    if (b.abandoned)
        return fail(error, GPTOSS_INTERRUPTED, "interrupted");
    return check_alarms(model, space, error);
}

/* What the threads share that only unembed. */
typedef struct late_logits {
    const gptoss_model *model;
    workspace *space;
    size_t rows;
} late_logits;

static void run_late(const team *self, void *user)
{
    const late_logits *late = user;
    unembed(self, late->model, late->space, late->rows, NULL);
}

gptoss_status forward_logits(const gptoss_model *model, workspace *space,
                             const forward_options *options, size_t rows, gptoss_error *error)
{
    late_logits late = {model, space, rows};
    space->lap = clock_now();
    parallel_run_on(options->threads, options->processors, run_late, &late);
    return check_alarms(model, space, error);
}
