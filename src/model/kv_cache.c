#include "model/kv_cache.h"

#include <stdlib.h>

#include "base/memory.h"
#include "kernel/attend.h"

/* Slots of one layer's ring; never more than the context needs. */
static uint64_t layer_slots(const gptoss_config *config, uint32_t layer,
                            gptoss_sequence_options options)
{
    uint64_t slots = options.context;
    uint64_t ring = (uint64_t)config->window - 1 + options.chunk;
    if (config->sliding[layer] && ring < slots)
        slots = ring;
    return (slots + KERNEL_ATTEND_KEYS - 1) / KERNEL_ATTEND_KEYS * KERNEL_ATTEND_KEYS;
}

static number_format format_of(gptoss_sequence_options options)
{
    return options.cache == GPTOSS_CACHE_BF16 ? NUMBER_BF16 : NUMBER_F32;
}

static uint64_t key_bytes(const gptoss_config *config, gptoss_sequence_options options,
                          uint64_t slots)
{
    return kv_key_bytes(format_of(options), slots * config->kv_heads, config->head_dim);
}

static uint64_t value_bytes(const gptoss_config *config, gptoss_sequence_options options,
                            uint64_t slots)
{
    return kv_value_bytes(format_of(options), slots * config->kv_heads, config->head_dim);
}

gptoss_sequence_options kv_cache_options(const gptoss_config *config,
                                         const gptoss_sequence_options *options)
{
    gptoss_sequence_options full = {0};
    if (options != NULL)
        full = *options;
    full.context = full.context == 0 ? config->context : full.context;
    full.chunk = full.chunk == 0 ? GPTOSS_DEFAULT_CHUNK : full.chunk;
    return full;
}

uint64_t kv_cache_bytes(const gptoss_config *config, gptoss_sequence_options options)
{
    uint64_t slots = 0;
    for (uint32_t layer = 0; layer < config->layers; layer++)
        slots += layer_slots(config, layer, options);
    return key_bytes(config, options, slots) + value_bytes(config, options, slots);
}

gptoss_status kv_cache_init(kv_cache *out, const gptoss_config *config,
                            gptoss_sequence_options options, gptoss_error *error)
{
    *out = (kv_cache){.context = options.context,
                      .chunk = options.chunk,
                      .layers = config->layers,
                      .format = options.cache};
    uint64_t bytes = kv_cache_bytes(config, options);
    out->views = calloc(config->layers, sizeof *out->views);
    if (out->views == NULL)
        return fail_memory(error, "the cache's directory", config->layers * sizeof *out->views);
    void *memory;
    gptoss_status status = memory_reserve(bytes, "the cache of keys and values", &memory, error);
    if (status != GPTOSS_OK) {
        kv_cache_free(out);
        return status;
    }
    out->memory = memory;
    out->bytes = bytes;
    uint8_t *next = out->memory;
    for (uint32_t layer = 0; layer < config->layers; layer++) {
        uint64_t slots = layer_slots(config, layer, options);
        uint8_t *values = next + key_bytes(config, options, slots);
        out->views[layer] = (kv_view){next, values, slots, format_of(options)};
        out->ring = config->sliding[layer] ? (uint32_t)slots : out->ring;
        next = values + value_bytes(config, options, slots);
    }
    return GPTOSS_OK;
}

void kv_cache_free(kv_cache *cache)
{
    if (cache->memory != NULL)
        memory_release(cache->memory, cache->bytes);
    free(cache->views);
    *cache = (kv_cache){0};
}

void kv_cache_clear(kv_cache *cache)
{
    memory_discard(cache->memory, cache->bytes);
    cache->length = 0;
    cache->oldest = 0;
}

uint32_t kv_cache_window(const gptoss_config *config, uint32_t length)
{
    return length >= config->window ? length + 1 - config->window : 0;
}

bool kv_cache_holds(const kv_cache *cache, const gptoss_config *config, uint32_t length)
{
    return length == 0 || kv_cache_window(config, length) >= cache->oldest;
}

void kv_cache_truncate(kv_cache *cache, uint32_t length)
{
    cache->length = length;
    if (length == 0)
        cache->oldest = 0;
}

void kv_cache_expect(kv_cache *cache, uint32_t end)
{
    if (cache->ring > 0 && end > cache->ring && end - cache->ring > cache->oldest)
        cache->oldest = end - cache->ring;
}

size_t kv_cache_position_bytes(const gptoss_config *config, gptoss_cache_format format)
{
    number_format numbers = format_of((gptoss_sequence_options){.cache = format});
    return number_bytes(numbers, (size_t)2 * config->kv_heads * config->head_dim);
}
