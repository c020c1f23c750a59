/* What the processor can do and how many cores this process may use. */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include <stdbool.h>
#include <stdint.h>

typedef enum cpu_level {
    CPU_PLAIN,  /* baseline instructions only */
    CPU_AVX2,   /* AVX2, FMA and F16C */
    CPU_AVX512, /* AVX-512 F, BW, DQ and VL besides */
} cpu_level;

/* "plain", "avx2" or "avx512". */
const char *cpu_level_name(cpu_level level);

/* The highest level of the processor, lowered by the environment variable GPTOSS_CPU. */
cpu_level cpu_detect(void);

/* Whether GPTOSS_CPU, if set, names a level. */
bool cpu_wish_known(void);

/* Physical cores in this process's affinity mask, within its control group's quota. At least 1. */
uint32_t cpu_cores(void);

#endif
