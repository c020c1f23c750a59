#include "model/layer.h"

void layer_attention(const pass *p, const layer_weights *layer, bool sliding)
{
    const gptoss_config *c = p->config;
    workspace *w = p->space;
    size_t q_dim = (size_t)c->heads * c->head_dim;
    size_t kv_dim = (size_t)c->kv_heads * c->head_dim;
    size_t stride = q_dim + 2 * kv_dim;
    float *q = w->qkv; /* each row holds q, k and v one after another */
    float *k = w->qkv + q_dim;
    float *v = w->qkv + q_dim + kv_dim;
    attention_shape shape = {c->heads, c->kv_heads, c->head_dim, sliding ? c->window : SIZE_MAX};

    op_rms_norm(p->self, w->hidden, layer->attention_norm, p->rows, c->hidden, c->norm_eps,
                w->normed, p->alarm);
    op_linear(p->self, &layer->q, layer->q_bias, w->normed, p->rows, q, stride, p->scratch);
    op_linear(p->self, &layer->k, layer->k_bias, w->normed, p->rows, k, stride, p->scratch);
    op_linear(p->self, &layer->v, layer->v_bias, w->normed, p->rows, v, stride, p->scratch);
    op_rotate(p->self, w->cosine, w->sine, p->rows, (size_t)c->heads + c->kv_heads, c->head_dim / 2,
              q, stride);
    op_store_kv(p->self, &shape, w->views, w->positions, k, v, stride, p->rows);
    op_attention(p->self, &shape, w->views, w->positions, q, stride, layer->sinks, p->rows,
                 w->attended, p->scratch);
    op_linear(p->self, &layer->out, layer->out_bias, w->attended, p->rows, w->block_out, c->hidden,
              p->scratch);
    op_add(p->self, w->block_out, p->rows * c->hidden, w->hidden);
}

void layer_experts(const pass *p, const layer_weights *layer)
{
    const gptoss_config *c = p->config;
    workspace *w = p->space;
    routing *route = &w->route;

    op_rms_norm(p->self, w->hidden, layer->mlp_norm, p->rows, c->hidden, c->norm_eps, w->normed,
                p->alarm);
    op_linear(p->self, &layer->router, layer->router_bias, w->normed, p->rows, w->router_logits,
              c->experts, p->scratch);
    op_route(p->self, w->router_logits, route);
    op_gather(p->self, route, w->normed, c->hidden, w->expert_in);
    op_grouped_linear(p->self, route, &layer->gate_up, layer->gate_up_bias_format,
                      layer->gate_up_bias, w->expert_in, w->expert_h, p->scratch);
    op_swiglu(p->self, w->expert_h, p->rows * c->experts_per_token, c->intermediate,
              c->swiglu_alpha, c->swiglu_limit, w->expert_z);
    op_grouped_linear(p->self, route, &layer->down, layer->down_bias_format, layer->down_bias,
                      w->expert_z, w->expert_out, p->scratch);
    op_combine(p->self, route, w->expert_out, c->hidden, w->block_out);
    op_add(p->self, w->block_out, p->rows * c->hidden, w->hidden);
}
