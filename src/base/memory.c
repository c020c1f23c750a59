#include "base/memory.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cgroup.h"

#define ALIGNMENT 64

void *memory_allocate(size_t bytes)
{
    assert(bytes > 0);
    if (bytes > SIZE_MAX - (ALIGNMENT - 1))
        return NULL;
    return aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

gptoss_status memory_reserve(size_t bytes, const char *what, void **out, gptoss_error *error)
{
    assert(bytes > 0);
    *out = NULL;
    void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        return fail(error, GPTOSS_MEMORY, "cannot reserve %zu bytes of address space for %s: %s",
                    bytes, what, strerror(errno));
    *out = start;
    return GPTOSS_OK;
}

void memory_prefer_huge_pages(void *start, size_t bytes)
{
    madvise(start, bytes, MADV_HUGEPAGE);
}

void memory_release(void *start, size_t bytes)
{
    if (start != NULL)
        munmap(start, bytes);
}

void memory_discard(void *start, size_t bytes)
{
    assert((uintptr_t)start % (uintptr_t)sysconf(_SC_PAGESIZE) == 0);
    if (bytes > 0)
        madvise(start, bytes, MADV_DONTNEED);
}

/* ---- what the machine has -------------------------------------------------------------------- */

/* The number after `key` in a file of "key: number" or "key number" lines; false without one. */
static bool keyed_number(const char *path, const char *key, uint64_t *out)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    char line[256];
    size_t length = strlen(key);
    bool found = false;
    while (!found && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, key, length) == 0 && (line[length] == ':' || line[length] == ' '))
            found = sscanf(line + length + 1, "%" SCNu64, out) == 1;
    fclose(file);
    return found;
}

/* directory/name; false when that is too long. */
static bool join(char path[PATH_MAX], const char *directory, const char *name)
{
    int length = snprintf(path, PATH_MAX, "%s/%s", directory, name);
    return length > 0 && length < PATH_MAX;
}

/* The files of one version of control groups. */
typedef struct cgroup_files {
    const char *limit;
    const char *usage;
    const char *inactive; /* keys in memory.stat of the file pages that can be dropped */
    const char *active;
} cgroup_files;

static const cgroup_files cgroup_v1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                       "total_inactive_file", "total_active_file"};
static const cgroup_files cgroup_v2 = {"memory.max", "memory.current", "inactive_file",
                                       "active_file"};

/* Lowers the limits at `user` to those of the group whose files lie in `directory`, if it has a
 * limit. */
static void apply_group(void *user, const char *directory, bool version2)
{
    const cgroup_files *files = version2 ? &cgroup_v2 : &cgroup_v1;
    memory_limits *limits = user;
    char path[PATH_MAX + 32]; /* a directory and a name */
    uint64_t limit = 0;
    uint64_t usage = 0;
    uint64_t inactive = 0;
    uint64_t active = 0;
    if (!cgroup_number(directory, files->limit, &limit))
        return;
    if (limit < limits->machine)
        limits->machine = limit;
    if (!cgroup_number(directory, files->usage, &usage))
        return;
    if (join(path, directory, "memory.stat")) {
        keyed_number(path, files->inactive, &inactive);
        keyed_number(path, files->active, &active);
    }
    uint64_t droppable = 0;
    if (!u64_add(inactive, active, &droppable) || droppable > usage)
        droppable = usage;
    uint64_t held = usage - droppable;
    uint64_t available = limit > held ? limit - held : 0;
    if (available < limits->available)
        limits->available = available;
}

memory_limits memory_limits_read(const char *root)
{
    memory_limits limits = {0};
    char path[PATH_MAX];
    if (!join(path, root, "proc/meminfo"))
        return limits;
    uint64_t kibibytes = 0;
    if (keyed_number(path, "MemTotal", &kibibytes))
        limits.machine = kibibytes << 10;
    if (keyed_number(path, "MemAvailable", &kibibytes))
        limits.available = kibibytes << 10;
    cgroup_visit(root, "memory", apply_group, &limits);
    return limits;
}

bool memory_suffices(uint64_t bytes)
{
    uint64_t available = bytes < MEMORY_LITTLE ? 0 : memory_available();
    return available == 0 || bytes <= available;
}

uint64_t memory_machine(void)
{
    return memory_limits_read("").machine;
}

uint64_t memory_available(void)
{
    return memory_limits_read("").available;
}
