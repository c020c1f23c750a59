/* Room in the context: for a conversation that has outgrown it. */
#ifndef GPTOSS_TOOL_CHAT_ROOM_H
#define GPTOSS_TOOL_CHAT_ROOM_H

#include "chat_turn.h"

typedef enum chat_room {
    ROOM_FOUND,
    ROOM_REFUSED, /* a sentence has said why */
    ROOM_FAILED,  /* *error has */
} chat_room;

/*
 * Makes the prompt and sees to it that the context has room for it and for an answer of up to
 * `most` tokens, or for what it is reasonable to ask for: by dropping the oldest turns, when
 * --context-full or the user says so, or has said so (`drop`). *out is the caller's to free with
 * ROOM_FOUND.
 */
chat_room chat_room_make(chat *of, bool open, bool drop, uint32_t most, chat_prompt *out,
                         gptoss_error *error);

/* Whether to drop turns and go on with an answer that has filled the context. */
bool chat_room_go_on(chat *of);

#endif
