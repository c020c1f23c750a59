/*
 * A conversation that grows and shrinks:
 *
 *     system, developer | user, analysis, final | user, analysis, call, tool, final | ...
 *     the head          | a turn                | another
 *
 * A turn is a message of the user's and what follows it. The head is never dropped or undone.
 */
#ifndef GPTOSS_TOOL_CHAT_CONVERSATION_H
#define GPTOSS_TOOL_CHAT_CONVERSATION_H

#include "gptoss.h"

/* Starts zeroed. The messages are copies of its own. */
typedef struct conversation {
    gptoss_message *messages; /* [count], as gptoss_render takes them */
    void **owned;             /* [count] the memory of each */
    size_t count;
    size_t room;
} conversation;

void conversation_free(conversation *of);

void conversation_add(conversation *to, const gptoss_message *message);

/* Adds a message of one text; `name`, `recipient` and `channel` may be none. */
void conversation_add_text(conversation *to, gptoss_role role, gptoss_text name,
                           gptoss_text recipient, gptoss_text channel, gptoss_text text);

/* Puts a message before the one at `index`, or in its place. */
void conversation_insert(conversation *into, size_t index, const gptoss_message *message);
void conversation_replace(conversation *in, size_t index, const gptoss_message *message);

/* Forgets the messages from `index` on. */
void conversation_cut(conversation *of, size_t index);

/* Moves the messages from `index` on to the end of another conversation. */
void conversation_move(conversation *from, size_t index, conversation *to);

/* Adds to the text of the last message, which has one content, a text. */
void conversation_extend(conversation *of, gptoss_text text);

/* How many messages the head has. */
size_t conversation_head(const conversation *of);

/* How many turns there are. */
size_t conversation_turns(const conversation *of);

/* The message with which the last turn begins; the count when there is none. */
size_t conversation_last_turn(const conversation *of);

/* Forgets the oldest turn, and what stands between it and the head, unless it is the only one.
 * Returns the number of messages that are gone. */
size_t conversation_drop_oldest(conversation *of);

/* What a message is to the person at the terminal. */
typedef enum message_part {
    PART_ANSWER, /* in the channel final, or in none */
    PART_THINKING,
    PART_COMMENTARY, /* in any other channel */
    PART_CALL,       /* of a tool */
} message_part;

message_part message_part_of(const gptoss_message *message);

/* Whether the text is this one; false for none. */
bool message_text_is(gptoss_text text, const char *expected);

#endif
