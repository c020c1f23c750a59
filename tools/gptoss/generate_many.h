/* gptoss generate -f PROMPTS.jsonl. */
#ifndef GPTOSS_TOOL_GENERATE_MANY_H
#define GPTOSS_TOOL_GENERATE_MANY_H

#include "command.h"

/* Whether -f names a file of prompts, one a line, and not one text. */
bool generate_is_many(const options *given);

/* Continues each of them and prints one JSON object a line. */
int generate_many(const options *given);

#endif
