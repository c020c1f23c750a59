/*
 * What was typed, for the next run: a file with a text a line, in which a line break is written \n
 * and a backslash \\. Texts are appended one by one, so that several runs can share the file and
 * none of them loses anything when it is killed.
 */
#ifndef GPTOSS_TOOL_HISTORY_FILE_H
#define GPTOSS_TOOL_HISTORY_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* $XDG_STATE_HOME/gptoss/history, or that below ~/.local/state; free() it. NULL without a home. */
char *history_file_path(void);

/* Hands over the texts, oldest first: no more than the last HISTORY_TEXTS, and a file that has
 * twice as many is shortened to them. Without a file there are none. */
#define HISTORY_TEXTS 1000
typedef void (*history_text_fn)(void *user, const char *text, size_t length);
void history_file_read(const char *path, history_text_fn each, void *user);

/* Appends a text; makes the file, which only its owner can read, and the directories above it.
 * Returns false, with errno, when that failed. */
bool history_file_add(const char *path, const char *text, size_t length);

#endif
