#include "model/pass.h"

#include "op/torch_bf16.h"

/* The shape of a stage; where its values lie is left to fill in. */
static gptoss_tap_view view_of(const pass *p, gptoss_stage stage)
{
    return (gptoss_tap_view){.stage = stage,
                             .layer = gptoss_stage_per_layer(stage) ? p->layer : 0,
                             .rows = p->rows,
                             .pieces = gptoss_stage_pieces(stage, p->config),
                             .columns = gptoss_stage_columns(stage, p->config),
                             .positions = p->space->positions,
                             .order =
                                 gptoss_stage_per_expert(stage) ? p->space->route.place : NULL};
}

/* Thread 0 shows the view; the others wait, so that it stays as it is. */
static void show(const pass *p, const gptoss_tap_view *view)
{
    if (p->self->rank == 0)
        p->tap(p->tap_user, view);
    team_wait(p->self);
}

static void settle(const pass *p, const gptoss_tap_view *view)
{
    if (p->torch)
        torch_round(p->self, view->data, view->rows * view->pieces, view->columns, view->stride);
    if (p->tap != NULL)
        show(p, view);
}

void pass_settle(const pass *p, gptoss_stage stage, float *data, size_t stride)
{
    gptoss_tap_view view = view_of(p, stage);
    view.data = data;
    view.stride = stride;
    settle(p, &view);
}

void pass_settle_experts(const pass *p)
{
    gptoss_tap_view view = view_of(p, GPTOSS_STAGE_EXPERTS);
    view.ids = p->space->route.expert;
    view.stride = view.columns;
    if (p->tap != NULL)
        show(p, &view);
}

void pass_settle_logits(const pass *p, size_t rows)
{
    gptoss_tap_view view = view_of(p, GPTOSS_STAGE_LOGITS);
    view.rows = rows;
    view.positions = p->space->wanted_positions;
    view.data = p->space->logits;
    view.stride = view.columns;
    settle(p, &view);
}
