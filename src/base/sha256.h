/* SHA-256. The only place that knows libcrypto. */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stddef.h>

#include "base/status.h"

/* Digests `size` bytes in pieces, telling `progress` (may be NULL) about `what` between them.
 * Writes 64 hexadecimal digits and a terminating zero. */
gptoss_status sha256_hex(const void *data, size_t size, const char *what,
                         gptoss_progress_fn progress, void *user, char digest[65],
                         gptoss_error *error);

#endif
