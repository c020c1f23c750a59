/* Cuts text into the pieces that BPE works on. The only place that knows PCRE2. */
#ifndef TEXT_PRETOKENIZE_H
#define TEXT_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/*
 * The regular expression of o200k_base as tokenizer.json spells it. It is what pretokenizer_open
 * implements: leftmost-first alternatives, classes of Unicode 16, \s as White_Space, contractions
 * under simple case folding (so that U+017F counts as s). Source: tiktoken, openai_public.py.
 */
extern const char o200k_pattern[];

/* The compiled rules. Immutable; may be shared between threads. */
typedef struct pretokenizer pretokenizer;

/* `just_in_time` asks for machine code where PCRE2 can make it; the pieces are the same. */
gptoss_status pretokenizer_open(bool just_in_time, pretokenizer **out, gptoss_error *error);
void pretokenizer_close(pretokenizer *rules);

/* A walk over the pieces of one text. */
typedef struct piece_walk piece_walk;

/*
 * Begins a walk over `length` bytes of well-formed UTF-8, which must outlive it. Takes one byte of
 * memory for each code point.
 */
gptoss_status piece_walk_open(const pretokenizer *rules, const char *text, size_t length,
                              piece_walk **out, gptoss_error *error);
void piece_walk_close(piece_walk *walk);

/* The next piece; *length is 0 after the last. The pieces joined are the text. */
gptoss_status piece_walk_next(piece_walk *walk, const char **piece, size_t *length,
                              gptoss_error *error);

#endif
