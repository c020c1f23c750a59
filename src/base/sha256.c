#include "base/sha256.h"

#include <stdint.h>

#include <openssl/evp.h>

/* Bytes between two calls of the progress function: some 10 ms of work. */
#define PIECE_BYTES ((size_t)16 << 20)

static void write_hex(const unsigned char *bytes, size_t count, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * count] = '\0';
}

static gptoss_status digest_pieces(EVP_MD_CTX *context, const unsigned char *data, size_t size,
                                   const char *what, gptoss_progress_fn progress, void *user,
                                   gptoss_error *error)
{
    for (size_t done = 0; done < size;) {
        size_t piece = size - done < PIECE_BYTES ? size - done : PIECE_BYTES;
        if (EVP_DigestUpdate(context, data + done, piece) != 1)
            return fail(error, GPTOSS_IO, "SHA-256 of %s failed in libcrypto", what);
        done += piece;
        if (progress != NULL && !progress(user, what, done, size))
            return fail(error, GPTOSS_INTERRUPTED, "SHA-256 of %s stopped after %zu of %zu bytes",
                        what, done, size);
    }
    return GPTOSS_OK;
}

gptoss_status sha256_hex(const void *data, size_t size, const char *what,
                         gptoss_progress_fn progress, void *user, char digest[65],
                         gptoss_error *error)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    digest[0] = '\0';
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context == NULL)
        return fail_memory(error, "a SHA-256 context", 256);
    gptoss_status status = GPTOSS_OK;
    if (EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
        status = fail(error, GPTOSS_UNSUPPORTED, "libcrypto has no SHA-256");
    if (status == GPTOSS_OK)
        status = digest_pieces(context, data, size, what, progress, user, error);
    if (status == GPTOSS_OK && (EVP_DigestFinal_ex(context, bytes, &length) != 1 || length != 32))
        status = fail(error, GPTOSS_IO, "SHA-256 of %s failed in libcrypto", what);
    if (status == GPTOSS_OK)
        write_hex(bytes, length, digest);
    EVP_MD_CTX_free(context);
    return status;
}
