#include "op/probe.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "kernel/kernel.h"
#include "op/parallel.h"

#define LEAST_WALKS 4

typedef struct probe {
    uint8_t *memory;
    size_t bytes;
    double seconds; /* for each of the two parts */
    probe_speed best;
    unsigned runs;         /* before this one; thread 0 says so between two barriers, */
    bool over;             /* and that there is none */
    atomic_ulong unneeded; /* keeps what was computed from being left out */
} probe;

static double now(void)
{
    return 1e-9 * (double)clock_now();
}

/* Runs a piece of work on the whole team again and again. Returns the units of the fastest run per
 * second; thread 0's answer counts. */
static double fastest(const team *self, probe *p, void (*work)(const team *, probe *), double units)
{
    double best = 0.0;
    double start = now();
    for (unsigned runs = 0;; runs++) {
        if (self->rank == 0) {
            p->runs = runs;
            p->over = runs >= LEAST_WALKS && now() - start > p->seconds;
        }
        team_wait(self);
        if (p->over)
            break;
        double begin = now();
        work(self, p);
        team_wait(self);
        double speed = units / (now() - begin);
        best = speed > best ? speed : best;
    }
    team_wait(self); /* nobody asks `over` any more */
    return best;
}

/* Which way of reading is faster depends on the processor, so that they take turns. */
static void walk(const team *self, probe *p)
{
    const probe_table *table = &kernel()->probe;
    size_t begin;
    size_t end;
    team_share(self, p->bytes, PROBE_BYTES, &begin, &end);
    uint64_t sum =
        (p->runs % 2 == 0 ? table->read : table->read_asking)(p->memory + begin, end - begin);
    atomic_fetch_add_explicit(&p->unneeded, sum, memory_order_relaxed);
}

#define MULTIPLY_ROUNDS 200000

static void multiply(const team *self, probe *p)
{
    float x[PROBE_FLOATS];
    for (size_t i = 0; i < PROBE_FLOATS; i++)
        x[i] = (float)(i + self->rank);
    kernel()->probe.multiply_add(MULTIPLY_ROUNDS, x);
    atomic_fetch_add_explicit(&p->unneeded, (unsigned long)x[0], memory_order_relaxed);
}

static void run(const team *self, void *user)
{
    probe *p = user;
    size_t begin;
    size_t end;
    team_share(self, p->bytes, PROBE_BYTES, &begin, &end);
    memset(p->memory + begin, 1, end - begin); /* by the thread that will read it */
    team_wait(self);
    double flops = 2.0 * PROBE_FLOATS * MULTIPLY_ROUNDS * self->size;
    double reading = fastest(self, p, walk, (double)p->bytes);
    double multiplying = fastest(self, p, multiply, flops);
    if (self->rank == 0)
        p->best = (probe_speed){reading, multiplying};
}

probe_speed probe_run(uint32_t threads, uint8_t *memory, size_t bytes, double seconds)
{
    probe p = {
        .memory = memory, .bytes = bytes / PROBE_BYTES * PROBE_BYTES, .seconds = seconds / 2};
    parallel_run(threads, run, &p);
    return p.best;
}
