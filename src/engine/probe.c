/* What the machine can do, beside which a model's speed is judged. */
#include "op/probe.h"

#include "base/memory.h"
#include "op/parallel.h"

/* Several times the largest caches: of 256 MiB a cache of 260 MB gave a fifth more. A quarter of
 * what is available where that is less. */
#define MOST_BYTES  ((size_t)1 << 30)
#define LEAST_BYTES ((size_t)16 << 20)
#define SECONDS     0.3

gptoss_status gptoss_probe(uint32_t threads, gptoss_probe_result *out, gptoss_error *error)
{
    *out = (gptoss_probe_result){0};
    threads = threads == 0 ? parallel_default() : threads;
    if (threads > PARALLEL_MAX_THREADS)
        return fail(error, GPTOSS_LIMIT, "%u threads: expected at most %d", threads,
                    PARALLEL_MAX_THREADS);
    threads = threads > parallel_limit() ? parallel_limit() : threads;
    uint64_t available = memory_available();
    size_t bytes = MOST_BYTES;
    if (available > 0 && available / 4 < bytes)
        bytes = available / 4 > LEAST_BYTES ? (size_t)(available / 4) : LEAST_BYTES;
    void *memory;
    gptoss_status status = memory_reserve(bytes, "a probe of the memory", &memory, error);
    if (status != GPTOSS_OK)
        return status;
    memory_prefer_huge_pages(memory, bytes);
    probe_speed found = probe_run(threads, memory, bytes, SECONDS);
    memory_release(memory, bytes);
    *out = (gptoss_probe_result){threads, found.bytes_per_second, found.flops_per_second};
    return GPTOSS_OK;
}
