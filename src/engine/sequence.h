/* One timeline of tokens. */
#ifndef ENGINE_SEQUENCE_H
#define ENGINE_SEQUENCE_H

#include "model/kv_cache.h"
#include "model/kv_mark.h"
#include "model/model.h"

struct gptoss_sequence {
    const gptoss_model *model;
    kv_cache cache;
    uint32_t *tokens;                /* [context] what was fed; reserved as the cache is */
    kv_mark marks[GPTOSS_MAX_MARKS]; /* [mark_count] in ascending order, none beyond the length */
    uint32_t mark_count;
    uint32_t pending; /* rows of the batch being checked; 0 between calls */
};

#endif
