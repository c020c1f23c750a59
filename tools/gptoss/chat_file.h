/* Conversations in files. */
#ifndef GPTOSS_TOOL_CHAT_FILE_H
#define GPTOSS_TOOL_CHAT_FILE_H

#include "chat.h"

/*
 * Writes the conversation: as JSON, which gptoss render reads, when the name ends with .json; else
 * with the cache, for this model alone. The file is there whole or not at all, and takes the place
 * of no file that is not a conversation. Returns the exit status, after a sentence when that is not
 * EXIT_GOOD.
 */
int chat_file_save(chat *of, const char *path);

/* Puts the conversation of a file of either kind in place of the present one, which stays when that
 * fails. The same as to the exit status. */
int chat_file_load(chat *of, const char *path);

/* ~/ at the beginning of what a user typed is their home. free() it. */
char *chat_file_path(const char *typed);

#endif
