#include "seeds.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static _Noreturn void give_up(const char *path)
{
    perror(path);
    exit(2);
}

static seed read_seed(const char *directory, const char *name)
{
    seed out = {0};
    struct stat info;
    if (asprintf(&out.path, "%s/%s", directory, name) < 0)
        give_up(directory);
    FILE *file = fopen(out.path, "rb");
    if (file == NULL || fstat(fileno(file), &info) != 0)
        give_up(out.path);
    out.size = (size_t)info.st_size;
    out.data = malloc(out.size + 1);
    if (out.data == NULL || fread(out.data, 1, out.size, file) != out.size)
        give_up(out.path);
    fclose(file);
    return out;
}

static int compare_paths(const void *left, const void *right)
{
    const seed *a = left;
    const seed *b = right;
    return strcmp(a->path, b->path);
}

seed_list seeds_read(const char *directory)
{
    seed_list list = {0};
    DIR *listed = opendir(directory);
    if (listed == NULL)
        give_up(directory);
    for (const struct dirent *entry; (entry = readdir(listed)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        seed *seeds = realloc(list.seeds, (list.count + 1) * sizeof *seeds);
        if (seeds == NULL)
            give_up(directory);
        list.seeds = seeds;
        list.seeds[list.count++] = read_seed(directory, entry->d_name);
    }
    closedir(listed);
    if (list.count == 0) {
        fprintf(stderr, "%s holds no seeds\n", directory);
        exit(2);
    }
    qsort(list.seeds, list.count, sizeof *list.seeds, compare_paths);
    return list;
}

void seeds_free(seed_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->seeds[i].path);
        free(list->seeds[i].data);
    }
    free(list->seeds);
    *list = (seed_list){0};
}
