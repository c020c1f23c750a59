/* From what a person types after -m to a directory or file on disk. */
#ifndef CHECKPOINT_LOCATE_H
#define CHECKPOINT_LOCATE_H

#include "base/status.h"

/*
 * Resolves `path`: an existing file or directory is taken as it is; otherwise "owner/name" is
 * looked up in the hub's local cache ($HF_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub,
 * ~/.cache/huggingface/hub), snapshot refs/main first, and when it isn't there the error gives the
 * command that downloads it. *out is allocated with malloc.
 */
gptoss_status locate_model(const char *path, char **out, gptoss_error *error);

#endif
