/* base/memory: checked sizes, alignment, reservations, and what the machine and its groups have. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "check.h"
#include "scratch.h"

static void test_arithmetic(void)
{
    uint64_t out = 0;
    CHECK(u64_multiply(UINT32_MAX, UINT32_MAX, &out) && out == 18446744065119617025U, "product");
    CHECK(!u64_multiply((uint64_t)1 << 32, (uint64_t)1 << 32, &out), "2^64");
    CHECK(u64_add(UINT64_MAX, 0, &out) && out == UINT64_MAX, "sum");
    CHECK(!u64_add(UINT64_MAX, 1, &out), "2^64");
}

static void test_allocate(void)
{
    for (size_t bytes = 1; bytes < 300; bytes += 37) {
        char *block = memory_allocate(bytes);
        CHECK(block != NULL && (uintptr_t)block % 64 == 0, "%zu bytes", bytes);
        if (block != NULL)
            memset(block, 1, bytes);
        free(block);
    }
    CHECK(memory_allocate(SIZE_MAX - 3) == NULL, "rounding up must not wrap");
}

static void test_reserve(void)
{
    gptoss_error error = {0};
    void *start = NULL;
    size_t bytes = (size_t)1 << 36; /* 64 GiB: more than is there */
    CHECK(memory_reserve(bytes, "a test", &start, &error) == GPTOSS_OK, "%s", error.message);
    if (start != NULL) {
        unsigned char *byte = start;
        CHECK(byte[0] == 0 && byte[bytes - 1] == 0, "zero");
        byte[0] = 7;
        byte[bytes - 1] = 7;
        memory_discard(start, 1);
        CHECK(byte[0] == 0 && byte[bytes - 1] == 7, "the first page was given back");
        memory_discard(start, 0);
    }
    memory_release(start, bytes);
    memory_release(NULL, bytes);
    CHECK(memory_reserve(SIZE_MAX / 2, "a test", &start, &error) == GPTOSS_MEMORY && start == NULL,
          "more than the address space");
    CHECK(strstr(error.message, "bytes of address space for a test") != NULL, "%s", error.message);
}

/* Writes a file of a pretended system. */
static void put(const char *system, const char *file, const char *text)
{
    scratch_write(scratch_path("%s/%s", system, file), text);
}

static void check_limits(const char *system, uint64_t machine, uint64_t available)
{
    memory_limits found = memory_limits_read(scratch_path("%s", system));
    CHECK(found.machine == machine && found.available == available,
          "%s: machine %ju, available %ju", system, (uintmax_t)found.machine,
          (uintmax_t)found.available);
}

#define MEMINFO "MemTotal:  1000 kB\nMemFree:  100 kB\nMemAvailable:  600 kB\n"
#define MACHINE ((uint64_t)1000 << 10)
#define FREE    ((uint64_t)600 << 10)

static void test_limits(void)
{
    check_limits("nothing", 0, 0);
    put("plain", "proc/meminfo", MEMINFO);
    check_limits("plain", MACHINE, FREE);

    put("v2", "proc/meminfo", MEMINFO);
    put("v2", "proc/self/cgroup", "0::/a/b\n");
    put("v2", "sys/fs/cgroup/a/b/memory.max", "max\n");
    check_limits("v2", MACHINE, FREE);
    put("v2", "sys/fs/cgroup/a/b/memory.max", "500000\n");
    put("v2", "sys/fs/cgroup/a/b/memory.current", "300000\n");
    check_limits("v2", 500000, 200000);
    put("v2", "sys/fs/cgroup/a/b/memory.stat",
        "anon 1\nfile 100\ninactive_file 50000\nactive_file 10000\n");
    check_limits("v2", 500000, 260000);
    put("v2", "sys/fs/cgroup/a/memory.max", "400000\n"); /* an ancestor has less */
    put("v2", "sys/fs/cgroup/a/memory.current", "390000\n");
    check_limits("v2", 400000, 10000);
    put("v2", "sys/fs/cgroup/a/memory.current", "500000\n");
    check_limits("v2", 400000, 0);

    put("v1", "proc/meminfo", MEMINFO);
    put("v1", "proc/self/cgroup",
        "9:name=systemd:/\n8:cpu,cpuacct:/x\n4:hugetlb,memory:/job\n0::/\n");
    put("v1", "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("v1", "sys/fs/cgroup/memory/memory.usage_in_bytes", "900000\n");
    check_limits("v1", MACHINE, FREE);
    put("v1", "sys/fs/cgroup/memory/job/memory.limit_in_bytes", "700000\n");
    put("v1", "sys/fs/cgroup/memory/job/memory.usage_in_bytes", "690000\n");
    put("v1", "sys/fs/cgroup/memory/job/memory.stat",
        "inactive_file 1\ntotal_inactive_file 40000\ntotal_active_file 50000\n");
    check_limits("v1", 700000, 100000);

    put("hidden", "proc/meminfo", MEMINFO); /* a path that only the host can see */
    put("hidden", "proc/self/cgroup", "0::/docker/0123\n");
    put("hidden", "sys/fs/cgroup/memory.max", "123456\n");
    put("hidden", "sys/fs/cgroup/memory.current", "3456\n");
    check_limits("hidden", 123456, 120000);
}

int main(void)
{
    scratch_begin();
    test_arithmetic();
    test_allocate();
    test_reserve();
    test_limits();
    CHECK(memory_machine() > 0 && memory_available() > 0, "this machine");
    CHECK(memory_available() <= memory_machine(), "available");
    return test_result();
}
