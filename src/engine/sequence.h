/* One timeline of tokens. */
#ifndef ENGINE_SEQUENCE_H
#define ENGINE_SEQUENCE_H

#include "model/kv_cache.h"
#include "model/model.h"

struct gptoss_sequence {
    const gptoss_model *model;
    kv_cache cache;
    uint32_t pending; /* rows of the batch being checked; 0 between calls */
};

#endif
