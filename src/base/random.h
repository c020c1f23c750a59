/* Random numbers that are a function of their place: no state, the same on every machine. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdint.h>

/* 64 well-mixed bits of (seed, stream, index). Source of the mixing: SplitMix64, Steele et al.
 * 2014. */
uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t index);

/* A number in the open interval (0, 1) with 53 bits. */
double random_unit(uint64_t seed, uint64_t stream, uint64_t index);

/* Gumbel noise of a place: -log(-log(u)), u the unit number there. */
double random_gumbel(uint64_t seed, uint64_t stream, uint64_t index);

/* Not below random_gumbel, above 0, and where that is above 2 no more than 0.15 above it; much
 * cheaper. */
double random_gumbel_above(uint64_t seed, uint64_t stream, uint64_t index);

#endif
