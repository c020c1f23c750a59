/* The functions below are libcrypto's older ones. Those that replace them take memory for a context
 * of the whole process when they are first used, and OpenSSL 3.0 crashes when there is none. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "base/sha256.h"

#include <assert.h>
#include <openssl/sha.h>

/* Bytes between two calls of the progress function: some 10 ms of work. */
#define PIECE_BYTES ((size_t)16 << 20)

static_assert(sizeof(SHA256_CTX) <= sizeof(((sha256 *)NULL)->state), "libcrypto's has room");

/* They cannot fail, and say so by returning 1. */
void sha256_begin(sha256 *digest)
{
    (void)SHA256_Init((SHA256_CTX *)(void *)digest->state);
}

void sha256_add(sha256 *digest, const void *data, size_t size)
{
    (void)SHA256_Update((SHA256_CTX *)(void *)digest->state, data, size);
}

void sha256_end(sha256 *digest, uint8_t out[SHA256_BYTES])
{
    (void)SHA256_Final(out, (SHA256_CTX *)(void *)digest->state);
}

void sha256_text(const uint8_t digest[SHA256_BYTES], char out[65])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SHA256_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[64] = '\0';
}

gptoss_status sha256_hex(const void *data, size_t size, const char *what,
                         gptoss_progress_fn progress, void *user, char digest[65],
                         gptoss_error *error)
{
    sha256 running;
    uint8_t bytes[SHA256_BYTES];
    digest[0] = '\0';
    sha256_begin(&running);
    for (size_t done = 0; done < size;) {
        size_t piece = size - done < PIECE_BYTES ? size - done : PIECE_BYTES;
        sha256_add(&running, (const uint8_t *)data + done, piece);
        done += piece;
        if (progress != NULL && !progress(user, what, done, size))
            return fail(error, GPTOSS_INTERRUPTED, "SHA-256 of %s stopped after %zu of %zu bytes",
                        what, done, size);
    }
    sha256_end(&running, bytes);
    sha256_text(bytes, digest);
    return GPTOSS_OK;
}
