/* Files compressed with gzip. The only place that knows zlib. */
#ifndef BASE_GZIP_H
#define BASE_GZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Whether the bytes begin as a gzip file does. */
bool gzip_begins(const uint8_t *data, size_t size);

/*
 * Inflates a whole gzip file (one or several members, as gzip, pigz and cat make them) whose `size`
 * bytes start at `data`. It is inflated twice: first to nowhere, to check it and to learn its size,
 * then into memory of just that size, so that a file that swells to more than `limit` bytes is
 * refused (GPTOSS_LIMIT) before it takes any. Damage, a cut end and bytes after the end are
 * GPTOSS_FORMAT. `path` names the file in errors. *out is for free(), also when *length is 0.
 */
gptoss_status gzip_inflate(const uint8_t *data, size_t size, const char *path, uint64_t limit,
                           uint8_t **out, size_t *length, gptoss_error *error);

#endif
