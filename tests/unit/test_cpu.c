/* Levels of instructions: what may be asked for, and when. */
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "check.h"
#include "gptoss.h"
#include "kernel/kernel.h"

static const char *const levels[] = {"plain",       "avx2",        "avx512",
                                     "avx512-vnni", "avx512-bf16", "amx"};

static void expect(gptoss_status wanted, const char *level, const char *words)
{
    gptoss_error error = {.message = ""};
    gptoss_status found = gptoss_cpu_choose(level, &error);
    CHECK(found == wanted, "%s: %d, not %d: %s", level, found, wanted, error.message);
    CHECK(strstr(error.message, words) != NULL, "expected \"%s\" in \"%s\"", words, error.message);
}

static void check_environment(void)
{
    unsetenv("GPTOSS_CPU");
    expect(GPTOSS_OK, NULL, "");
    CHECK(cpu_detect() == cpu_highest(), "%s", gptoss_cpu_level());
    for (cpu_level level = CPU_PLAIN; level < CPU_LEVELS; level++) {
        setenv("GPTOSS_CPU", levels[level], 1);
        bool had = level <= cpu_highest();
        expect(had ? GPTOSS_OK : GPTOSS_UNSUPPORTED, NULL,
               had ? "" : "GPTOSS_CPU: expected at most ");
        CHECK(cpu_detect() == (had ? level : cpu_highest()), "%s gives %s", levels[level],
              gptoss_cpu_level());
    }
    setenv("GPTOSS_CPU", "avx", 1);
    expect(GPTOSS_USAGE, NULL,
           "GPTOSS_CPU: expected plain, avx2, avx512, avx512-vnni, avx512-bf16 or "
           "amx, found \"avx\"");
}

/* What is chosen goes before the environment, until the kernels are used. */
static void check_choice(void)
{
    setenv("GPTOSS_CPU", "nonsense", 1);
    expect(GPTOSS_USAGE, "", "found \"\"");
    expect(GPTOSS_USAGE, "sse9", "found \"sse9\"");
    if (cpu_highest() < CPU_AMX)
        expect(GPTOSS_UNSUPPORTED, "amx", cpu_level_name(cpu_highest()));
    expect(GPTOSS_OK, cpu_level_name(cpu_highest()), "");
    expect(GPTOSS_OK, "plain", "");
    expect(GPTOSS_OK, NULL, "");
    CHECK(strcmp(gptoss_cpu_level(), "plain") == 0, "%s", gptoss_cpu_level());
    kernel();
    expect(GPTOSS_OK, "plain", "");
    if (cpu_highest() > CPU_PLAIN)
        expect(GPTOSS_USAGE, cpu_level_name(cpu_highest()), "after the kernels had begun");
    CHECK(strcmp(gptoss_cpu_level(), "plain") == 0, "%s", gptoss_cpu_level());
}

int main(void)
{
    check_environment();
    check_choice();
    return test_result();
}
