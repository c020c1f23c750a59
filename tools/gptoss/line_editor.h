/* Editing a line at a terminal: the one file that knows libedit. */
#ifndef GPTOSS_TOOL_LINE_EDITOR_H
#define GPTOSS_TOOL_LINE_EDITOR_H

#include <stdio.h>

#include "line_input.h"

typedef struct line_editor line_editor;

/* Edits on standard input and on `screen`, which stays open. NULL where that is not possible: the
 * program was built without libedit, or the terminal cannot move its cursor. */
line_editor *line_editor_open(const line_guide *guide, FILE *screen);
void line_editor_close(line_editor *editor);

/* As line_input_read. */
line_result line_editor_read(line_editor *editor, const char *prompt, input_text *out);

/* Puts a text among those that can be recalled; zeros are not in it. */
void line_editor_remember(line_editor *editor, const char *text, size_t length);

#endif
