/* What the processor can do. */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include <stdbool.h>
#include <stddef.h>

/* Names for sets of instructions, each a superset of the one before. */
typedef enum cpu_level {
    CPU_PLAIN,       /* baseline instructions only */
    CPU_AVX2,        /* AVX2, FMA and F16C */
    CPU_AVX512,      /* AVX-512 F, BW, DQ and VL besides */
    CPU_AVX512_VNNI, /* AVX-512 VNNI besides, and VBMI where the processor has it */
    CPU_AVX512_BF16, /* AVX-512 BF16 besides */
    CPU_AMX,         /* AMX tiles of bfloat16 numbers besides */
} cpu_level;

#define CPU_LEVELS 6

/* The names of all levels in one sentence, for messages. */
#define CPU_LEVEL_NAMES "plain, avx2, avx512, avx512-vnni, avx512-bf16 or amx"

/* How weights that are read once come from memory fastest (kernel/ahead.h). */
typedef enum cpu_fetching {
    CPU_FETCHES_ONCE,  /* asked for into the first cache */
    CPU_FETCHES_TWICE, /* into the second, and later into the first: Intel's */
    CPU_FETCHES_NEAR,  /* at the last moment where they are read as they lie, else twice: Zen 4 */
} cpu_fetching;

#define CPU_FETCHINGS 3

/* What kernels ask for, one by one: a processor may have VNNI without BF16, or the reverse. */
typedef struct cpu_features {
    bool avx2;         /* AVX2, FMA and F16C */
    bool avx512;       /* AVX-512 F, BW, DQ and VL */
    bool vnni;         /* AVX-512 VNNI */
    bool vbmi;         /* AVX-512 VBMI */
    bool bf16;         /* AVX-512 BF16, */
    bool bf16_doubles; /* which multiplies twice as many numbers a second as float32's FMA: AMD's
                          does, Intel's does half as many */
    bool zen4;         /* AMD's Zen 4, which scales floats in units of their own */
    cpu_fetching fetching;
    size_t first_cache; /* bytes of a core's cache for data that is nearest; 0: unknown */
    bool amx;           /* AMX tiles of bfloat16 numbers, which the system lets this process use */
} cpu_features;

/* One of CPU_LEVEL_NAMES. */
const char *cpu_level_name(cpu_level level);

/* The highest level that this processor and this build have. */
cpu_level cpu_highest(void);

/* The level of gptoss_cpu_choose, else of the environment variable GPTOSS_CPU, else the highest.
 * What is asked for and cannot be had counts as not asked for. */
cpu_level cpu_detect(void);

/* cpu_detect(), and no other level can be chosen from then on. */
cpu_level cpu_settle(void);

/* The processor's features that belong to a level. */
cpu_features cpu_level_features(cpu_level level);

#endif
