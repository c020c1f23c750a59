/*
 * Checks every kernel of every level: bit-equal to plain C, and plain C against double precision.
 *
 *     kcheck [SEED]           check everything
 *     kcheck --highest [SEED] check the highest level of this machine only
 *     kcheck --bench [SEED]   time every kernel at every level on sizes of gpt-oss
 *     kcheck --memory [SEED]  time what reads weights once, out of all caches, at the highest level
 *
 * Inputs end at a page that may not be touched, begin at odd addresses where a kernel allows it,
 * and have lengths around every boundary of the canonical order.
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

/* Checks or times the kernels of a processor that has these features. */
static void run(const kernel_table *plain, cpu_features has, const char *level, bool bench)
{
    kernel_table table;
    kernel_table_init(&table, has);
    subject s = {plain, has.avx2 ? &table : NULL, level};
    if (bench) {
        printf("%s\n", s.level);
        bench_float(&table);
        bench_attend(&table);
        bench_dense(&table);
        bench_gemm(&table);
        bench_fixed(&table);
        bench_q8(&table);
        bench_bfloat(&table);
        bench_sketch(&table);
        bench_probe(&table);
    } else {
        check_float(&s);
        check_attend(&s);
        check_dense(&s);
        check_gemm(&s);
        check_fixed(&s);
        check_q8(&s);
        check_bfloat(&s);
        check_sketch(&s);
        check_probe(&s);
    }
}

int main(int argc, char **argv)
{
    bool bench = argc > 1 && strcmp(argv[1], "--bench") == 0;
    bool highest = argc > 1 && strcmp(argv[1], "--highest") == 0;
    bool memory = argc > 1 && strcmp(argv[1], "--memory") == 0;
    if (argc > 1 + (bench || highest || memory ? 1 : 0))
        seed = strtoull(argv[argc - 1], NULL, 0);
    kernel_table plain;
    kernel_table_init(&plain, cpu_level_features(CPU_PLAIN));
    printf("kcheck: seed %llu, this machine: %s\n", (unsigned long long)seed,
           cpu_level_name(cpu_detect()));
    if (memory) {
        kernel_table table;
        kernel_table_init(&table, cpu_level_features(cpu_detect()));
        bench_memory(&table);
        return 0;
    }
    for (cpu_level level = highest ? cpu_detect() : CPU_PLAIN; level <= cpu_detect(); level++)
        run(&plain, cpu_level_features(level), cpu_level_name(level), bench);
    cpu_features has = cpu_level_features(CPU_AVX512_VNNI);
    if (cpu_detect() >= CPU_AVX512_VNNI && has.vbmi) {
        has.vbmi = false;
        run(&plain, has, "avx512-vnni without VBMI", bench);
    }
    has = cpu_level_features(cpu_detect());
    for (int i = 1; has.avx2 && i < CPU_FETCHINGS; i++) { /* what other processors would take */
        static const char *const names[CPU_FETCHINGS] = {
            "weights asked for once", "weights asked for twice", "weights asked for near"};
        has.fetching = (has.fetching + 1) % CPU_FETCHINGS;
        has.zen4 = has.fetching == CPU_FETCHES_NEAR;
        has.first_cache = i == 1 ? 32768 : 49152;
        run(&plain, has, names[has.fetching], bench);
    }
    if (!bench)
        printf("%ld checks, %ld failed\n", checks, failures);
    return failures == 0 && (bench || checks > 0) ? 0 : 1;
}
