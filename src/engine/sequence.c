#include "engine/sequence.h"

#include <stdlib.h>

const char *gptoss_cache_format_name(gptoss_cache_format format)
{
    static const char *const names[] = {"f32", "bf16"};
    return names[format];
}

gptoss_status gptoss_sequence_open(const gptoss_model *model,
                                   const gptoss_sequence_options *options, gptoss_sequence **out,
                                   gptoss_error *error)
{
    const gptoss_config *config = gptoss_model_config(model);
    gptoss_sequence_options wanted = kv_cache_options(config, options);
    *out = NULL;
    if (wanted.context > config->context)
        return fail(error, GPTOSS_LIMIT, "context %u: the model is made for at most %u positions",
                    wanted.context, config->context);
    if (wanted.chunk > GPTOSS_MAX_CHUNK)
        return fail(error, GPTOSS_LIMIT, "a chunk of %u rows: expected at most %d", wanted.chunk,
                    GPTOSS_MAX_CHUNK);
    gptoss_sequence *sequence = calloc(1, sizeof *sequence);
    if (sequence == NULL)
        return fail_memory(error, "a sequence", sizeof *sequence);
    sequence->model = model;
    gptoss_status status = kv_cache_init(&sequence->cache, config, wanted, error);
    if (status != GPTOSS_OK) {
        free(sequence);
        return status;
    }
    *out = sequence;
    return GPTOSS_OK;
}

void gptoss_sequence_close(gptoss_sequence *sequence)
{
    if (sequence == NULL)
        return;
    kv_cache_free(&sequence->cache);
    free(sequence);
}

uint32_t gptoss_sequence_length(const gptoss_sequence *sequence)
{
    return sequence->cache.length;
}

uint32_t gptoss_sequence_context(const gptoss_sequence *sequence)
{
    return sequence->cache.context;
}

gptoss_cache_format gptoss_sequence_cache(const gptoss_sequence *sequence)
{
    return sequence->cache.format;
}

void gptoss_sequence_clear(gptoss_sequence *sequence)
{
    kv_cache_clear(&sequence->cache);
}

gptoss_status gptoss_sequence_rewind(gptoss_sequence *sequence, uint32_t length,
                                     gptoss_error *error)
{
    kv_cache *cache = &sequence->cache;
    if (length > cache->length)
        return fail(error, GPTOSS_USAGE, "cannot go back to position %u of a sequence of %u tokens",
                    length, cache->length);
    if (!kv_cache_holds(cache, gptoss_model_config(sequence->model), length))
        return fail(error, GPTOSS_LIMIT,
                    "cannot go back to position %u: tokens were fed up to %u, and the sliding "
                    "layers keep no more than the last window and chunk of %u",
                    length, cache->written, cache->chunk);
    cache->length = length;
    return GPTOSS_OK;
}
