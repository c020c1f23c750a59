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
    size_t wanted;                /* rows that want logits */
    const rounded_layer *rounded; /* [layers] attention in 8 bits, or NULL */
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

/* Moves what row `from` takes on its way to row `to`. */
static void move_row(workspace *w, const gptoss_config *c, size_t from, size_t to)
{
    size_t half = c->head_dim / 2;
    if (from == to)
        return;
    memcpy(w->hidden + to * c->hidden, w->hidden + from * c->hidden, c->hidden * sizeof(float));
    memcpy(w->normed + to * c->hidden, w->normed + from * c->hidden, c->hidden * sizeof(float));
    memcpy(w->cosine + to * half, w->cosine + from * half, half * sizeof(float));
    memcpy(w->sine + to * half, w->sine + from * half, half * sizeof(float));
    w->positions[to] = w->positions[from];
    w->views[to] = w->views[from];
}

/* Packs the rows that want logits together, unless they are, and goes on with them alone. */
static void keep_wanted(pass *p, const batch *b)
{
    if (p->rows == b->wanted)
        return;
    if (p->self->rank == 0) {
        size_t kept = 0;
        for (size_t row = 0; row < b->count; row++)
            if (b->rows[row].want_logits)
                move_row(p->space, p->config, row, kept++);
        p->space->route.rows = kept;
    }
    team_wait(p->self);
    p->rows = b->wanted;
    p->blas = p->blas && p->rows >= OP_BLAS_LEAST_ROWS;
}

/* The logits of `rows` rows of w->normed. */
static void unembed(const team *self, const gptoss_model *model, workspace *w, size_t rows,
                    bool blas)
{
    const gptoss_config *c = &model->config;
    if (self->rank == 0)
        tally_unembedding(&w->statistics, &model->weights.unembedding, rows);
    product_space room = {(float *)(void *)w->prepared,
                          w->scratch + self->rank * w->scratch_floats};
    linear_map map = {&model->weights.unembedding, NULL, w->logits};
    (blas ? op_blas_linear_maps : op_linear_maps)(self, &map, 1, w->normed, rows, c->vocab, room);
}

/* One layer. Nothing but logits is made of what the last one gives: rows that do not want them
 * leave their keys and values there and are done, unless a tap is to see all their stages. */
static void run_layer(pass *p, const batch *b, uint32_t layer)
{
    const layer_weights *bound = &b->model->weights.layers[layer];
    bool sliding = p->config->sliding[layer];
    bool last = layer + 1 == p->config->layers;
    select_layer(p->self, b, layer);
    p->layer = layer;
    p->rounded = b->rounded == NULL ? NULL : &b->rounded[layer];
    p->alarm = &p->space->alarms[(size_t)2 * layer];
    if (last && p->tap == NULL && b->wanted < b->count) {
        layer_store(p, bound, sliding);
        keep_wanted(p, b);
        if (p->rows > 0)
            layer_attend(p, bound, sliding);
    } else {
        layer_attention(p, bound, sliding);
    }
    p->alarm = &p->space->alarms[(size_t)2 * layer + 1];
    if (p->rows > 0)
        layer_experts(p, bound);
    if (p->self->rank == 0)
        tally_layer(&p->space->statistics, p->config, bound, p->rounded, b->count,
                    &p->space->route);
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
    find_angles(&p, &b->model->rope);
    op_embed(self, &b->model->weights.embedding, space->tokens, b->count, space->hidden);
    pass_settle(&p, GPTOSS_STAGE_EMBEDDING, space->hidden, config->hidden);
    for (uint32_t layer = 0; layer < config->layers; layer++) {
        if (!goes_on(self, b, layer))
            return;
        run_layer(&p, b, layer);
    }
    if (self->rank == 0)
        tally_rows(&space->statistics, config, &b->model->weights, b->rows, b->count,
                   p.tap != NULL);
    if (p.rows == 0)
        return;
    op_rms_norm(self, space->hidden, b->model->weights.final_norm, p.rows, config->hidden,
                config->norm_eps, space->normed, &space->alarms[(size_t)2 * config->layers]);
    pass_settle(&p, GPTOSS_STAGE_FINAL_NORM, space->normed, config->hidden);
    keep_wanted(&p, b);
    if (p.rows == 0 || b->options->leave_logits)
        return;
    unembed(self, b->model, space, p.rows, p.blas);
    pass_settle(&p, GPTOSS_STAGE_LOGITS, space->logits, config->vocab);
    op_check_finite(self, space->logits, p.rows * config->vocab,
                    &space->alarms[(size_t)2 * config->layers + 1]);
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
    batch b = {.model = model,
               .options = options,
               .rows = rows,
               .space = space,
               .count = count,
               .rounded = options->precision == GPTOSS_PRECISION_Q8 ? model->rounded.layers : NULL};
    for (size_t row = 0; row < count; row++) {
        b.wanted += rows[row].want_logits;
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
    workspace *w = late->space;
    const gptoss_config *c = &late->model->config;
    unembed(self, late->model, w, late->rows, false);
    if (self->rank == 0)
        tally_time(&w->statistics, GPTOSS_OPERATION_UNEMBEDDING, &w->lap);
    op_check_finite(self, w->logits, late->rows * c->vocab, &w->alarms[(size_t)2 * c->layers + 1]);
}

gptoss_status forward_logits(const gptoss_model *model, workspace *space,
                             const forward_options *options, size_t rows, gptoss_error *error)
{
    late_logits late = {model, space, rows};
    space->lap = clock_now();
    parallel_run_on(options->threads, options->processors, run_late, &late);
    return check_alarms(model, space, error);
}
