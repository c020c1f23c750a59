/* What can be typed to the chat instead of to the model. */
#ifndef GPTOSS_TOOL_CHAT_COMMANDS_H
#define GPTOSS_TOOL_CHAT_COMMANDS_H

#include "chat.h"

/*
 * Runs a line that begins with a slash. *quit becomes true when the chat is to end. Returns an exit
 * status: that of a command that failed is told to who wrote it in a file.
 */
int chat_command_run(chat *of, const char *line, bool *quit);

/* What the tabulator completes. */
const line_guide *chat_command_guide(void);

#endif
