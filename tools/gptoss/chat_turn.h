/* One run of the model over a conversation. */
#ifndef GPTOSS_TOOL_CHAT_TURN_H
#define GPTOSS_TOOL_CHAT_TURN_H

#include "chat.h"

/* A conversation as tokens. */
typedef struct chat_prompt {
    uint32_t *ids; /* free() it */
    size_t count;
    size_t turn; /* where the last turn begins; 0: not known */
} chat_prompt;

/* The prompt for the next message, or with `open` for more of the last one. */
gptoss_status chat_prompt_make(const gptoss_tokenizer *tokenizer, const conversation *talk,
                               bool open, chat_prompt *out, gptoss_error *error);

/*
 * Feeds what of the prompt is not in the cache and generates at most `most` tokens, which are shown
 * and become messages of the conversation; with `open`, the first goes on with the last one that is
 * there. Fills in of->last, but for what was dropped.
 */
gptoss_status chat_turn_run(chat *of, const chat_prompt *prompt, bool open, uint32_t most,
                            gptoss_error *error);

#endif
