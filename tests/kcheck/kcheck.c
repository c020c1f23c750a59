/*
 * Checks every kernel of every level: bit-equal to plain C, and plain C against double precision.
 *
 *     kcheck [SEED]           check everything
 *     kcheck --bench [SEED]   time every kernel at every level on sizes of gpt-oss
 *
 * Inputs end at a page that may not be touched, begin at odd addresses where a kernel allows it,
 * and have lengths around every boundary of the canonical order.
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

int main(int argc, char **argv)
{
    bool bench = argc > 1 && strcmp(argv[1], "--bench") == 0;
    if (argc > 1 + (bench ? 1 : 0))
        seed = strtoull(argv[argc - 1], NULL, 0);
    kernel_table plain;
    kernel_table_init(&plain, cpu_level_features(CPU_PLAIN));
    printf("kcheck: seed %llu, this machine: %s\n", (unsigned long long)seed,
           cpu_level_name(cpu_detect()));
    for (cpu_level level = CPU_PLAIN; level <= cpu_detect(); level++) {
        kernel_table table;
        kernel_table_init(&table, cpu_level_features(level));
        subject s = {&plain, level == CPU_PLAIN ? NULL : &table, cpu_level_name(level)};
        if (bench) {
            printf("%s\n", s.level);
            bench_float(&table);
            bench_fixed(&table);
            bench_sketch(&table);
            bench_probe(&table);
        } else {
            check_float(&s);
            check_fixed(&s);
            check_sketch(&s);
            check_probe(&s);
        }
    }
    if (!bench)
        printf("%ld checks, %ld failed\n", checks, failures);
    return failures == 0 && (bench || checks > 0) ? 0 : 1;
}
