#include "harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/number.h"
#include "base/random.h"

uint64_t seed = 20260101;
static uint64_t drawn;
long checks;
long failures;

void check(bool holds, const char *kernel_name, const char *level, const char *what, size_t n)
{
    checks++;
    if (holds)
        return;
    failures++;
    printf("FAIL %s at %s: %s, n = %zu, seed %llu\n", kernel_name, level, what, n,
           (unsigned long long)seed);
}

guarded guard(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    guarded g = {.bytes = (size + page - 1) / page * page + 2 * page};
    g.map = mmap(NULL, g.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect(g.map, page, PROT_NONE) != 0 ||
        mprotect(g.map + g.bytes - page, page, PROT_NONE) != 0) {
        perror("kcheck: guard pages");
        exit(1);
    }
    g.end_aligned = g.map + g.bytes - page - size;
    return g;
}

void unguard(guarded *g)
{
    munmap(g->map, g->bytes);
}

uint64_t draw(void)
{
    return random_bits(seed, 3, drawn++);
}

float normal(void)
{
    double sum = 0.0;
    for (int i = 0; i < 12; i++)
        sum += random_unit(seed, 1, drawn++);
    return (float)(sum - 6.0);
}

void fill_normal(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = normal();
}

void fill_bytes(uint8_t *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (uint8_t)random_bits(seed, 2, drawn++);
}

bool same_bits(const float *a, const float *b, size_t n)
{
    return memcmp(a, b, n * sizeof *a) == 0;
}

bool same_numbers(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(isnan(a[i]) && isnan(b[i])) && bits_from_float(a[i]) != bits_from_float(b[i]))
            return false;
    return true;
}

double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
