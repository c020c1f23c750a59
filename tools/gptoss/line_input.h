/*
 * Lines of text that someone types, or that standard input brings. At a terminal they are edited,
 * recalled and completed, if the program was built with an editor and the terminal can do it.
 */
#ifndef GPTOSS_TOOL_LINE_INPUT_H
#define GPTOSS_TOOL_LINE_INPUT_H

#include <stdbool.h>

#include "input.h"

typedef enum line_result {
    LINE_READ,
    LINE_CLEARED, /* the interrupt key was pressed: what had been typed is gone */
    LINE_STOP,    /* it was pressed, and nothing had been typed */
    LINE_END,     /* there is no more */
} line_result;

/* What the tabulator completes: whole lines, and file names behind some of them. Both lists end
 * with NULL. */
typedef struct line_guide {
    const char *const *lines;
    const char *const *before_files;
} line_guide;

typedef struct line_input line_input;

/* Opens standard input. `guide` outlives it. Never NULL. Until it is closed, what is typed at a
 * terminal while no line is read is not shown, and kept for the next line. */
line_input *line_input_open(const line_guide *guide);
void line_input_close(line_input *in);

/* Whether a person sees the prompts. */
bool line_input_prompts(const line_input *in);

/*
 * Reads a line without its newline; one that was pasted, or edited so, can have line breaks in it.
 * With LINE_READ, *out is the caller's to free.
 */
line_result line_input_read(line_input *in, const char *prompt, input_text *out);

/* Forgets what was typed before it could be known what will be asked next. */
void line_input_forget(line_input *in);

/* Puts a text among those that can be recalled, now and by later runs. */
void line_input_remember(line_input *in, const char *text, size_t length);

#endif
