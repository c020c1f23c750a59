/* SHA-256. The only place that knows libcrypto. */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define SHA256_BYTES 32

/* A digest under way. It holds nothing that would have to be freed. */
typedef struct sha256 {
    _Alignas(16) unsigned char state[128]; /* libcrypto's */
} sha256;

void sha256_begin(sha256 *digest);
void sha256_add(sha256 *digest, const void *data, size_t size);

/* Gives the digest of what was added. */
void sha256_end(sha256 *digest, uint8_t out[SHA256_BYTES]);

/* 64 hexadecimal digits and a terminating zero. */
void sha256_text(const uint8_t digest[SHA256_BYTES], char out[65]);

/* Digests `size` bytes in pieces, telling `progress` (may be NULL) about `what` between them.
 * Writes 64 hexadecimal digits and a terminating zero. */
gptoss_status sha256_hex(const void *data, size_t size, const char *what,
                         gptoss_progress_fn progress, void *user, char digest[65],
                         gptoss_error *error);

#endif
