/* Texts and token ids from the command line, from files and from standard input. */
#ifndef GPTOSS_TOOL_INPUT_H
#define GPTOSS_TOOL_INPUT_H

#include "command.h"
#include "gptoss.h"

typedef struct input_text {
    char *bytes; /* followed by a zero byte that does not count; free() it */
    size_t length;
} input_text;

typedef struct input_ids {
    uint32_t *ids; /* free() it */
    size_t count;
} input_ids;

/* These print a sentence when they fail, and return the exit status. On success, `out` is the
 * caller's to free. */

/* Most bytes of a text or a list of ids: what would become more tokens than any context holds. */
#define INPUT_MOST ((size_t)256 << 20)

/* Reads a whole file; "-" is standard input. */
int input_read(const char *path, input_text *out);

/* The text of -p or -f, escapes applied when asked for. Exactly one of them must be given. */
int input_prompt(const options *given, input_text *out);

/* The ids of a list such as "1,2,3", "1 2 3" or "[1, 2, 3]". */
int input_parse_ids(const options *given, const char *list, input_ids *out);

/* The ids of --ids. */
int input_ids_flag(const options *given, input_ids *out);

/*
 * The token ids of a command's prompt: those of --ids, or the encoded text of -p or -f. `tokenizer`
 * may be NULL with --ids. Every id is below `vocab`, and there is at least one. *text becomes the
 * text, bytes NULL with --ids, unless `text` is NULL.
 */
int input_tokens(const options *given, const gptoss_tokenizer *tokenizer, uint32_t vocab,
                 input_text *text, input_ids *out);

/* Replaces C's escapes in place and returns the new length; an escape that C lacks stays. */
size_t input_unescape(char *text, size_t length);

#endif
