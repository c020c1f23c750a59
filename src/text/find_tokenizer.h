/* Which file of a directory has the tokenizer. */
#ifndef TEXT_FIND_TOKENIZER_H
#define TEXT_FIND_TOKENIZER_H

#include "base/status.h"

/*
 * Resolves `path`: anything but a directory is taken as it is. In a directory, and then in its
 * parent (the hub keeps the tokenizer above original/), tokenizer.json is looked for, then
 * o200k_base.tiktoken, then the first *.tiktoken by name. *out is allocated with malloc; NULL when
 * there is none. A parent that may not be listed has none.
 */
gptoss_status find_tokenizer(const char *path, char **out, gptoss_error *error);

#endif
