/* base/cores: physical cores in a mask, and quotas of groups within groups. */
#include <stdint.h>

#include "base/cores.h"
#include "check.h"
#include "scratch.h"

/* Writes a file of a pretended system. */
static void put(const char *system, const char *file, const char *text)
{
    scratch_write(scratch_path("%s/%s", system, file), text);
}

static void put_siblings(const char *system, unsigned processor, const char *text)
{
    char file[96];
    snprintf(file, sizeof file, "sys/devices/system/cpu/cpu%u/topology/thread_siblings_list",
             processor);
    put(system, file, text);
}

/* The cores of a mask, as text. */
static void check_list(const char *system, uint64_t mask, const char *expected)
{
    uint8_t bytes[8];
    uint16_t processors[64] = {0};
    char text[256] = "";
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(mask >> 8 * i);
    uint32_t count = cores_list_of(scratch_path("%s", system), bytes, 8, processors, 64);
    for (uint32_t i = 0; i < count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%u ", processors[i]);
    CHECK(strcmp(text, expected) == 0, "%s, %llx: %s, not %s", system, (unsigned long long)mask,
          text, expected);
}

static void check_cores(void)
{
    for (unsigned i = 0; i < 8; i++) { /* hardware threads apart, as big machines count them */
        char text[16];
        snprintf(text, sizeof text, "%u,%u\n", i % 4, i % 4 + 4);
        put_siblings("apart", i, text);
        snprintf(text, sizeof text, "%u-%u\n", i / 2 * 2, i / 2 * 2 + 1);
        put_siblings("beside", i, text);
    }
    check_list("apart", 0xff, "0 1 2 3 ");
    check_list("apart", 0xf0, "4 5 6 7 ");
    check_list("apart", 0x36, "1 2 4 ");
    check_list("apart", 0x80, "7 ");
    check_list("beside", 0xff, "0 2 4 6 ");
    check_list("beside", 0xaa, "1 3 5 7 ");
    check_list("beside", 0x0d, "0 2 ");
    check_list("unknown", 0x105, "0 2 8 ");
    check_list("unknown", 0, "");
    uint8_t all = 0xff;
    uint16_t two[3] = {9, 9, 9};
    CHECK(cores_list_of(scratch_path("apart"), &all, 1, two, 2) == 4, "counted in all");
    CHECK(two[0] == 0 && two[1] == 1 && two[2] == 9, "written as far as there is room");
}

static void check_quota(const char *system, uint32_t expected)
{
    uint32_t found = cores_quota(scratch_path("%s", system));
    CHECK(found == expected, "%s: %u, not %u", system, found, expected);
}

static void check_quotas(void)
{
    check_quota("unknown", UINT32_MAX);

    put("v2", "proc/self/cgroup", "0::/outer/inner\n");
    put("v2", "sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
    check_quota("v2", UINT32_MAX);
    put("v2", "sys/fs/cgroup/outer/cpu.max", "300000 100000\n");
    check_quota("v2", 3);
    put("v2", "sys/fs/cgroup/outer/inner/cpu.max", "160000 100000\n");
    check_quota("v2", 2);
    put("v2", "sys/fs/cgroup/outer/inner/cpu.max", "5000 100000\n");
    check_quota("v2", 1);
    put("v2", "sys/fs/cgroup/outer/inner/cpu.max", "99999999999999 1\n");
    check_quota("v2", 3);

    /* A container sees its own group at the top, under a path that only the host has. */
    put("inside", "proc/self/cgroup", "0::/host/only\n");
    put("inside", "sys/fs/cgroup/cpu.max", "200000 100000\n");
    check_quota("inside", 2);

    put("v1", "proc/self/cgroup", "5:memory:/a\n4:cpuset:/c\n3:cpu,cpuacct:/a/b\n0::/x\n");
    put("v1", "sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "-1\n");
    put("v1", "sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "100000\n");
    check_quota("v1", UINT32_MAX);
    put("v1", "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "400000\n");
    put("v1", "sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
    check_quota("v1", 4);
    put("v1", "sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "0\n");
    check_quota("v1", UINT32_MAX);
}

int main(void)
{
    uint16_t unused;
    scratch_begin();
    check_cores();
    check_quotas();
    CHECK(cpu_cores() >= 1, "this machine");
    CHECK(cores_list(&unused, 0) >= cpu_cores(), "a quota takes away, and adds none");
    return test_result();
}
