/* Parts of a dump as a person types them: stages, layers, positions; and the numerics. */
#ifndef GPTOSS_TOOL_SELECTION_H
#define GPTOSS_TOOL_SELECTION_H

#include "command.h"
#include "gptoss.h"

/* These read the flag of their name and return the exit status; when the flag makes no sense they
 * print a sentence. */

/* --stages, "all" or names such as "q,k,router": bits 1 << stage. */
int selection_stages(const options *given, uint32_t *stages);

/* --layers, "3" or "0-3" with both ends: *begin and below *end; 0 and `layers` when not given. */
int selection_layers(const options *given, uint32_t layers, uint32_t *begin, uint32_t *end);

/*
 * --positions of `count` tokens: places and ranges with both ends, such as "0-31,63,-1", where
 * negative ones count from the end. They come out ascending, each once; *positions is the caller's
 * to free, and NULL when the flag was not given.
 */
int selection_positions(const options *given, size_t count, uint32_t **positions, size_t *chosen);

/* --numerics; `fallback` when it was not given. */
int selection_numerics(const options *given, gptoss_numerics fallback, gptoss_numerics *numerics);

#endif
