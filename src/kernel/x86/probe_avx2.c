/* The probes with AVX2 and FMA. */
#include <immintrin.h>
#include <stdbool.h>

#include "kernel/probe.h"

/* `ask` is a constant after inlining. */
static inline __attribute__((always_inline)) uint64_t add_words(const uint8_t *data, size_t bytes,
                                                                bool ask)
{
    __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                       _mm256_setzero_si256()};
    for (size_t at = 0; at < bytes; at += sizeof sums) {
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++) {
            const uint8_t *from = data + at + 32 * i;
            if (ask && i % 2 == 0)
                _mm_prefetch((const char *)from + PROBE_AHEAD, _MM_HINT_T0);
            sums[i] =
                _mm256_add_epi64(sums[i], _mm256_loadu_si256((const __m256i *)(const void *)from));
        }
    }
    uint64_t words[4];
    __m256i all =
        _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3]));
    _mm256_storeu_si256((__m256i *)(void *)words, all);
    return words[0] + words[1] + words[2] + words[3];
}

static uint64_t read_words(const uint8_t *data, size_t bytes)
{
    return add_words(data, bytes, false);
}

static uint64_t read_asking(const uint8_t *data, size_t bytes)
{
    return add_words(data, bytes, true);
}

/* 12 registers of the 16, twice. */
static void multiply_add(size_t rounds, float *x)
{
    enum { CHAINS = 12 };
    const __m256 half = _mm256_set1_ps(0.5F);
    const __m256 one = _mm256_set1_ps(1.0F);
    for (size_t first = 0; first < PROBE_FLOATS; first += (size_t)8 * CHAINS) {
        __m256 chains[CHAINS];
#pragma GCC unroll 12
        for (size_t i = 0; i < CHAINS; i++)
            chains[i] = _mm256_loadu_ps(x + first + 8 * i);
        for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 12
            for (size_t i = 0; i < CHAINS; i++)
                chains[i] = _mm256_fmadd_ps(chains[i], half, one);
        }
#pragma GCC unroll 12
        for (size_t i = 0; i < CHAINS; i++)
            _mm256_storeu_ps(x + first + 8 * i, chains[i]);
    }
}

void probe_overlay_avx2(probe_table *table)
{
    *table = (probe_table){read_words, read_asking, multiply_add};
}
