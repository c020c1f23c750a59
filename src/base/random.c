#include "base/random.h"

#include <math.h>
#include <string.h>

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

double random_gumbel(uint64_t seed, uint64_t stream, uint64_t index)
{
    return -log(-log(random_unit(seed, stream, index)));
}

/*
 * With v = 1 - u, -log(-log(1 - v)) <= -log(v), since -log(1 - v) >= v. v has the same form as u,
 * its bits inverted. For v = 2^e (1 + f), log2(v) >= e + f, and e + f + 1023 is what the bits of v
 * are as a number, over 2^52. The 2^-20 cover every rounding, the logarithms' too.
 */
double random_gumbel_above(uint64_t seed, uint64_t stream, uint64_t index)
{
    double v = ((double)(~random_bits(seed, stream, index) >> 11) + 0.5) * 0x1p-53;
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return (1023.0 - (double)bits * 0x1p-52) * 0.69314718055994531 + 0x1p-20;
}
