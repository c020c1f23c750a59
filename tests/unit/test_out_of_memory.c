/* What opens files, with every single allocation failing in turn: a failure is a sentence, and
 * nothing is left behind. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config.h"
#include "gptoss.h"

#define MODEL     GPTOSS_SOURCE_DIR "/tests/golden/published/hf-mxfp4"
#define TOKENIZER GPTOSS_SOURCE_DIR "/tests/fuzz/corpus/tokenizer/good_pairs.json"

/* ---- failing allocations, where the sanitizers have not taken malloc's place ------------------
 */

#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static long allocated; /* blocks in use */
static long until;     /* how many more allocations succeed; negative: all */
static bool for_ever;  /* all that follow the first failure fail too */
static bool failed;

#if defined(__GLIBC__) && !SANITIZED
#define CAN_FAIL 1
/* NOLINTBEGIN(bugprone-reserved-identifier,readability-inconsistent-declaration-parameter-name):
 * their names are glibc's */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

static bool fails(void)
{
    if (until < 0 || (until > 0 && until-- > 0))
        return false;
    until = for_ever ? 0 : -1;
    failed = true;
    return true;
}

static void *counted(void *block)
{
    allocated += block != NULL;
    return block;
}

void *malloc(size_t size)
{
    return fails() ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : counted(__libc_calloc(count, size));
}

void *realloc(void *block, size_t size)
{
    if (fails())
        return NULL;
    void *moved = __libc_realloc(block, size);
    allocated += block == NULL && moved != NULL;
    return moved;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : counted(__libc_memalign(alignment, size));
}

void free(void *block)
{
    allocated -= block != NULL;
    __libc_free(block);
}
/* NOLINTEND(bugprone-reserved-identifier,readability-inconsistent-declaration-parameter-name) */
#else
#define CAN_FAIL 0
#endif

/* ---- what is opened, and closed again when that worked ----------------------------------------
 */

static gptoss_status use_checkpoint(gptoss_error *error)
{
    checkpoint *files = NULL;
    gptoss_status status = checkpoint_open(MODEL, &files, error);
    CHECK((status == GPTOSS_OK) == (files != NULL), "status %d", status);
    checkpoint_close(files);
    return status;
}

static gptoss_status use_file(gptoss_error *error)
{
    checkpoint *files = NULL;
    gptoss_status status = checkpoint_open(MODEL "/model.safetensors", &files, error);
    checkpoint_close(files);
    return status;
}

static gptoss_status use_config(gptoss_error *error)
{
    static gptoss_config config;
    return config_load(MODEL, &config, error);
}

static gptoss_status use_model(gptoss_error *error)
{
    gptoss_model *model = NULL;
    gptoss_sequence *sequence = NULL;
    gptoss_status status = gptoss_model_open(MODEL, &model, error);
    CHECK((status == GPTOSS_OK) == (model != NULL), "status %d", status);
    if (status == GPTOSS_OK)
        status = gptoss_sequence_open(model, 64, 16, &sequence, error);
    gptoss_sequence_close(sequence);
    gptoss_model_close(model);
    return status;
}

static gptoss_status use_tokenizer(gptoss_error *error)
{
    gptoss_tokenizer *tokenizer = NULL;
    uint32_t *ids = NULL;
    size_t count;
    gptoss_status status = gptoss_tokenizer_open(TOKENIZER, &tokenizer, error);
    CHECK((status == GPTOSS_OK) == (tokenizer != NULL), "status %d", status);
    if (status == GPTOSS_OK)
        status =
            gptoss_tokenizer_encode(tokenizer, "Hello \xff world", 13, true, &ids, &count, error);
    free(ids);
    gptoss_tokenizer_close(tokenizer);
    return status;
}

static const struct {
    const char *name;
    gptoss_status (*use)(gptoss_error *error);
} subjects[] = {
    {"a directory of weights", use_checkpoint},
    {"a file of weights", use_file},
    {"a configuration", use_config},
    {"a model and a sequence", use_model},
    {"a tokenizer", use_tokenizer},
};

/* Runs with the allocation number `n` failing; returns whether there were so many. */
static bool run(size_t subject, long n)
{
    gptoss_error error = {0};
    long before = allocated;
    failed = false;
    until = n;
    gptoss_status status = subjects[subject].use(&error);
    until = -1;
    CHECK(allocated == before, "%s: %ld blocks left behind by allocation %ld (status %d: %s)",
          subjects[subject].name, allocated - before, n, status, error.message);
    CHECK(failed || status == GPTOSS_OK, "%s: %s", subjects[subject].name, error.message);
    CHECK(status == GPTOSS_OK || (error.status == status && error.message[0] != '\0'),
          "%s: no sentence", subjects[subject].name);
    return failed;
}

int main(void)
{
    size_t count = sizeof subjects / sizeof *subjects;
    for (size_t i = 0; i < count; i++) {
        long most = CAN_FAIL ? 1000000 : 1;
        until = -1;
        subjects[i].use(NULL); /* what is allocated once and kept is allocated now */
        for (int mode = 0; mode < 2; mode++) {
            long n = 0;
            for_ever = mode == 1;
            while (n < most && run(i, n))
                n++;
            printf("%s: %ld allocations failed %s\n", subjects[i].name, n,
                   for_ever ? "with all after them" : "one at a time");
        }
    }
    return test_result();
}
