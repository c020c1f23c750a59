/* What the checks of all kernels share: verdicts, guarded memory, inputs, timing. */
#ifndef KCHECK_HARNESS_H
#define KCHECK_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "kernel/kernel.h"

/* Where all random inputs come from. */
extern uint64_t seed;

extern long checks;
extern long failures;

/* Counts a check and prints its failure. */
void check(bool holds, const char *kernel_name, const char *level, const char *what, size_t n);

typedef struct guarded {
    uint8_t *map;
    size_t bytes;
    void *end_aligned; /* `size` bytes that end where a page begins that may not be touched */
} guarded;

guarded guard(size_t size);
void unguard(guarded *g);

/* 64 random bits. */
uint64_t draw(void);

/* Roughly normal, of unit variance. */
float normal(void);
void fill_normal(float *x, size_t n);
void fill_bytes(uint8_t *x, size_t n);

bool same_bits(const float *a, const float *b, size_t n);

/* NaN is equal to NaN whatever its payload; everything else by its bits. */
bool same_numbers(const float *a, const float *b, size_t n);

/* What is checked: `plain` against its oracle when `other` is NULL, else `other` against `plain`.
 */
typedef struct subject {
    const kernel_table *plain;
    const kernel_table *other;
    const char *level;
} subject;

double now(void);

/* Prints the best time of a statement, as units per second. */
#define BENCH(name, units, unit, statement)                                                        \
    do {                                                                                           \
        double best = 1e9;                                                                         \
        for (int run = 0; run < 20; run++) {                                                       \
            double start = now();                                                                  \
            statement;                                                                             \
            double time = now() - start;                                                           \
            best = time < best ? time : best;                                                      \
        }                                                                                          \
        printf("  %-14s %8.2f %s\n", name, (double)(units) / best * 1e-9, unit);                   \
    } while (0)

/* One file per family of kernels. */
void check_float(const subject *s);
void bench_float(const kernel_table *table);
void check_dense(const subject *s);
void bench_dense(const kernel_table *table);
void check_gemm(const subject *s);
void bench_gemm(const kernel_table *table);
void check_fixed(const subject *s);
void bench_fixed(const kernel_table *table);
void check_q8(const subject *s);
void bench_q8(const kernel_table *table);
void check_bfloat(const subject *s);
void bench_bfloat(const kernel_table *table);
void check_sketch(const subject *s);
void bench_sketch(const kernel_table *table);
void check_probe(const subject *s);
void bench_probe(const kernel_table *table);
void check_attend(const subject *s);
void bench_attend(const kernel_table *table);
void bench_memory(const kernel_table *table);

#endif
