#include "model/kv_mark.h"

#include <stdlib.h>

#include "base/memory.h"

size_t kv_mark_bytes(const gptoss_config *config, gptoss_sequence_options options)
{
    uint32_t most = config->window - 1 < options.context ? config->window - 1 : options.context;
    size_t layers = 0;
    for (uint32_t layer = 0; layer < config->layers; layer++)
        layers += config->sliding[layer] ? 1 : 0;
    return layers * most * kv_cache_position_bytes(config, options.cache);
}

gptoss_status kv_mark_take(kv_mark *mark, const kv_cache *cache, const gptoss_config *config,
                           uint32_t length, gptoss_error *error)
{
    gptoss_sequence_options options = {.context = cache->context, .cache = cache->format};
    size_t bytes = kv_mark_bytes(config, options);
    if (mark->windows == NULL)
        mark->windows = memory_allocate(bytes > 0 ? bytes : 1);
    if (mark->windows == NULL)
        return fail_memory(error, "a mark in a sequence", bytes);
    mark->length = length;
    uint8_t *next = mark->windows;
    size_t step = kv_cache_position_bytes(config, cache->format);
    for (uint32_t layer = 0; layer < config->layers; layer++)
        for (uint32_t p = kv_cache_window(config, mark->length);
             p < mark->length && config->sliding[layer]; p++, next += step)
            kv_take(&cache->views[layer], config->kv_heads, config->head_dim, p, next,
                    next + step / 2);
    return GPTOSS_OK;
}

void kv_mark_restore(const kv_mark *mark, kv_cache *cache, const gptoss_config *config)
{
    const uint8_t *next = mark->windows;
    size_t step = kv_cache_position_bytes(config, cache->format);
    cache->length = mark->length;
    cache->oldest = kv_cache_window(config, mark->length);
    for (uint32_t layer = 0; layer < config->layers; layer++)
        for (uint32_t p = cache->oldest; p < mark->length && config->sliding[layer];
             p++, next += step)
            kv_return(&cache->views[layer], config->kv_heads, config->head_dim, p, next,
                      next + step / 2);
}

const uint8_t *kv_mark_at(const kv_mark *mark, const kv_cache *cache, const gptoss_config *config,
                          uint32_t layer, uint32_t position)
{
    uint32_t begin = kv_cache_window(config, mark->length);
    size_t row = position - begin;
    for (uint32_t i = 0; i < layer; i++)
        row += config->sliding[i] ? mark->length - begin : 0;
    return mark->windows + row * kv_cache_position_bytes(config, cache->format);
}

void kv_mark_free(kv_mark *mark)
{
    free(mark->windows);
    *mark = (kv_mark){0};
}
