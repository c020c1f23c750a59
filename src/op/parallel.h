/* A team of threads that run the same operations together. The only place that knows OpenMP. */
#ifndef OP_PARALLEL_H
#define OP_PARALLEL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Where a team's threads meet. */
typedef struct team_barrier {
    atomic_uint arrived;
    atomic_uint round;
    atomic_uint asleep;
} team_barrier;

/* One thread's place in its team. */
typedef struct team {
    uint32_t rank; /* below size */
    uint32_t size;
    team_barrier *barrier;
} team;

/* The most threads that parallel_run can give. */
#define PARALLEL_MAX_THREADS 1024

/* Calls body(team, user) on `threads` threads and returns when all have. A build without OpenMP, or
 * a system that gives fewer threads, runs a smaller team. */
void parallel_run(uint32_t threads, void (*body)(const team *, void *), void *user);

/* The most threads that this build can use: 1 without OpenMP. */
uint32_t parallel_limit(void);

/* Waits for the whole team; what any thread wrote before is seen by all after. */
void team_wait(const team *self);

/* This thread's part [*begin, *end) of `total` items, in whole multiples of `unit`. */
void team_share(const team *self, size_t total, size_t unit, size_t *begin, size_t *end);

#endif
