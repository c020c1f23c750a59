/* Sizes that cannot overflow silently, aligned and reserved memory, and what the machine has. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* a * b and a + b; false when the result does not fit. */
static inline bool u64_multiply(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool u64_add(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* Memory aligned to 64 bytes, released with free(); NULL when there is none. Never zero bytes. */
void *memory_allocate(size_t bytes);

/*
 * Whether there is so much memory to be had. The system hands out address space whether or not
 * there is memory behind it, and ends programs when it then runs out: whoever takes memory by the
 * size of a file or a text asks first. Less than MEMORY_LITTLE is not looked into.
 */
#define MEMORY_LITTLE ((uint64_t)64 << 20)
bool memory_suffices(uint64_t bytes);

/*
 * Reserves address space whose pages are zero and taken when first touched. Released with
 * memory_release. Never zero bytes. `what` names it in the error.
 */
gptoss_status memory_reserve(size_t bytes, const char *what, void **out, gptoss_error *error);

/* Asks for large pages where the system has them to give; call it before the memory is touched. */
void memory_prefer_huge_pages(void *start, size_t bytes);

/* Accepts NULL. */
void memory_release(void *start, size_t bytes);

/* Gives the memory of whole pages of a reservation back; they read as zero afterwards. `start` is
 * at the beginning of a page, the last page may be counted in part. */
void memory_discard(void *start, size_t bytes);

/*
 * Memory this process may use in all, and how much of it can still be taken without swapping: the
 * lesser of the machine's and the control groups' (version 1 or 2, the ancestors' limits too). File
 * pages that can be dropped count as available, mapped weights among them. 0 when unknown.
 */
uint64_t memory_machine(void);
uint64_t memory_available(void);

typedef struct memory_limits {
    uint64_t machine;
    uint64_t available;
} memory_limits;

/* Both figures, read from the files below `root` ("" for the running system; tests have others). */
memory_limits memory_limits_read(const char *root);

#endif
