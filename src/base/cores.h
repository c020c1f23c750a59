/* The physical cores that this process may use. */
#ifndef BASE_CORES_H
#define BASE_CORES_H

#include <stdint.h>

/* The most processors that are looked at. */
#define CORES_MOST 8192

/* Physical cores in this process's affinity mask, within its control groups' quotas. At least 1. */
uint32_t cpu_cores(void);

/*
 * One processor of every physical core in the affinity mask, ascending: the first that the mask has
 * of a core's hardware threads. Writes at most `most` and returns how many cores there are.
 */
uint32_t cores_list(uint16_t *processors, uint32_t most);

/* The same of a pretended system, whose files lie below `root`, and with a mask of `bytes` bytes,
 * bit p % 8 of byte p / 8 for processor p. */
uint32_t cores_list_of(const char *root, const uint8_t *mask, uint32_t bytes, uint16_t *processors,
                       uint32_t most);

/* Whole processors that the quotas of the groups pay for, at least 1; UINT32_MAX without a quota.
 * Files are read below `root` ("" for the running system). */
uint32_t cores_quota(const char *root);

#endif
