/* The probes with baseline instructions. */
#include "kernel/probe.h"

#include <string.h>

static uint64_t read_words(const uint8_t *data, size_t bytes)
{
    uint64_t sums[4] = {0};
    for (size_t at = 0; at < bytes; at += sizeof sums) {
        uint64_t words[4];
        memcpy(words, data + at, sizeof words);
        for (size_t i = 0; i < 4; i++)
            sums[i] += words[i];
    }
    return sums[0] + sums[1] + sums[2] + sums[3];
}

/* What a baseline register holds; compilers for other machines split or join it. */
typedef float four __attribute__((vector_size(16)));

/* 12 registers of the 16 at a time. */
static void multiply_add(size_t rounds, float *x)
{
    enum { CHAINS = 12 };
    for (size_t first = 0; first < PROBE_FLOATS; first += (size_t)4 * CHAINS) {
        four chains[CHAINS];
        memcpy(chains, x + first, sizeof chains);
        for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 12
            for (size_t i = 0; i < CHAINS; i++)
                chains[i] = chains[i] * 0.5F + 1.0F;
        }
        memcpy(x + first, chains, sizeof chains);
    }
}

void probe_overlay_plain(probe_table *table)
{
    *table = (probe_table){read_words, read_words, multiply_add};
}
