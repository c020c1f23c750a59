#include "base/cores.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/cgroup.h"

static bool in_mask(const uint8_t *mask, uint32_t bytes, long processor)
{
    return processor >= 0 && processor / 8 < (long)bytes &&
           (mask[processor / 8] >> (processor % 8) & 1) != 0;
}

/* Whether the mask has a hardware thread of this core before `processor`. The list of siblings
 * reads "0,64" or "0-1". */
static bool has_earlier_sibling(const char *root, const uint8_t *mask, uint32_t bytes,
                                long processor)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%ld/topology/thread_siblings_list",
             root, processor);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool found = false;
    long first;
    while (!found && fscanf(file, "%ld", &first) == 1) {
        long last = first;
        int next = fgetc(file);
        if (next == '-' && fscanf(file, "%ld", &last) == 1)
            fgetc(file); /* a comma, or the end */
        for (long sibling = first; sibling <= last && sibling < processor && !found; sibling++)
            found = in_mask(mask, bytes, sibling);
    }
    fclose(file);
    return found;
}

uint32_t cores_list_of(const char *root, const uint8_t *mask, uint32_t bytes, uint16_t *processors,
                       uint32_t most)
{
    uint32_t cores = 0;
    for (long processor = 0; processor < (long)bytes * 8; processor++) {
        if (!in_mask(mask, bytes, processor) || has_earlier_sibling(root, mask, bytes, processor))
            continue;
        if (cores < most)
            processors[cores] = (uint16_t)processor;
        cores++;
    }
    return cores;
}

uint32_t cores_list(uint16_t *processors, uint32_t most)
{
    union { /* the system's words are little-endian bits of bytes on the processors we know */
        cpu_set_t sets[CORES_MOST / CPU_SETSIZE];
        uint8_t bytes[CORES_MOST / 8];
    } mask = {.bytes = {0}};
    if (sched_getaffinity(0, sizeof mask, mask.sets) != 0)
        return 0;
    return cores_list_of("", mask.bytes, sizeof mask.bytes, processors, most);
}

/* Lowers *user to the quota of one group. */
static void apply_quota(void *user, const char *directory, bool version2)
{
    uint32_t *processors = user;
    uint64_t quota = 0;
    uint64_t period = 0;
    bool limited = version2 ? cgroup_numbers(directory, "cpu.max", &quota, &period)
                            : cgroup_number(directory, "cpu.cfs_quota_us", &quota) &&
                                  cgroup_number(directory, "cpu.cfs_period_us", &period);
    if (!limited || period == 0 || quota / period >= CORES_MOST)
        return;
    uint32_t whole = (uint32_t)((quota + period / 2) / period);
    whole = whole > 0 ? whole : 1;
    *processors = whole < *processors ? whole : *processors;
}

uint32_t cores_quota(const char *root)
{
    uint32_t processors = UINT32_MAX;
    cgroup_visit(root, "cpu", apply_quota, &processors);
    return processors;
}

uint32_t cpu_cores(void)
{
    uint16_t unused;
    uint32_t cores = cores_list(&unused, 0);
    uint32_t quota = cores_quota("");
    cores = cores < quota ? cores : quota;
    return cores > 0 ? cores : 1;
}
