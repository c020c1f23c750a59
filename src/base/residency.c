#include "base/residency.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* The system's calls want whole pages and pointers that could be written through; none writes. */
static void *page_of(const uint8_t *start)
{
    return (void *)((uintptr_t)start & ~(page_size() - 1)); /* NOLINT(performance-no-int-to-ptr) */
}

/* From the beginning of the first page to the last byte. */
static size_t length_from_page(const uint8_t *start, size_t bytes)
{
    return bytes + ((uintptr_t)start & (page_size() - 1));
}

size_t residency_missing(const uint8_t *start, size_t bytes)
{
    size_t missing = 0;
    for (size_t at = 0; at < bytes; at += RESIDENCY_SAMPLE) {
        size_t rest = bytes - at;
        unsigned char state = 0;
        bool told = mincore(page_of(start + at), 1, &state) == 0;
        if (told && (state & 1) == 0)
            missing += rest < RESIDENCY_SAMPLE ? rest : RESIDENCY_SAMPLE;
    }
    return missing;
}

void residency_read(const uint8_t *start, size_t bytes)
{
    if (madvise(page_of(start), length_from_page(start, bytes), MADV_POPULATE_READ) == 0 ||
        errno != EINVAL)
        return; /* a page that cannot be read will tell whoever reads it */
    size_t page = page_size();
    for (size_t at = 0; at < bytes; at += page)
        (void)*(const volatile uint8_t *)(start + at);
    if (bytes > 0)
        (void)*(const volatile uint8_t *)(start + bytes - 1);
}

int residency_lock(const uint8_t *start, size_t bytes)
{
    if (mlock2(page_of(start), length_from_page(start, bytes), MLOCK_ONFAULT) == 0)
        return 0;
    int why = errno;
    if (why == ENOSYS || why == EINVAL)
        why = mlock(page_of(start), length_from_page(start, bytes)) == 0 ? 0 : errno;
    return why;
}

void residency_unlock(const uint8_t *start, size_t bytes)
{
    munlock(page_of(start), length_from_page(start, bytes));
}

void residency_release(const uint8_t *start, size_t bytes)
{
    size_t before = (page_size() - ((uintptr_t)start & (page_size() - 1))) & (page_size() - 1);
    if (bytes > before)
        madvise(page_of(start + before), (bytes - before) & ~(page_size() - 1), MADV_DONTNEED);
}
