/* Messages with all that they point to in one piece of memory. */
#ifndef GPTOSS_TOOL_MESSAGE_COPY_H
#define GPTOSS_TOOL_MESSAGE_COPY_H

#include "gptoss.h"

/* A copy that depends on nothing else; free() it. Never NULL: the program ends without memory. */
gptoss_message *message_copy(const gptoss_message *message);

#endif
