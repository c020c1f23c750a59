/*
 * Runs many mutations of a corpus through a target, the same ones on every machine.
 *
 *     mutate_NAME DIRECTORY COUNT [SEED [FIRST]]
 *
 * Prints how many were loaded and how many refused with which status. When the library breaks its
 * word, or takes longer than ten seconds over one input, the number of the input is printed, which
 * given as FIRST with COUNT 1 makes it again.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "mutator.h"
#include "seeds.h"

#define SECONDS_PER_INPUT 10

/* In the address sanitizer's run-time, when there is one. */
/* NOLINTNEXTLINE(bugprone-reserved-identifier): its name is not ours to choose */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

/* Made before each run: a signal handler may not format. */
static char last_words[64];

static void say_current(void)
{
    if (write(STDERR_FILENO, last_words, strlen(last_words)) < 0)
        _exit(3);
}

static void on_signal(int number)
{
    say_current();
    signal(number, SIG_DFL);
    raise(number);
}

static void watch_for_death(void)
{
    signal(SIGALRM, on_signal);
    signal(SIGABRT, on_signal);
    if (__sanitizer_set_death_callback != NULL)
        __sanitizer_set_death_callback(say_current);
    else
        signal(SIGSEGV, on_signal);
}

/* The input with a number depends on nothing but the number, the seed and the corpus. */
static void make_input(const seed_list *list, uint64_t seed_value, uint64_t number, bytes *out)
{
    dice rng = {.state = seed_value ^ number * 0xd1342543de82ef95U};
    const seed *from = &list->seeds[dice_roll(&rng, list->count)];
    size_t length = strlen(from->path);
    bytes_set(out, from->data, from->size);
    if (length > 12 && strcmp(from->path + length - 12, ".safetensors") == 0)
        mutate_safetensors(&rng, list, out);
    else
        mutate_text(&rng, list, out);
}

static void run_input(const bytes *input)
{
    uint8_t *copy = malloc(input->size + (input->size == 0));
    if (copy == NULL)
        abort();
    memcpy(copy, input->data, input->size);
    LLVMFuzzerTestOneInput(copy, input->size);
    free(copy);
}

int main(int argc, char **argv)
{
    static const char *const outcomes[] = {[GPTOSS_OK] = "loaded",
                                           [GPTOSS_USAGE] = "usage",
                                           [GPTOSS_IO] = "io",
                                           [GPTOSS_FORMAT] = "format",
                                           [GPTOSS_UNSUPPORTED] = "unsupported",
                                           [GPTOSS_MEMORY] = "memory",
                                           [GPTOSS_LIMIT] = "limit",
                                           [GPTOSS_NUMERIC] = "numeric",
                                           [GPTOSS_INTERRUPTED] = "interrupted"};
    uint64_t counts[sizeof outcomes / sizeof *outcomes] = {0};
    if (argc < 3 || argc > 5) {
        fprintf(stderr, "usage: %s DIRECTORY COUNT [SEED [FIRST]]\n", argv[0]);
        return 2;
    }
    uint64_t count = strtoull(argv[2], NULL, 10);
    uint64_t seed_value = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    uint64_t first = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
    seed_list list = seeds_read(argv[1]);
    bytes input = {0};
    watch_for_death();
    for (uint64_t i = first; i < first + count; i++) {
        make_input(&list, seed_value, i, &input);
        snprintf(last_words, sizeof last_words, "in the input with number %" PRIu64 "\n", i);
        alarm(SECONDS_PER_INPUT);
        run_input(&input);
        counts[fuzz_last_status()]++;
    }
    alarm(0);
    printf("%" PRIu64 " inputs (seed %" PRIu64 "):", count, seed_value);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i] > 0)
            printf(" %s %" PRIu64, outcomes[i], counts[i]);
    printf("\n");
    free(input.data);
    seeds_free(&list);
    return 0;
}
