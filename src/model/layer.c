#include "model/layer.h"

#include "op/bfloat.h"
#include "op/blas.h"
#include "op/fixed.h"
#include "op/q8.h"
#include "op/torch_bf16.h"

/* What products of floats work in. */
static product_space product_room(const pass *p)
{
    return (product_space){(float *)(void *)p->space->prepared, p->scratch};
}

/* Maps of the same floats [p->rows, columns]; rows of every result are y_stride apart. */
static void float_linear(const pass *p, const linear_map *maps, size_t count, const float *x,
                         size_t y_stride)
{
    (p->blas ? op_blas_linear_maps : op_linear_maps)(p->self, maps, count, x, p->rows, y_stride,
                                                     product_room(p));
}

/* The same with x rounded as the precision wants it. */
static void linear(const pass *p, const linear_map *maps, size_t count, const float *x,
                   size_t y_stride)
{
    bool bfloat = p->bfloat;
    for (size_t i = 0; i < count; i++)
        bfloat = bfloat && op_bfloat_takes(maps[i].weights);
    if (bfloat) {
        uint16_t *rounded = (uint16_t *)(void *)p->space->prepared;
        op_bfloat_round(p->self, x, p->rows, maps[0].weights->columns, rounded);
        pass_lap(p, GPTOSS_OPERATION_QUANTISE);
        op_bfloat_linear_maps(p->self, maps, count, rounded, p->rows, y_stride, p->scratch);
        return;
    }
    float_linear(p, maps, count, x, y_stride);
}

/* Each row of w->qkv holds its queries, its keys and its values one after another. */
static size_t keys_at(const gptoss_config *c)
{
    return (size_t)c->heads * c->head_dim;
}

static size_t values_at(const gptoss_config *c)
{
    return keys_at(c) + (size_t)c->kv_heads * c->head_dim;
}

static size_t qkv_stride(const gptoss_config *c)
{
    return values_at(c) + (size_t)c->kv_heads * c->head_dim;
}

static attention_shape shape_of(const gptoss_config *c, bool sliding)
{
    return (attention_shape){c->heads, c->kv_heads, c->head_dim, sliding ? c->window : SIZE_MAX};
}

static void norm_attention(const pass *p, const layer_weights *layer)
{
    const gptoss_config *c = p->config;
    op_rms_norm(p->self, p->space->hidden, layer->attention_norm, p->rows, c->hidden, c->norm_eps,
                p->space->normed, p->alarm);
    pass_settle(p, GPTOSS_STAGE_ATTENTION_NORM, p->space->normed, c->hidden);
}

/* Queries of the normed rows, or keys and values, or all of them; the values are not rotated. */
static void project(const pass *p, const layer_weights *layer, bool queries, bool keys_values)
{
    const gptoss_config *c = p->config;
    workspace *w = p->space;
    size_t stride = qkv_stride(c);
    float *q = w->qkv;
    float *k = w->qkv + keys_at(c);
    float *v = w->qkv + values_at(c);
    size_t first = queries ? 0 : 1; /* of the maps */
    size_t count = (queries ? 1 : 0) + (keys_values ? 2 : 0);

    if (p->rounded != NULL) {
        q8_map maps[] = {{&p->rounded->q, layer->q_bias, q},
                         {&p->rounded->k, layer->k_bias, k},
                         {&p->rounded->v, layer->v_bias, v}};
        op_quantise(p->self, w->normed, p->rows, c->hidden, 1, w->prepared);
        pass_lap(p, GPTOSS_OPERATION_QUANTISE);
        op_q8_linear_maps(p->self, maps + first, count, w->prepared, p->rows, stride);
    } else {
        linear_map maps[] = {{&layer->q, layer->q_bias, q},
                             {&layer->k, layer->k_bias, k},
                             {&layer->v, layer->v_bias, v}};
        linear(p, maps + first, count, w->normed, stride);
    }
    if (queries)
        pass_settle(p, GPTOSS_STAGE_Q, q, stride);
    if (keys_values) {
        pass_settle(p, GPTOSS_STAGE_K, k, stride);
        pass_settle(p, GPTOSS_STAGE_V, v, stride);
    }
    (p->torch ? torch_rotate
              : op_rotate)(p->self, w->cosine, w->sine, p->rows,
                           (queries ? (size_t)c->heads : 0) + (keys_values ? c->kv_heads : 0),
                           c->head_dim / 2, queries ? q : k, stride);
    if (queries)
        pass_settle(p, GPTOSS_STAGE_Q_ROTARY, q, stride);
    if (keys_values)
        pass_settle(p, GPTOSS_STAGE_K_ROTARY, k, stride);
}

/* The keys and values of w->qkv go into the caches. */
static void store(const pass *p, const attention_shape *shape)
{
    const gptoss_config *c = p->config;
    workspace *w = p->space;
    op_store_kv(p->self, shape, w->views, w->positions, w->qkv + keys_at(c), w->qkv + values_at(c),
                qkv_stride(c), p->rows);
    pass_lap(p, GPTOSS_OPERATION_ROTARY);
}

