/* Keys and values of one sequence. */
#ifndef MODEL_KV_CACHE_H
#define MODEL_KV_CACHE_H

#include "base/status.h"
#include "op/kv_view.h"

/*
 * Full layers have a slot for every position of the context; sliding layers a ring that holds the
 * window of the first row of a chunk together with the chunk:
 *
 *     | window - 1 earlier positions | chunk rows |      rounded up to attention blocks
 */
typedef struct kv_cache {
    uint32_t context; /* most positions */
    uint32_t chunk;   /* most rows stored before the oldest is needed no more */
    uint32_t length;  /* positions that hold a token */
    uint32_t oldest;  /* rings hold the positions [oldest, length) */
    uint32_t ring;    /* slots of every ring; 0 when no layer is sliding */
    uint32_t layers;
    gptoss_cache_format format;
    kv_view *views; /* [layers] */
    void *memory;   /* all of them */
    size_t bytes;   /* reserved */
} kv_cache;

/* The options with defaults in place of zeros; all of them when `options` is NULL. */
gptoss_sequence_options kv_cache_options(const gptoss_config *config,
                                         const gptoss_sequence_options *options);

/* Bytes of the cache when it is full. */
uint64_t kv_cache_bytes(const gptoss_config *config, gptoss_sequence_options options);

/* Reserves the whole cache; its memory is taken as it fills. */
gptoss_status kv_cache_init(kv_cache *out, const gptoss_config *config,
                            gptoss_sequence_options options, gptoss_error *error);

/* Accepts a zeroed object. */
void kv_cache_free(kv_cache *cache);

/* Forgets all positions and gives their memory back. */
void kv_cache_clear(kv_cache *cache);

/* The first position that sliding layers look at from position `length`. */
uint32_t kv_cache_window(const gptoss_config *config, uint32_t length);

/* Whether the positions before `length` that the next ones will look at are still in all rings. */
bool kv_cache_holds(const kv_cache *cache, const gptoss_config *config, uint32_t length);

/* Forgets the positions from `length` on, which the rings hold. */
void kv_cache_truncate(kv_cache *cache, uint32_t length);

/* Positions up to `end` are about to be stored: the rings lose those whose slots they take. */
void kv_cache_expect(kv_cache *cache, uint32_t end);

/* Bytes of the keys and values of one position in one layer, without padding. */
size_t kv_cache_position_bytes(const gptoss_config *config, gptoss_cache_format format);

#endif
