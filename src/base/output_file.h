/* A file that appears under its name only when it is complete. */
#ifndef BASE_OUTPUT_FILE_H
#define BASE_OUTPUT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Written without a name where the file system can, so that nothing is left of it however the
 * program ends, else as "PATH.RANDOM.part"; then renamed. The first failure is kept: what follows
 * it does nothing, and output_file_finish returns it. */
typedef struct output_file {
    const char *path;
    char *temporary;
    int descriptor;
    bool nameless; /* `temporary` is its name only just before the end */
    gptoss_status status;
    gptoss_error *error;
} output_file;

/* `permissions` are those of open, such as 0666, of which the user's umask takes some. `path` and
 * `error` must outlive the file. What is there and no regular file is refused: to rename a file
 * over a device would take it away. A failure leaves nothing to finish. */
gptoss_status output_file_create(output_file *file, const char *path, unsigned permissions,
                                 gptoss_error *error);

/* Takes the disk space for `bytes` bytes now, so that a full disk is known before the work. */
void output_file_reserve(output_file *file, uint64_t bytes);

void output_file_write(output_file *file, const void *data, uint64_t bytes, uint64_t offset);

/* Gives the file its name when all went well and `keep` is GPTOSS_OK; otherwise removes it, and a
 * file that had the name before is as it was. Contents and name have reached the disk then, as far
 * as the system can tell. Returns the first failure of the file, or else `keep`. */
gptoss_status output_file_finish(output_file *file, gptoss_status keep);

#endif
