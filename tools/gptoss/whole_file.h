/* Small files that are there whole or not at all. */
#ifndef GPTOSS_TOOL_WHOLE_FILE_H
#define GPTOSS_TOOL_WHOLE_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Writes a file that only its owner can read beside its place, and then puts it there. Returns
 * false, after a sentence, when that failed: what was there before is still there. */
bool whole_file_write(const char *path, const char *bytes, size_t length);

#endif
