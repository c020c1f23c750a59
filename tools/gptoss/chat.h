/*
 * gptoss chat: what its files share.
 *
 *     chat.c               opening, one answer, or a talk line by line
 *     chat_conversation.c  the messages
 *     chat_head.c          the system and the developer message, from flags
 *     chat_input.c         what the user says
 *     chat_answer.c        runs of the model until there is an answer
 *     chat_turn.c          one run: a prompt into the cache, tokens out of it, messages of them
 *     chat_room.c          what happens at the end of the context
 *     chat_show.c          what is seen of it, and where
 *     chat_tool.c          the result of a call
 *     chat_commands.c      /help and the others
 *     chat_file.c          conversations in files
 *     chat_report.c        counts and times, as text and as JSON
 */
#ifndef GPTOSS_TOOL_CHAT_H
#define GPTOSS_TOOL_CHAT_H

#include "chat_conversation.h"
#include "chat_show.h"
#include "command.h"
#include "gptoss.h"
#include "line_input.h"
#include "runtime.h"

/* While an answer is being stopped, the interrupt key may be pressed that often again without
 * ending the program. */
#define CHAT_PRESSES 2

/* Why the model stopped. */
typedef enum chat_stop {
    CHAT_STOP_END,     /* it was done */
    CHAT_STOP_CALL,    /* it wants the result of a tool */
    CHAT_STOP_LENGTH,  /* -n tokens */
    CHAT_STOP_CONTEXT, /* the context is full */
    CHAT_STOP_KEY,     /* the interrupt key */
    CHAT_STOP_ROLE,    /* it began to speak for someone else */
} chat_stop;

/* What one run of the model took. */
typedef struct chat_turn {
    chat_stop stop;
    size_t first;    /* its first message in the conversation; one that is continued counts */
    uint32_t prompt; /* tokens, */
    uint32_t reused; /* those of them that were in the cache */
    uint32_t fed;    /* those that were read, which are the others unless it was stopped before */
    uint32_t generated; /* tokens, those that end messages among them */
    uint32_t thought;   /* those of them that are analysis */
    double prompt_seconds;
    double seconds; /* of generating */
    size_t dropped; /* turns, for lack of room */
    bool outside;   /* it answered without naming a channel */
    bool silent;    /* it said nothing */
} chat_turn;

/* Sums over all runs. */
typedef struct chat_totals {
    uint64_t runs;
    uint64_t reused;
    uint64_t fed;
    uint64_t generated;
    double prompt_seconds;
    double seconds;
} chat_totals;

typedef struct chat {
    const options *given;
    runtime *opened;
    gptoss_tool_list *tools; /* NULL without --tools */
    conversation talk;
    gptoss_sampling sampling;
    line_input *input; /* NULL when there is but one answer to give */
    chat_show show;
    chat_turn last; /* meaningful when totals.runs > 0 */
    chat_totals totals;
    bool told_outside; /* that the model does not follow the format */
    bool complete;     /* the last message is known to be */
    bool changed;      /* the conversation is not that of --session */
} chat;

/* Answers the message of -p or -f with the defaults of gptoss chat, for gptoss generate --chat.
 * Returns the exit status. */
int chat_once(const options *given);

/* "end", "call", "length", "context", "interrupted" or "role". */
const char *chat_stop_name(chat_stop stop);

/* Whether a person types, and sees what is asked on standard error. */
bool chat_has_person(const chat *of);
bool chat_can_ask(const chat *of);

/*
 * The answer to the conversation, with results of calls asked for in between; it is shown and added
 * to the conversation. When nothing came of it because of an error or for lack of room, *refused is
 * true and the conversation unchanged but for turns that were dropped. Returns the exit status.
 */
int chat_answer(chat *of, bool *refused);

/* The same, going on in the last message, unless it is complete. */
int chat_go_on(chat *of, bool *refused);

#endif
