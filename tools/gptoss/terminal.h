/*
 * The terminal while no line is read from it: what is typed is kept for the next line and not
 * shown, where it would stand in the midst of an answer.
 */
#ifndef GPTOSS_TOOL_TERMINAL_H
#define GPTOSS_TOOL_TERMINAL_H

#include <stddef.h>

/*
 * From now on keys are not shown. `editor` is where a line editor shows the next line, a
 * descriptor: keys are kept as they come then, pasted text with marks around it; when it is
 * negative, they are kept as lines. Signals that stop or end the program undo it; it is done again
 * when the program goes on. Does nothing where standard input is no terminal, or another program
 * has it.
 */
void terminal_hush(int editor);

/* The terminal as it was before; a signal handler may call it. Returns how many bytes of whole
 * lines were typed unseen, which a terminal that does not show keys never says. */
size_t terminal_show(void);

/* Forgets what was typed and not read. */
void terminal_forget(void);

#endif
