/* Seeded mutations of files that consist of JSON or contain it. */
#ifndef TESTS_FUZZ_MUTATOR_H
#define TESTS_FUZZ_MUTATOR_H

#include <stddef.h>
#include <stdint.h>

#include "seeds.h"

/* Bytes that grow. */
typedef struct bytes {
    uint8_t *data;
    size_t size;
    size_t room;
} bytes;

/* The same state gives the same numbers on every machine (splitmix64). */
typedef struct dice {
    uint64_t state;
} dice;

/* A number below `sides`, which is not 0. */
uint64_t dice_roll(dice *rng, uint64_t sides);

/* Replaces *out by a copy. */
void bytes_set(bytes *out, const uint8_t *data, size_t size);

/*
 * Changes *text in one to four places, mostly in one. Most changes keep it near JSON: a number, a
 * value or a name becomes another, a member or an element is deleted, repeated or wrapped; the
 * others flip, insert, delete and repeat bytes, cut the end off, or splice in a piece of another
 * seed.
 */
void mutate_text(dice *rng, const seed_list *seeds, bytes *text);

/* The same for the header of a safetensors file, whose length field then mostly agrees again; now
 * and then the length or the amount of data changes too. */
void mutate_safetensors(dice *rng, const seed_list *seeds, bytes *file);

#endif
