/* base/sha256: known digests (FIPS 180-2), pieces, progress and its refusal. */
#include <stdlib.h>
#include <string.h>

#include "allocations.h"
#include "base/sha256.h"
#include "check.h"

typedef struct watcher {
    int calls;
    int stop_at; /* refuse to go on at this call; 0: never */
    uint64_t done;
    uint64_t total;
} watcher;

static bool watch(void *user, const char *what, uint64_t done, uint64_t total)
{
    watcher *seen = user;
    CHECK(strcmp(what, "W") == 0, "%s", what);
    CHECK(done > seen->done, "always more");
    seen->done = done;
    seen->total = total;
    return ++seen->calls != seen->stop_at;
}

static void check_digest(const void *data, size_t size, const char *expected)
{
    char digest[65];
    gptoss_error error = {0};
    CHECK(sha256_hex(data, size, "W", NULL, NULL, digest, &error) == GPTOSS_OK, "%s",
          error.message);
    CHECK(strcmp(digest, expected) == 0, "%s", digest);
}

/* In uneven pieces as in one, and without memory. */
static void check_pieces(const char *data, size_t size)
{
    sha256 digest;
    long made = allocations.made;
    uint8_t bytes[SHA256_BYTES];
    char whole[65];
    char pieces[65];
    CHECK(sha256_hex(data, size, "W", NULL, NULL, whole, NULL) == GPTOSS_OK, "whole");
    sha256_begin(&digest);
    for (size_t done = 0, piece = 0; done < size; done += piece) {
        piece = done / 3 % 1000 < size - done ? done / 3 % 1000 : size - done;
        piece += piece == 0;
        sha256_add(&digest, data + done, piece);
    }
    sha256_end(&digest, bytes);
    sha256_text(bytes, pieces);
    CHECK(strcmp(whole, pieces) == 0, "%s", pieces);
    CHECK(allocations.made == made, "%ld allocations, which could fail", allocations.made - made);
}

int main(void)
{
    check_digest("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_digest("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");

    /* 33 MiB of 'a': two whole pieces and one more. */
    size_t size = (size_t)33 << 20;
    char *data = malloc(size);
    if (data == NULL)
        abort();
    memset(data, 'a', size);
    check_digest(data, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    check_pieces(data, 100000);
    char whole[65];
    char watched[65];
    gptoss_error error = {0};
    watcher seen = {0};
    CHECK(sha256_hex(data, size, "W", NULL, NULL, whole, &error) == GPTOSS_OK, "%s", error.message);
    CHECK(sha256_hex(data, size, "W", watch, &seen, watched, &error) == GPTOSS_OK, "%s",
          error.message);
    CHECK(strcmp(whole, watched) == 0, "%s", watched);
    CHECK(seen.calls == 3 && seen.done == size && seen.total == size, "%d calls", seen.calls);

    seen = (watcher){.stop_at = 2};
    CHECK(sha256_hex(data, size, "W", watch, &seen, watched, &error) == GPTOSS_INTERRUPTED,
          "stopped");
    CHECK(seen.calls == 2 && watched[0] == '\0', "at the second call");
    CHECK(strcmp(error.message, "SHA-256 of W stopped after 33554432 of 34603008 bytes") == 0, "%s",
          error.message);
    free(data);
    return test_result();
}
