/* What an executor is made of, for the files of the engine that drive it. */
#ifndef ENGINE_EXECUTOR_H
#define ENGINE_EXECUTOR_H

#include "engine/sequence.h"
#include "model/forward.h"

struct gptoss_executor {
    const gptoss_model *model;
    uint32_t chunk;
    forward_options options;
    uint16_t *processors; /* [threads] when they are pinned */
    workspace space;
    token_search search;      /* of a model with a sketch; else zeroed */
    forward_row *rows;        /* [chunk] the batch being run */
    gptoss_row *fed;          /* [chunk] the batch that gptoss_executor_feed makes */
    uint64_t chosen;          /* tokens that gptoss_executor_feed_choose chose, */
    uint64_t chosen_from_all; /* and those of them for which all logits were computed */
};

#endif
