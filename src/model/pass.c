#include "model/pass.h"

#include "base/clock.h"
#include "model/tally.h"
#include "op/torch_bf16.h"

/* The operation that ends with a stage. */
static const gptoss_operation operations[GPTOSS_STAGE_COUNT] = {
    [GPTOSS_STAGE_EMBEDDING] = GPTOSS_OPERATION_EMBEDDING,
    [GPTOSS_STAGE_ATTENTION_NORM] = GPTOSS_OPERATION_NORM,
    [GPTOSS_STAGE_Q] = GPTOSS_OPERATION_QKV,
    [GPTOSS_STAGE_K] = GPTOSS_OPERATION_QKV,
    [GPTOSS_STAGE_V] = GPTOSS_OPERATION_QKV,
    [GPTOSS_STAGE_Q_ROTARY] = GPTOSS_OPERATION_ROTARY,
    [GPTOSS_STAGE_K_ROTARY] = GPTOSS_OPERATION_ROTARY,
    [GPTOSS_STAGE_SINK_MASS] = GPTOSS_OPERATION_ATTENTION,
    [GPTOSS_STAGE_ATTENTION] = GPTOSS_OPERATION_ATTENTION,
    [GPTOSS_STAGE_ATTENTION_OUT] = GPTOSS_OPERATION_ATTENTION_OUT,
    [GPTOSS_STAGE_ATTENTION_RESIDUAL] = GPTOSS_OPERATION_RESIDUAL,
    [GPTOSS_STAGE_MLP_NORM] = GPTOSS_OPERATION_NORM,
    [GPTOSS_STAGE_ROUTER] = GPTOSS_OPERATION_ROUTER,
    [GPTOSS_STAGE_EXPERTS] = GPTOSS_OPERATION_ROUTING,
    [GPTOSS_STAGE_ROUTING_WEIGHTS] = GPTOSS_OPERATION_ROUTING,
    [GPTOSS_STAGE_GATE_UP] = GPTOSS_OPERATION_GATE_UP,
    [GPTOSS_STAGE_ACTIVATED] = GPTOSS_OPERATION_ACTIVATION,
    [GPTOSS_STAGE_EXPERT_OUT] = GPTOSS_OPERATION_DOWN,
    [GPTOSS_STAGE_COMBINED] = GPTOSS_OPERATION_COMBINE,
    [GPTOSS_STAGE_RESIDUAL] = GPTOSS_OPERATION_RESIDUAL,
    [GPTOSS_STAGE_FINAL_NORM] = GPTOSS_OPERATION_NORM,
    [GPTOSS_STAGE_LOGITS] = GPTOSS_OPERATION_UNEMBEDDING,
};

void pass_lap(const pass *p, gptoss_operation operation)
{
    if (p->self->rank == 0)
        tally_time(&p->space->statistics, operation, &p->space->lap);
}

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

/* Thread 0 shows the view; the others wait, so that it stays as it is. The tap's time is nobody's.
 */
static void show(const pass *p, const gptoss_tap_view *view)
{
    if (p->self->rank == 0) {
        p->tap(p->tap_user, view);
        p->space->lap = clock_now();
    }
    team_wait(p->self);
}

static void settle(const pass *p, const gptoss_tap_view *view)
{
    if (p->torch)
        torch_round(p->self, view->data, view->rows * view->pieces, view->columns, view->stride);
    pass_lap(p, operations[view->stage]);
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
    pass_lap(p, operations[view.stage]);
    if (p->tap != NULL)
        show(p, &view);
}
