/*
 * Counts allocations and makes them fail. It takes the place of malloc in the one test program that
 * includes it; where a sanitizer has already taken that place, or the C library is not glibc,
 * ALLOCATIONS_COUNTED is 0 and nothing is counted or fails.
 */
#ifndef TESTS_UNIT_ALLOCATIONS_H
#define TESTS_UNIT_ALLOCATIONS_H

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>

#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static struct {
    long made;     /* calls that asked for memory */
    long held;     /* blocks in use */
    long until;    /* how many more calls succeed; negative: all */
    bool for_ever; /* all that follow the first failure fail too */
    bool failed;   /* one did; the test's to clear */
} allocations = {.until = -1};

#if defined(__GLIBC__) && !SANITIZED
#define ALLOCATIONS_COUNTED 1

/* NOLINTBEGIN(bugprone-reserved-identifier,readability-inconsistent-declaration-parameter-name):
 * their names are glibc's */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);

static bool allocation_fails(void)
{
    allocations.made++;
    if (allocations.until < 0 || (allocations.until > 0 && allocations.until-- > 0))
        return false;
    allocations.until = allocations.for_ever ? 0 : -1;
    allocations.failed = true;
    return true;
}

static void *hold(void *block)
{
    allocations.held += block != NULL;
    return block;
}

void *malloc(size_t size)
{
    return allocation_fails() ? NULL : hold(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return allocation_fails() ? NULL : hold(__libc_calloc(count, size));
}

void *realloc(void *block, size_t size)
{
    if (allocation_fails())
        return NULL;
    return block == NULL ? hold(__libc_realloc(block, size)) : __libc_realloc(block, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return allocation_fails() ? NULL : hold(__libc_memalign(alignment, size));
}

/* Only OpenMP's runtime calls this, which ends the program when memory is short. */
void *memalign(size_t alignment, size_t size)
{
    return hold(__libc_memalign(alignment, size));
}

void free(void *block)
{
    allocations.held -= block != NULL;
    __libc_free(block);
}
/* NOLINTEND(bugprone-reserved-identifier,readability-inconsistent-declaration-parameter-name) */

#else
#define ALLOCATIONS_COUNTED 0
#endif

#endif
