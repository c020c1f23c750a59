/*
 * Runs the files of a corpus directory through a target.
 *
 *     replay_NAME DIRECTORY
 *
 * Files whose names begin with "good" must be loaded, all others are only run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "seeds.h"

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    seed_list list = seeds_read(argv[1]);
    int failed = 0;
    for (size_t i = 0; i < list.count; i++) {
        /* A copy of the exact size, so that the address sanitizer sees the end. */
        size_t size = list.seeds[i].size;
        uint8_t *copy = malloc(size);
        if (copy == NULL && size > 0)
            return 2;
        if (size > 0)
            memcpy(copy, list.seeds[i].data, size);
        LLVMFuzzerTestOneInput(copy, size);
        free(copy);
        const char *name = strrchr(list.seeds[i].path, '/') + 1;
        bool loaded = fuzz_last_status() == GPTOSS_OK;
        printf("%-32s %s\n", name, loaded ? "loaded" : fuzz_last_message());
        failed += strncmp(name, "good", 4) == 0 && !loaded;
    }
    printf("%zu inputs, %d of those that should load did not\n", list.count, failed);
    seeds_free(&list);
    return failed == 0 ? 0 : 1;
}
