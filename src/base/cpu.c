#include "base/cpu.h"

#if defined(GPTOSS_X86_KERNELS)
#include <cpuid.h>
#endif
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#if defined(GPTOSS_X86_KERNELS) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/status.h"

static const char *const level_names[CPU_LEVELS] = {"plain",       "avx2",        "avx512",
                                                    "avx512-vnni", "avx512-bf16", "amx"};

const char *cpu_level_name(cpu_level level)
{
    return level < CPU_LEVELS ? level_names[level] : "no level";
}

const char *gptoss_cpu_level(void)
{
    return cpu_level_name(cpu_detect());
}

#if defined(GPTOSS_X86_KERNELS)
/* By hand, because clang before version 16 does not know the names. */
static bool has_f16c(void)
{
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
static bool has_avx512_bf16(void)
{
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & 1U << 5) != 0;
}

/* AMD calls Zen 3 and Zen 4 family 25; of these only Zen 4 has AVX-512. */
static bool is_zen4(const cpu_features *has)
{
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (!has->avx512 || !__builtin_cpu_is("amd") || __get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0)
        return false;
    return (eax >> 8 & 15) + (eax >> 20 & 255) == 25;
}

/* Of the processor's first data cache, which both makers describe alike, AMD in a leaf of its own.
 */
static size_t first_cache_bytes(void)
{
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    unsigned leaf = __builtin_cpu_is("amd") ? 0x8000001dU : 4;
    if (__get_cpuid_count(leaf, 0, &eax, &ebx, &ecx, &edx) == 0 || (eax & 31) != 1)
        return 0;
    size_t ways = (ebx >> 22) + 1;
    size_t partitions = (ebx >> 12 & 1023) + 1;
    size_t line = (ebx & 4095) + 1;
    return ways * partitions * line * ((size_t)ecx + 1);
}

/* AMX_TILE and AMX_BF16; the registers are too large for the system to keep without being asked. */
static bool may_use_amx(void)
{
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    const unsigned wanted = 1U << 24 | 1U << 22;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (edx & wanted) != wanted)
        return false;
#if defined(__linux__)
    enum { REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 }; /* of <asm/prctl.h>; the manual: arch_prctl */
    return syscall(SYS_arch_prctl, REQ_XCOMP_PERM, XTILEDATA) == 0;
#else
    return false;
#endif
}
#endif

static cpu_features hardware;

static void find_features(void)
{
    cpu_features has = {0};
#if defined(GPTOSS_X86_KERNELS)
    __builtin_cpu_init();
    has.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    has.avx512 = has.avx2 && __builtin_cpu_supports("avx512f") &&
                 __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                 __builtin_cpu_supports("avx512vl");
    has.vnni = has.avx512 && __builtin_cpu_supports("avx512vnni");
    has.vbmi = has.avx512 && __builtin_cpu_supports("avx512vbmi");
    has.bf16 = has.avx512 && has_avx512_bf16();
    has.bf16_doubles = has.bf16 && __builtin_cpu_is("amd");
    has.zen4 = is_zen4(&has);
    has.fetching = has.zen4                    ? CPU_FETCHES_NEAR
                   : __builtin_cpu_is("intel") ? CPU_FETCHES_TWICE
                                               : CPU_FETCHES_ONCE;
    has.first_cache = first_cache_bytes();
    has.amx = has.bf16 && may_use_amx();
#endif
    hardware = has;
}

static cpu_features hardware_features(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_features);
    return hardware;
}

cpu_level cpu_highest(void)
{
    cpu_features has = hardware_features();
    if (has.amx)
        return CPU_AMX;
    if (has.bf16)
        return CPU_AVX512_BF16;
    if (has.vnni)
        return CPU_AVX512_VNNI;
    return has.avx512 ? CPU_AVX512 : has.avx2 ? CPU_AVX2 : CPU_PLAIN;
}

cpu_features cpu_level_features(cpu_level level)
{
    cpu_features has = hardware_features();
    has.avx2 = has.avx2 && level >= CPU_AVX2;
    has.avx512 = has.avx512 && level >= CPU_AVX512;
    has.vnni = has.vnni && level >= CPU_AVX512_VNNI;
    has.vbmi = has.vbmi && level >= CPU_AVX512_VNNI;
    has.bf16 = has.bf16 && level >= CPU_AVX512_BF16;
    has.bf16_doubles = has.bf16_doubles && has.bf16;
    has.amx = has.amx && level >= CPU_AMX;
    return has;
}

/* ---- the level in use ------------------------------------------------------------------------ */

static atomic_int chosen = CPU_LEVELS; /* CPU_LEVELS: none */
static atomic_bool settled;

/* The level of that name; CPU_LEVELS when there is none. */
static int level_named(const char *name)
{
    int level = 0;
    while (level < CPU_LEVELS && strcmp(name, level_names[level]) != 0)
        level++;
    return level;
}

cpu_level cpu_detect(void)
{
    const char *wish = getenv("GPTOSS_CPU");
    int level = atomic_load(&chosen);
    if (level == CPU_LEVELS && wish != NULL)
        level = level_named(wish);
    cpu_level highest = cpu_highest();
    return level <= (int)highest ? (cpu_level)level : highest;
}

cpu_level cpu_settle(void)
{
    atomic_store(&settled, true);
    return cpu_detect();
}

gptoss_status gptoss_cpu_choose(const char *level, gptoss_error *error)
{
    const char *asked = level != NULL ? level : getenv("GPTOSS_CPU");
    const char *who = level != NULL ? "the instructions to use" : "GPTOSS_CPU";
    if (asked == NULL || (level == NULL && atomic_load(&chosen) != CPU_LEVELS))
        return GPTOSS_OK;
    int found = level_named(asked);
    if (found == CPU_LEVELS)
        return fail(error, GPTOSS_USAGE, "%s: expected " CPU_LEVEL_NAMES ", found \"%s\"", who,
                    asked);
    if (found > (int)cpu_highest())
        return fail(error, GPTOSS_UNSUPPORTED,
                    "%s: expected at most %s, which is all that this processor and this build "
                    "have, found %s",
                    who, cpu_level_name(cpu_highest()), asked);
    if (level == NULL)
        return GPTOSS_OK;
    if (atomic_load(&settled) && found != (int)cpu_detect())
        return fail(error, GPTOSS_USAGE,
                    "%s: %s was chosen after the kernels had begun to run with %s", who, asked,
                    gptoss_cpu_level());
    atomic_store(&chosen, found);
    return GPTOSS_OK;
}
