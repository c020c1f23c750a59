/* One prompt and what the model continues it with. */
#ifndef GPTOSS_TOOL_GENERATE_RUN_H
#define GPTOSS_TOOL_GENERATE_RUN_H

#include "generate_record.h"
#include "input.h"
#include "runtime.h"

typedef struct generation {
    const options *given;
    runtime *opened;
    input_ids prompt; /* the caller's */
    uint32_t most;    /* tokens to generate */
    gptoss_sampling sampling;
    size_t mark;   /* tokens of the prompt after which the sequence is marked; 0: nowhere */
    bool streamed; /* text goes to standard output as it comes */
    size_t ids_shown;
    record kept; /* what was generated; without probabilities not what is streamed */
    gptoss_result result;
    size_t reused; /* tokens of the prompt that the sequence had already */
    bool broken;   /* standard output could not be written */
} generation;

/*
 * Feeds what the sequence does not have of the prompt and generates. When the interrupt key ends
 * it, that is GPTOSS_INTERRUPTED while the prompt is fed, and else result.stop tells. Free
 * of->kept with record_free.
 */
gptoss_status generation_run(generation *of, gptoss_error *error);

#endif
