/* What a generation produced, kept for the JSON object and the table of probabilities. */
#ifndef GPTOSS_TOOL_GENERATE_RECORD_H
#define GPTOSS_TOOL_GENERATE_RECORD_H

#include "gptoss.h"

typedef struct record {
    gptoss_choice *choices; /* [count] */
    size_t count, room;
    gptoss_choice *tops; /* the alternatives of all tokens one after the other */
    size_t top_count, top_room;
    size_t *top_ends; /* [count]: where each token's alternatives end in tops */
    char *text;
    size_t length, text_room;
    bool with_top; /* the probabilities were asked for */
} record;

/* Starts zeroed but for with_top. */
void record_add(record *kept, const gptoss_generated *token);
void record_free(record *kept);

/* What was generated from which prompt and how; generate_run.h. */
struct generation;

/* Prints the object of generate --json; `id` is JSON that stands in it, or none. */
void record_print_json(const struct generation *of, gptoss_text id);

/* Prints one line for each token on standard error. `tokenizer` may be NULL. */
void record_print_logprobs(const record *kept, const gptoss_tokenizer *tokenizer);

/* Prints counts, times and speeds on standard error. */
void record_print_summary(const struct generation *of);

#endif
