/* The results of the tools that a model calls. */
#ifndef GPTOSS_TOOL_CHAT_TOOL_H
#define GPTOSS_TOOL_CHAT_TOOL_H

#include "chat.h"

/* Asks for the result of the call with which the conversation ends, and adds it. Returns false when
 * none was given. */
bool chat_tool_result(chat *of);

#endif