/* What the queries of w->qkv find in the caches, added to the residual. */
static void attend(const pass *p, const layer_weights *layer, const attention_shape *shape)
{
    const gptoss_config *c = p->config;
    workspace *w = p->space;
    size_t q_dim = keys_at(c);
    float *sink_mass = p->tap == NULL ? NULL : w->sink_mass; /* nothing else reads it */

    (p->torch ? torch_attention : op_attention)(
        p->self, shape, w->views, w->positions, w->qkv, qkv_stride(c), layer->sinks, p->rows,
        w->attended, sink_mass, (attention_scratch){p->scratch, w->scratch_floats});
    if (sink_mass != NULL)
        pass_settle(p, GPTOSS_STAGE_SINK_MASS, sink_mass, c->heads);
    pass_settle(p, GPTOSS_STAGE_ATTENTION, w->attended, q_dim);
    if (p->rounded != NULL) {
        q8_map map = {&p->rounded->out, layer->out_bias, w->block_out};
        op_quantise(p->self, w->attended, p->rows, q_dim, 1, w->prepared);
        pass_lap(p, GPTOSS_OPERATION_QUANTISE);
        op_q8_linear_maps(p->self, &map, 1, w->prepared, p->rows, c->hidden);
    } else {
        linear_map map = {&layer->out, layer->out_bias, w->block_out};
        linear(p, &map, 1, w->attended, c->hidden);
    }
    pass_settle(p, GPTOSS_STAGE_ATTENTION_OUT, w->block_out, c->hidden);
    op_add(p->self, w->block_out, p->rows * c->hidden, w->hidden);
    pass_settle(p, GPTOSS_STAGE_ATTENTION_RESIDUAL, w->hidden, c->hidden);
}

void layer_attention(const pass *p, const layer_weights *layer, bool sliding)
{
    attention_shape shape = shape_of(p->config, sliding);
    norm_attention(p, layer);
    project(p, layer, true, true);
    store(p, &shape);
    attend(p, layer, &shape);
}

void layer_store(const pass *p, const layer_weights *layer, bool sliding)
{
    attention_shape shape = shape_of(p->config, sliding);
    norm_attention(p, layer);
    project(p, layer, false, true);
    store(p, &shape);
}

void layer_attend(const pass *p, const layer_weights *layer, bool sliding)
{
    attention_shape shape = shape_of(p->config, sliding);
    project(p, layer, true, false);
    attend(p, layer, &shape);
}

/* The experts of the normed rows, how much each counts, and their places. */
static void route(const pass *p, const layer_weights *layer)
{
    const gptoss_config *c = p->config;
    workspace *w = p->space;

    linear_map map = {&layer->router, layer->router_bias, w->router_logits};
    float_linear(p, &map, 1, w->normed, c->experts);
    pass_settle(p, GPTOSS_STAGE_ROUTER, w->router_logits, c->experts);
    op_choose(p->self, w->router_logits, &w->route);
    pass_settle_experts(p);
    op_assign(p->self, w->router_logits, &w->route);
    pass_settle(p, GPTOSS_STAGE_ROUTING_WEIGHTS, w->route.weight, c->experts_per_token);
}

/* Digits that a precision gives the inputs of MXFP4 weights. */
static unsigned digits_of(gptoss_precision precision)
{
    switch (precision) {
    case GPTOSS_PRECISION_F32:
        break;
    case GPTOSS_PRECISION_BF16:
        return 2;
    case GPTOSS_PRECISION_Q8:
        return 1;
    }
    return 3;
}

/* y[place] = W x + bias, where x is [rows, columns], read by place or, when `by_source`, by the row
 * of the place. MXFP4 weights take it in bfloat16 or fixed point; others, the torch code and BLAS
 * in floats. */
static void grouped_linear(const pass *p, const matrix_stack *stack, number_format bias_format,
                           const uint8_t *bias, const float *x, bool by_source, float *y)
{
    workspace *w = p->space;
    const routing *route = &w->route;
    if (stack->first.format == NUMBER_MXFP4 && p->bfloat) {
        bfloat_rows rows = {x, by_source ? route->source : NULL, stack->first.columns};
        uint16_t *rounded = (uint16_t *)(void *)w->prepared;
        op_bfloat_prepare(p->self, route, rows, rounded);
        pass_lap(p, GPTOSS_OPERATION_QUANTISE);
        op_bfloat_grouped_linear(p->self, route, stack, bias_format, bias, rounded, y, p->scratch);
        return;
    }
    if (stack->first.format == NUMBER_MXFP4 && !p->torch && !p->blas) {
        fixed_rows rows = {x, by_source ? route->source : NULL, stack->first.columns,
                           digits_of(p->precision)};
        op_fixed_prepare(p->self, route, rows, w->prepared);
        pass_lap(p, GPTOSS_OPERATION_QUANTISE);
        op_fixed_grouped_linear(p->self, route, stack, bias_format, bias, w->prepared, rows.digits,
                                y, p->scratch);
        return;
    }
    (p->torch  ? torch_grouped_linear
     : p->blas ? op_blas_grouped_linear
               : op_grouped_linear)(p->self, route, stack, bias_format, bias, x,
                                    by_source ? route->source : NULL, y, product_room(p));
}

