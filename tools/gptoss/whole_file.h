/* Small files that are there whole or not at all. */
#ifndef GPTOSS_TOOL_WHOLE_FILE_H
#define GPTOSS_TOOL_WHOLE_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* Writes a file beside its place, and then puts it there. `permissions` are those of open, such as
 * 0600, of which the user's umask takes some. What is there already must be a regular file. Returns
 * false, after a sentence, when that failed: what was there before is still there. */
bool whole_file_write(const char *path, const char *bytes, size_t length, unsigned permissions);

#endif
