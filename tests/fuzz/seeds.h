/* The files of a corpus directory. */
#ifndef TESTS_FUZZ_SEEDS_H
#define TESTS_FUZZ_SEEDS_H

#include <stddef.h>
#include <stdint.h>

typedef struct seed {
    char *path;
    uint8_t *data; /* never NULL */
    size_t size;
} seed;

typedef struct seed_list {
    seed *seeds; /* sorted by path */
    size_t count;
} seed_list;

/* Reads all files of a directory that are not hidden; ends the program with a message when there
 * are none. */
seed_list seeds_read(const char *directory);

void seeds_free(seed_list *list);

#endif
