/* Random numbers that are a function of their place: no state, the same on every machine. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdint.h>

/* 64 well-mixed bits of (seed, stream, index). Source of the mixing: SplitMix64, Steele et al.
 * 2014. */
uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t index);

/* A number in the open interval (0, 1) with 53 bits. */
double random_unit(uint64_t seed, uint64_t stream, uint64_t index);

#endif
