#include "base/sha256.h"

#include <openssl/err.h>
#include <openssl/evp.h>

/* Bytes between two calls of the progress function: some 10 ms of work. */
#define PIECE_BYTES ((size_t)16 << 20)

/* libcrypto keeps what went wrong, with texts of its own, until somebody asks. */
static gptoss_status fail_libcrypto(gptoss_error *error)
{
    bool memory = ERR_GET_REASON(ERR_peek_error()) == ERR_R_MALLOC_FAILURE;
    ERR_clear_error();
    return memory ? fail_memory(error, "SHA-256 in libcrypto", 256)
                  : fail(error, GPTOSS_UNSUPPORTED, "libcrypto refuses SHA-256");
}

gptoss_status sha256_begin(sha256 *digest, gptoss_error *error)
{
    *digest = (sha256){.context = EVP_MD_CTX_new()};
    if (digest->context != NULL && EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) == 1)
        return GPTOSS_OK;
    sha256_free(digest);
    return fail_libcrypto(error);
}

void sha256_add(sha256 *digest, const void *data, size_t size)
{
    if (!digest->failed && EVP_DigestUpdate(digest->context, data, size) != 1)
        digest->failed = true;
}

gptoss_status sha256_end(sha256 *digest, uint8_t out[SHA256_BYTES], gptoss_error *error)
{
    unsigned length = 0;
    bool good = !digest->failed && EVP_DigestFinal_ex(digest->context, out, &length) == 1 &&
                length == SHA256_BYTES;
    sha256_free(digest);
    return good ? GPTOSS_OK : fail_libcrypto(error);
}

void sha256_free(sha256 *digest)
{
    EVP_MD_CTX_free(digest->context);
    *digest = (sha256){0};
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
    gptoss_status status = sha256_begin(&running, error);
    if (status != GPTOSS_OK)
        return status;
    for (size_t done = 0; done < size;) {
        size_t piece = size - done < PIECE_BYTES ? size - done : PIECE_BYTES;
        sha256_add(&running, (const uint8_t *)data + done, piece);
        done += piece;
        if (progress != NULL && !progress(user, what, done, size)) {
            sha256_free(&running);
            return fail(error, GPTOSS_INTERRUPTED, "SHA-256 of %s stopped after %zu of %zu bytes",
                        what, done, size);
        }
    }
    status = sha256_end(&running, bytes, error);
    if (status == GPTOSS_OK)
        sha256_text(bytes, digest);
    return status;
}
