/* Every allocation of opening a tokenizer and encoding a text fails in turn: each time there is an
 * error and nothing is left behind. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "gptoss.h"

#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* The sanitizers have their own malloc, other libraries of C have other names for theirs. */
#if defined(__GLIBC__) && !SANITIZED

/* NOLINTBEGIN(*-reserved-identifier,*-inconsistent-declaration-parameter-name): glibc's names */
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *old, size_t bytes);
extern void __libc_free(void *old);

static long allocations_left = -1; /* until one fails; -1: none does */
static long blocks_held;

static bool fails(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

static void *hold(void *block)
{
    blocks_held += block != NULL;
    return block;
}

void *malloc(size_t bytes)
{
    return fails() ? NULL : hold(__libc_malloc(bytes));
}

void *calloc(size_t count, size_t bytes)
{
    return fails() ? NULL : hold(__libc_calloc(count, bytes));
}

void *realloc(void *old, size_t bytes)
{
    if (fails())
        return NULL;
    return old == NULL ? hold(__libc_realloc(old, bytes)) : __libc_realloc(old, bytes);
}

void free(void *old)
{
    blocks_held -= old != NULL;
    __libc_free(old);
}

/* NOLINTEND(*-reserved-identifier,*-inconsistent-declaration-parameter-name) */

/* Opens and encodes; what failed comes back. */
static gptoss_status run_once(const char *path, gptoss_error *error)
{
    static const char text[] = "hello <|start|> \xff the token's\u00a0type \U0001f600 hellhello";
    gptoss_tokenizer *tokenizer;
    uint32_t *ids;
    size_t count;
    gptoss_status status = gptoss_tokenizer_open(path, &tokenizer, error);
    if (status != GPTOSS_OK) {
        CHECK(tokenizer == NULL, "status %d", status);
        return status;
    }
    status = gptoss_tokenizer_encode(tokenizer, text, strlen(text), true, &ids, &count, error);
    CHECK(status == GPTOSS_OK ? ids != NULL : ids == NULL && count == 0, "status %d", status);
    free(ids);
    gptoss_tokenizer_close(tokenizer);
    return status;
}

static void check_failures(const char *path)
{
    gptoss_error error = {.message = ""};
    CHECK(run_once(path, &error) == GPTOSS_OK, "%s", error.message);
    long held = blocks_held;
    long refused = 0;
    for (long n = 0; n < 10000; n++) {
        error = (gptoss_error){.message = ""};
        allocations_left = n;
        gptoss_status status = run_once(path, &error);
        bool reached = allocations_left < 0;
        allocations_left = -1;
        CHECK(blocks_held == held, "allocation %ld: %ld blocks are left", n, blocks_held - held);
        if (!reached) /* there are no more than n */
            break;
        refused += status != GPTOSS_OK;
        CHECK(status == GPTOSS_OK || strstr(error.message, "memory") != NULL,
              "allocation %ld: status %d, '%s'", n, status, error.message);
    }
    CHECK(refused >= 20, "%ld", refused);
    printf("%s: %ld failed allocations\n", path, refused);
}

int main(void)
{
    check_failures(GPTOSS_SOURCE_DIR "/tests/fuzz/corpus/tokenizer/good_sorted.json");
    check_failures(GPTOSS_SOURCE_DIR "/tests/fuzz/corpus/tokenizer/good_strings.json");
    return test_result();
}

#else

int main(void)
{
    CHECK(true, "nothing to fail");
    return test_result();
}

#endif
