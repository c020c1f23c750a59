#include "model/tally.h"

#include "model/forward.h"
#include "model/sketch.h"

/* A matrix that multiplies `rows` rows. */
static void add_product(const matrix *factor, size_t rows, uint64_t *bytes, uint64_t *flops)
{
    *bytes += matrix_bytes(factor);
    *flops += 2 * (uint64_t)rows * factor->rows * factor->columns;
}

static void tally_experts(gptoss_statistics *total, const layer_weights *layer,
                          const routing *route)
{
    uint64_t read = 0;
    for (size_t expert = 0; expert < route->experts; expert++)
        read += route->start[expert + 1] > route->start[expert] ? 1 : 0;
    const matrix *up = &layer->gate_up.first;
    const matrix *down = &layer->down.first;
    uint64_t bytes = matrix_bytes(up) + number_bytes(layer->gate_up_bias_format, up->rows) +
                     matrix_bytes(down) + number_bytes(layer->down_bias_format, down->rows);
    total->experts += read;
    total->bytes_experts += read * bytes;
    total->flops_experts += 2 * (uint64_t)route->rows * route->top *
                            (up->rows * up->columns + down->rows * down->columns);
}

static uint64_t rounded_bytes(const rounded_layer *rounded)
{
    enum { PARTS = 4 };
    const q8_matrix *dense[PARTS] = {&rounded->q, &rounded->k, &rounded->v, &rounded->out};
    uint64_t bytes = 0;
    for (size_t i = 0; i < PARTS; i++)
        bytes += q8_bytes(dense[i]->rows, dense[i]->columns);
    return bytes;
}

void tally_layer(gptoss_statistics *total, const gptoss_config *config, const layer_weights *layer,
                 const rounded_layer *rounded, const routing *route)
{
    uint64_t bytes_dense = total->bytes_dense;
    enum { PARTS = 5 };
    const matrix *dense[PARTS] = {&layer->q, &layer->k, &layer->v, &layer->out, &layer->router};
    for (size_t i = 0; i < PARTS; i++)
        add_product(dense[i], route->rows, &total->bytes_dense, &total->flops_dense);
    if (rounded != NULL)
        total->bytes_dense = bytes_dense + matrix_bytes(&layer->router) + rounded_bytes(rounded);
    uint64_t floats = 2 * (uint64_t)config->hidden + config->heads + config->experts;
    if (layer->q_bias != NULL)
        floats += layer->q.rows + layer->k.rows + layer->v.rows + layer->out.rows;
    total->bytes_dense += floats * sizeof(float); /* norms, sinks, biases: decoded copies */
    tally_experts(total, layer, route);
}

/* Keys that position `p` of a layer sees. */
static uint64_t visible(const gptoss_config *config, bool sliding, uint32_t position)
{
    uint64_t keys = position + 1U;
    return sliding && keys > config->window ? config->window : keys;
}

void tally_rows(gptoss_statistics *total, const gptoss_config *config, const weights *bound,
                const forward_row *rows, size_t count)
{
    uint64_t layers[2] = {0}; /* full and sliding */
    uint64_t seen[2] = {0};   /* by all rows */
    for (uint32_t layer = 0; layer < config->layers; layer++)
        layers[config->sliding[layer]]++;
    for (size_t row = 0; row < count; row++) {
        const kv_cache *cache = rows[row].cache;
        uint64_t bytes = kv_cache_position_bytes(config, cache->format);
        bool first = rows[row].position == cache->length; /* later rows see the same keys */
        for (int sliding = 0; sliding < 2; sliding++) {
            uint64_t keys = visible(config, sliding != 0, rows[row].position);
            seen[sliding] += keys;
            total->bytes_cache += bytes * layers[sliding] * (first ? keys : 1);
        }
    }
    uint64_t per_key = 4 * (uint64_t)config->heads * config->head_dim;
    total->flops_attention += per_key * (layers[0] * seen[0] + layers[1] * seen[1]);
    total->bytes_dense += count * number_bytes(bound->embedding.format, config->hidden);
    total->bytes_dense += config->hidden * sizeof(float);
    total->passes++;
    total->rows += count;
}

void tally_unembedding(gptoss_statistics *total, const matrix *unembedding, size_t rows)
{
    add_product(unembedding, rows, &total->bytes_unembedding, &total->flops_unembedding);
    total->logit_rows += rows;
}

void tally_search(gptoss_statistics *total, const matrix *unembedding, const row_reads *read)
{
    uint64_t rows = read->high + read->low + read->exact;
    total->bytes_unembedding +=
        (read->high + read->low) * model_sketch_first_bytes(1, unembedding->columns) +
        read->exact * (matrix_bytes(unembedding) / unembedding->rows);
    total->flops_unembedding += 2 * rows * unembedding->columns;
}
