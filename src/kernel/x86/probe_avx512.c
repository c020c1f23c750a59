/* The probes with AVX-512. */
#include <immintrin.h>
#include <stdbool.h>

#include "kernel/probe.h"

/* `ask` is a constant after inlining. */
static inline __attribute__((always_inline)) uint64_t add_words(const uint8_t *data, size_t bytes,
                                                                bool ask)
{
    __m512i sums[8];
    for (size_t i = 0; i < 8; i++)
        sums[i] = _mm512_setzero_si512();
    for (size_t at = 0; at < bytes; at += sizeof sums) {
#pragma GCC unroll 8
        for (size_t i = 0; i < 8; i++) {
            if (ask)
                _mm_prefetch((const char *)data + at + 64 * i + PROBE_AHEAD, _MM_HINT_T0);
            sums[i] = _mm512_add_epi64(sums[i], _mm512_loadu_si512(data + at + 64 * i));
        }
    }
    for (size_t i = 1; i < 8; i++)
        sums[0] = _mm512_add_epi64(sums[0], sums[i]);
    uint64_t lanes[8]; /* added without sign: the sum wraps around */
    _mm512_storeu_si512(lanes, sums[0]);
    uint64_t sum = 0;
    for (size_t lane = 0; lane < 8; lane++)
        sum += lanes[lane];
    return sum;
}

static uint64_t read_words(const uint8_t *data, size_t bytes)
{
    return add_words(data, bytes, false);
}

static uint64_t read_asking(const uint8_t *data, size_t bytes)
{
    return add_words(data, bytes, true);
}

static void multiply_add(size_t rounds, float *x)
{
    enum { CHAINS = PROBE_FLOATS / 16 };
    const __m512 half = _mm512_set1_ps(0.5F);
    const __m512 one = _mm512_set1_ps(1.0F);
    __m512 chains[CHAINS];
#pragma GCC unroll 12
    for (size_t i = 0; i < CHAINS; i++)
        chains[i] = _mm512_loadu_ps(x + 16 * i);
    for (size_t round = 0; round < rounds; round++) {
#pragma GCC unroll 12
        for (size_t i = 0; i < CHAINS; i++)
            chains[i] = _mm512_fmadd_ps(chains[i], half, one);
    }
#pragma GCC unroll 12
    for (size_t i = 0; i < CHAINS; i++)
        _mm512_storeu_ps(x + 16 * i, chains[i]);
}

void probe_overlay_avx512(probe_table *table)
{
    *table = (probe_table){read_words, read_asking, multiply_add};
}
