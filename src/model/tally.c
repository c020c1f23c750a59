#include "model/tally.h"

#include "base/clock.h"
#include "model/forward.h"
#include "model/sketch.h"

void tally_time(gptoss_statistics *total, gptoss_operation operation, uint64_t *lap)
{
    uint64_t now = clock_now();
    total->work[operation].nanoseconds += now - *lap;
    *lap = now;
}

/* A matrix that multiplies `rows` rows. */
static void add_product(const matrix *factor, size_t rows, gptoss_work *of)
{
    of->bytes += matrix_bytes(factor);
    of->flops += 2 * (uint64_t)rows * factor->rows * factor->columns;
}

static void add_experts(const matrix *one, number_format bias_format, size_t read,
                        const routing *route, gptoss_work *of)
{
    of->bytes += read * (matrix_bytes(one) + number_bytes(bias_format, one->rows));
    of->flops += 2 * (uint64_t)route->rows * route->top * one->rows * one->columns;
}

static void tally_experts(gptoss_statistics *total, const layer_weights *layer,
                          const routing *route)
{
    uint64_t read = 0;
    for (size_t expert = 0; expert < route->experts; expert++)
        read += route->start[expert + 1] > route->start[expert] ? 1 : 0;
    total->experts += read;
    add_experts(&layer->gate_up.first, layer->gate_up_bias_format, read, route,
                &total->work[GPTOSS_OPERATION_GATE_UP]);
    add_experts(&layer->down.first, layer->down_bias_format, read, route,
                &total->work[GPTOSS_OPERATION_DOWN]);
}

/* A matrix of the attention with its bias, taken in 8 bits if there is such a copy. */
static void add_projection(const matrix *factor, const float *bias, const q8_matrix *rounded,
                           size_t rows, gptoss_work *of)
{
    uint64_t bytes = of->bytes;
    add_product(factor, rows, of);
    if (rounded != NULL)
        of->bytes = bytes + q8_bytes(rounded->rows, rounded->columns);
    if (bias != NULL)
        of->bytes += factor->rows * sizeof *bias;
}

void tally_layer(gptoss_statistics *total, const gptoss_config *config, const layer_weights *layer,
                 const rounded_layer *rounded, size_t rows, const routing *route)
{
    gptoss_work *work = total->work;
    gptoss_work *qkv = &work[GPTOSS_OPERATION_QKV];
    add_projection(&layer->k, layer->k_bias, rounded == NULL ? NULL : &rounded->k, rows, qkv);
    add_projection(&layer->v, layer->v_bias, rounded == NULL ? NULL : &rounded->v, rows, qkv);
    work[GPTOSS_OPERATION_NORM].bytes += config->hidden * sizeof(float);
    rows = route->rows;
    if (rows == 0)
        return;
    add_projection(&layer->q, layer->q_bias, rounded == NULL ? NULL : &rounded->q, rows, qkv);
    add_projection(&layer->out, layer->out_bias, rounded == NULL ? NULL : &rounded->out, rows,
                   &work[GPTOSS_OPERATION_ATTENTION_OUT]);
    add_projection(&layer->router, layer->router_bias, NULL, rows, &work[GPTOSS_OPERATION_ROUTER]);
    qkv->bytes += config->heads * sizeof *layer->sinks;
    work[GPTOSS_OPERATION_NORM].bytes += config->hidden * sizeof(float);
    tally_experts(total, layer, route);
}

/* Keys that position `p` of a layer sees. */
static uint64_t visible(const gptoss_config *config, bool sliding, uint32_t position)
{
    uint64_t keys = position + 1U;
    return sliding && keys > config->window ? config->window : keys;
}

/* Attention of `layers` layers of either kind, full and sliding: of all rows, or of those that want
 * logits. The later rows of a cache see the keys of its first one and one more each. */
static void add_attention(const gptoss_config *config, const forward_row *rows, size_t count,
                          bool all, const uint64_t layers[2], gptoss_work *of)
{
    const kv_cache *seen = NULL;
    for (size_t row = 0; row < count; row++) {
        const kv_cache *cache = rows[row].cache;
        if (!all && !rows[row].want_logits)
            continue;
        uint64_t bytes = kv_cache_position_bytes(config, cache->format);
        bool first = all ? rows[row].position == cache->length : cache != seen;
        seen = cache;
        for (int sliding = 0; sliding < 2; sliding++) {
            uint64_t keys = visible(config, sliding != 0, rows[row].position);
            of->bytes += bytes * layers[sliding] * (first ? keys : 1);
            of->flops += 4 * (uint64_t)config->heads * config->head_dim * layers[sliding] * keys;
        }
    }
}

void tally_rows(gptoss_statistics *total, const gptoss_config *config, const weights *bound,
                const forward_row *rows, size_t count, bool all)
{
    gptoss_work *work = total->work;
    uint64_t layers[2] = {0}; /* but for the last one */
    uint64_t last[2] = {0};
    for (uint32_t layer = 0; layer + 1 < config->layers; layer++)
        layers[config->sliding[layer]]++;
    last[config->sliding[config->layers - 1]]++;
    add_attention(config, rows, count, true, layers, &work[GPTOSS_OPERATION_ATTENTION]);
    add_attention(config, rows, count, all, last, &work[GPTOSS_OPERATION_ATTENTION]);
    work[GPTOSS_OPERATION_EMBEDDING].bytes +=
        count * number_bytes(bound->embedding.format, config->hidden);
    work[GPTOSS_OPERATION_NORM].bytes += config->hidden * sizeof(float);
    total->passes++;
    total->rows += count;
}

void tally_unembedding(gptoss_statistics *total, const matrix *unembedding, size_t rows)
{
    add_product(unembedding, rows, &total->work[GPTOSS_OPERATION_UNEMBEDDING]);
    total->logit_rows += rows;
}

void tally_search(gptoss_statistics *total, const matrix *unembedding, const row_reads *read)
{
    gptoss_work *work = &total->work[GPTOSS_OPERATION_UNEMBEDDING];
    uint64_t rows = read->high + read->low + read->exact;
    work->bytes += (read->high + read->low) * model_sketch_first_bytes(1, unembedding->columns) +
                   read->exact * (matrix_bytes(unembedding) / unembedding->rows);
    work->flops += 2 * rows * unembedding->columns;
}
