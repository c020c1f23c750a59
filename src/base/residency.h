/* Which pages of a mapped file are in memory, and bringing them there. */
#ifndef BASE_RESIDENCY_H
#define BASE_RESIDENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes about which one page speaks. */
#define RESIDENCY_SAMPLE ((size_t)512 << 10)

/*
 * About how many of the bytes at `start`, which lie in a mapping, would have to be read from their
 * file, judged by the first page of every RESIDENCY_SAMPLE bytes. 0 also for a file that this
 * process could not write to, of which the system does not tell.
 */
size_t residency_missing(const uint8_t *start, size_t bytes);

/* Brings the pages of these bytes into memory and into the page tables, as far as possible. */
void residency_read(const uint8_t *start, size_t bytes);

/* Keeps the pages of these bytes, once they are there, in memory until residency_unlock or until
 * they are unmapped. Returns 0 or an errno, then of nothing locked. */
int residency_lock(const uint8_t *start, size_t bytes);
void residency_unlock(const uint8_t *start, size_t bytes);

/* Lets go of the whole pages among these bytes of a file: they no longer count as this process's
 * memory, and are there again when read. */
void residency_release(const uint8_t *start, size_t bytes);

#endif
