/* A team of threads that run the same operations together. The only place that knows OpenMP. */
#ifndef OP_PARALLEL_H
#define OP_PARALLEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a team's threads meet. */
typedef struct team_barrier {
    atomic_uint arrived;
    atomic_uint round;
    atomic_uint asleep;
    atomic_size_t taken; /* pieces of work since the last barrier */
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

/* The same with thread r on processor processors[r], for the time of the call: every thread's
 * affinity, the caller's among them, is then what it was. A processor that is not to be had is not
 * missed. NULL: wherever the system puts them. */
void parallel_run_on(uint32_t threads, const uint16_t *processors,
                     void (*body)(const team *, void *), void *user);

/* Whether OpenMP has been told to bind threads by itself (OMP_PROC_BIND, OMP_PLACES). */
bool parallel_binds(void);

/* How many threads suit this process: one for each physical core that it may use, or for each place
 * that OpenMP was told of, within the quotas of its control groups. At least 1. */
uint32_t parallel_default(void);

/* The most threads that this build can use: 1 without OpenMP. */
uint32_t parallel_limit(void);

/* Waits for the whole team; what any thread wrote before is seen by all after. */
void team_wait(const team *self);

/* The number of the next piece of work, from 0 after each team_wait; every number goes to one
 * thread. For work that takes long enough that threads may differ in speed. */
size_t team_take(const team *self);

/* This thread's part [*begin, *end) of `total` items, in whole multiples of `unit`. */
void team_share(const team *self, size_t total, size_t unit, size_t *begin, size_t *end);

/*
 * Work in parts, each in units that lie one behind another in memory, such as the rows of a matrix.
 * A thread begins with a run of its own, three quarters of an equal share of them all, and then
 * takes pieces of the last quarter, ever smaller ones: so memory is read in order, and threads of
 * different speed end together. All numbers of team_take since the last team_wait must be this
 * work's.
 */
typedef struct team_parts {
    size_t count;
    size_t (*units)(const void *of, size_t part); /* of a part; may be none */
    const void *of;                               /* must outlive the work */
} team_parts;

typedef struct team_work {
    const team *self;
    team_parts parts;
    size_t part; /* what this thread has to do: units [begin, end) of a part */
    size_t begin;
    size_t end;
    size_t pieces; /* that are taken by number */
    size_t taken;  /* the last number from team_take */
    size_t passed; /* pieces before that one */
    size_t left;   /* units of the pieces behind these */
    size_t units;  /* of all parts; below they are counted through them */
    size_t before; /* units of the parts before this one */
    size_t at;     /* this thread's run, but for what it has had: [at, run_end) */
    size_t run_end;
    bool started;
} team_work;

/* Every thread of the team begins the same work. */
team_work team_begin(const team *self, team_parts parts);

/* Goes to this thread's next units. Returns whether there are any; if not, `taken` is a number of
 * team_take beyond those of this work, which are below `pieces`: other work may go on from there.
 */
bool team_next(team_work *work);

#endif