/* The experts' outputs from the normed rows, with all stages on the way. */
static void staged_experts(const pass *p, const layer_weights *layer)
{
    const gptoss_config *c = p->config;
    workspace *w = p->space;

    grouped_linear(p, &layer->gate_up, layer->gate_up_bias_format, layer->gate_up_bias, w->normed,
                   true, w->expert_h);
    pass_settle(p, GPTOSS_STAGE_GATE_UP, w->expert_h, 2 * (size_t)c->intermediate);
    (p->torch ? torch_swiglu : op_swiglu)(p->self, w->expert_h, p->rows * c->experts_per_token,
                                          c->intermediate, c->swiglu_alpha, c->swiglu_limit,
                                          w->expert_z);
    pass_settle(p, GPTOSS_STAGE_ACTIVATED, w->expert_z, c->intermediate);
    grouped_linear(p, &layer->down, layer->down_bias_format, layer->down_bias, w->expert_z, false,
                   w->expert_out);
}

/* Whether gated_experts can stand for staged_experts: in bfloat16 or fixed point, and when nobody
 * looks at the stages. One row's fit in the caches anyway. */
static bool may_gate(const pass *p, const layer_weights *layer)
{
    return !p->torch && !p->blas && p->tap == NULL && p->rows > 1 &&
           layer->gate_up.first.format == NUMBER_MXFP4 && layer->down.first.format == NUMBER_MXFP4;
}

static void gated_in_bfloat(const pass *p, const layer_weights *layer, swiglu_shape shape)
{
    workspace *w = p->space;
    bfloat_rows rows = {w->normed, w->route.source, p->config->hidden};
    uint16_t *x = (uint16_t *)(void *)w->prepared;
    uint16_t *z = (uint16_t *)(void *)w->expert_z;

    op_bfloat_prepare(p->self, &w->route, rows, x);
    pass_lap(p, GPTOSS_OPERATION_QUANTISE);
    op_bfloat_gated(p->self, &w->route, &layer->gate_up, layer->gate_up_bias_format,
                    layer->gate_up_bias, x, shape, z, p->scratch);
    pass_lap(p, GPTOSS_OPERATION_GATE_UP);
    op_bfloat_grouped_linear(p->self, &w->route, &layer->down, layer->down_bias_format,
                             layer->down_bias, z, w->expert_out, p->scratch);
}

static void gated_in_fixed(const pass *p, const layer_weights *layer, swiglu_shape shape)
{
    workspace *w = p->space;
    fixed_rows rows = {w->normed, w->route.source, p->config->hidden, digits_of(p->precision)};
    uint8_t *z = (uint8_t *)w->expert_z;

    op_fixed_prepare(p->self, &w->route, rows, w->prepared);
    pass_lap(p, GPTOSS_OPERATION_QUANTISE);
    op_fixed_gated(p->self, &w->route, &layer->gate_up, layer->gate_up_bias_format,
                   layer->gate_up_bias, w->prepared, rows.digits, shape, z, p->scratch);
    pass_lap(p, GPTOSS_OPERATION_GATE_UP);
    op_fixed_grouped_linear(p->self, &w->route, &layer->down, layer->down_bias_format,
                            layer->down_bias, z, rows.digits, w->expert_out, p->scratch);
}

/* The same, each part of the activations while it is near. Their time counts as the product's. */
static void gated_experts(const pass *p, const layer_weights *layer)
{
    swiglu_shape shape = {p->config->swiglu_alpha, p->config->swiglu_limit};
    (p->bfloat ? gated_in_bfloat : gated_in_fixed)(p, layer, shape);
}

void layer_experts(const pass *p, const layer_weights *layer)
{
    const gptoss_config *c = p->config;
    workspace *w = p->space;

    op_rms_norm(p->self, w->hidden, layer->mlp_norm, p->rows, c->hidden, c->norm_eps, w->normed,
                p->alarm);
    pass_settle(p, GPTOSS_STAGE_MLP_NORM, w->normed, c->hidden);
    route(p, layer);
    (may_gate(p, layer) ? gated_experts : staged_experts)(p, layer);
    pass_settle(p, GPTOSS_STAGE_EXPERT_OUT, w->expert_out, c->hidden);
    op_combine(p->self, &w->route, w->expert_out, c->hidden, w->block_out);
    pass_settle(p, GPTOSS_STAGE_COMBINED, w->block_out, c->hidden);
    op_add(p->self, w->block_out, p->rows * c->hidden, w->hidden);
    pass_settle(p, GPTOSS_STAGE_RESIDUAL, w->hidden, c->hidden);
}
