/* What the rings of a cache hold at one length, kept for coming back to it. */
#ifndef MODEL_KV_MARK_H
#define MODEL_KV_MARK_H

#include "model/kv_cache.h"

typedef struct kv_mark {
    uint32_t length;
    uint8_t *windows; /* [sliding layers, positions, keys and values, kv_heads, head_dim] in the
                         cache's format: the last window - 1 positions before `length` */
} kv_mark;

/* Bytes of a mark with the whole window before it. */
size_t kv_mark_bytes(const gptoss_config *config, gptoss_sequence_options options);

/* Keeps the window before `length`, which the rings hold. A mark that was taken before is taken
 * anew; a zeroed one gets its memory, and without any stays as it is (GPTOSS_MEMORY). */
gptoss_status kv_mark_take(kv_mark *mark, const kv_cache *cache, const gptoss_config *config,
                           uint32_t length, gptoss_error *error);

/* Brings the cache back to the mark. The positions before it in full layers must be the same as
 * when it was taken. */
void kv_mark_restore(const kv_mark *mark, kv_cache *cache, const gptoss_config *config);

/* What it has of a position in a sliding layer: keys [kv_heads, head_dim], then values. */
const uint8_t *kv_mark_at(const kv_mark *mark, const kv_cache *cache, const gptoss_config *config,
                          uint32_t layer, uint32_t position);

/* Accepts a zeroed object. */
void kv_mark_free(kv_mark *mark);

#endif
