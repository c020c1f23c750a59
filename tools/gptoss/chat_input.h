/* What the user has to say. */
#ifndef GPTOSS_TOOL_CHAT_INPUT_H
#define GPTOSS_TOOL_CHAT_INPUT_H

#include "line_input.h"

/*
 * Reads a message: a line, which goes on in the next one after a backslash at its end, or all that
 * stands between """ and """, whose lines are taken as they are. `quoted` may be NULL; *quoted
 * becomes true for what is no command whatever it begins with: text in """ or of several lines.
 * With LINE_READ, *out is the caller's to free.
 */
line_result chat_input_read(line_input *in, const char *prompt, input_text *out, bool *quoted);

#endif
