/* The system and the developer message with which a conversation begins. */
#ifndef GPTOSS_TOOL_CHAT_HEAD_H
#define GPTOSS_TOOL_CHAT_HEAD_H

#include "chat_conversation.h"
#include "command.h"

/* Reads the functions of --tools; *out stays NULL without. Returns the exit status. */
int chat_head_read_tools(const options *given, gptoss_tool_list **out);

/* Whether --date is a date, "today" or "none"; returns the exit status. */
int chat_head_check(const options *given);

/*
 * Puts what the flags say into the head: --system, --date and --reasoning into the system message,
 * --developer and --tools into the developer message. What was not given stays, and is the default
 * when the conversation is empty.
 */
void chat_head_apply(conversation *talk, const options *given, const gptoss_tool_list *tools);

/* The reasoning effort that the system message tells. */
gptoss_effort chat_head_effort(const conversation *talk);
void chat_head_set_effort(conversation *talk, gptoss_effort effort);

/* "low", "medium" or "high", and the effort of such a name; false for others. */
const char *chat_effort_name(gptoss_effort effort);
bool chat_effort_find(const char *name, gptoss_effort *out);

#endif
