/* From what a person types after -m to a directory or file on disk. */
#ifndef CHECKPOINT_LOCATE_H
#define CHECKPOINT_LOCATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* The command that downloads a hub repository, as a format for its name. The pattern leaves out
 * the copies of the same weights in original/ and metal/. */
#define LOCATE_DOWNLOAD "`hf download %s --exclude \"*/*\"`"

/*
 * Resolves `path`: an existing file or directory is taken as it is; otherwise "owner/name" is
 * looked up in the hub's local cache, which is the first of $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE,
 * $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub that is configured: the
 * snapshot of refs/main, else the latest one. When it isn't there the error gives the command that
 * downloads it. *out is allocated with malloc.
 */
gptoss_status locate_model(const char *path, char **out, gptoss_error *error);

/* The hub name "owner/name" of a snapshot's directory in any hub cache, e.g.
 * .../models--openai--gpt-oss-20b/snapshots/0123; false when the directory is no such place. */
bool locate_hub_name(const char *directory, char *out, size_t room);

#endif
