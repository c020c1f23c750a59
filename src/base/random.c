#include "base/random.h"

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t index)
{
    const uint64_t step = 0x9e3779b97f4a7c15U; /* 2^64 / golden ratio */
    return mix(mix(mix(seed + step) + stream + step) + index + step);
}

double random_unit(uint64_t seed, uint64_t stream, uint64_t index)
{
    return ((double)(random_bits(seed, stream, index) >> 11) + 0.5) * 0x1p-53;
}
