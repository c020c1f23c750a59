#include "op/parallel.h"

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cores.h"

/* ---- affinity -------------------------------------------------------------------------------- */

/* Bits of 8192 processors: the system refuses a mask that is shorter than its own. */
typedef struct affinity {
    unsigned long words[8192 / (8 * sizeof(unsigned long))];
    size_t bytes; /* that the system has filled in; 0: nothing to restore */
} affinity;

/* Moves this thread to a processor; *before is what to restore. By system calls: the library's
 * wrappers clear a kilobyte first. */
static void pin(uint32_t processor, affinity *before)
{
    enum { BITS = 8 * sizeof(unsigned long) };
    long filled = syscall(SYS_sched_getaffinity, 0, sizeof before->words, before->words);
    size_t end = (processor / BITS + 1) * sizeof(unsigned long);
    before->bytes = 0;
    if (filled < (long)end)
        return;
    unsigned long one[sizeof before->words / sizeof *before->words];
    for (size_t i = 0; i < (size_t)filled / sizeof *one; i++)
        one[i] = 0;
    one[processor / BITS] = 1UL << (processor % BITS);
    if (syscall(SYS_sched_setaffinity, 0, (size_t)filled, one) == 0)
        before->bytes = (size_t)filled;
}

static void unpin(const affinity *before)
{
    if (before->bytes > 0)
        syscall(SYS_sched_setaffinity, 0, before->bytes, before->words);
}

/* One thread of a team: pinned, if so wished, while the body runs. */
static void run_body(const team *self, const uint16_t *processors,
                     void (*body)(const team *, void *), void *user)
{
    affinity before;
    if (processors != NULL)
        pin(processors[self->rank], &before);
    body(self, user);
    if (processors != NULL)
        unpin(&before);
}

void parallel_run(uint32_t threads, void (*body)(const team *, void *), void *user)
{
    parallel_run_on(threads, NULL, body, user);
}

/* ---- teams ----------------------------------------------------------------------------------- */

#if defined(_OPENMP)
#include <omp.h>

void parallel_run_on(uint32_t threads, const uint16_t *processors,
                     void (*body)(const team *, void *), void *user)
{
    team_barrier barrier = {0};
#pragma omp parallel num_threads(threads)
    {
        team self = {(uint32_t)omp_get_thread_num(), (uint32_t)omp_get_num_threads(), &barrier};
        omp_set_num_threads(1); /* in this region: a library that has OpenMP too starts no team */
        run_body(&self, processors, body, user);
    }
}

bool parallel_binds(void)
{
    return omp_get_proc_bind() != omp_proc_bind_false;
}

uint32_t parallel_default(void)
{
    if (!parallel_binds())
        return cpu_cores();
    /* OpenMP has bound the first thread already, so that its mask tells nothing. */
    int places = omp_get_num_places();
    uint32_t quota = cores_quota("");
    uint32_t threads = places > 0 ? (uint32_t)places : 1;
    return threads < quota ? threads : quota;
}

uint32_t parallel_limit(void)
{
    return PARALLEL_MAX_THREADS;
}

#else

void parallel_run_on(uint32_t threads, const uint16_t *processors,
                     void (*body)(const team *, void *), void *user)
{
    team_barrier barrier = {0};
    team self = {0, 1, &barrier};
    (void)threads;
    run_body(&self, processors, body, user);
}

bool parallel_binds(void)
{
    return false;
}

uint32_t parallel_default(void)
{
    return 1;
}

uint32_t parallel_limit(void)
{
    return 1;
}

#endif

/* ---- inside a team --------------------------------------------------------------------------- */

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/*
 * The last to arrive starts the next round. The others look out for it and then sleep, so that on a
 * busy machine the one they wait for can have their processor. Their patience is some hundred
 * microseconds, many times what an operation's threads differ by: woken threads start late, and
 * often on the processor of the one that wakes them. OpenMP's own barrier looks out for many
 * milliseconds.
 */
void team_wait(const team *self)
{
    enum { PATIENCE = 4000 };
    team_barrier *barrier = self->barrier;
    unsigned round = atomic_load(&barrier->round);
    if (atomic_fetch_add(&barrier->arrived, 1) + 1 == self->size) {
        atomic_store(&barrier->arrived, 0);
        atomic_store(&barrier->taken, 0);
        atomic_store(&barrier->round, round + 1);
        if (atomic_load(&barrier->asleep) > 0)
            syscall(SYS_futex, &barrier->round, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
        return;
    }
    for (unsigned tries = 0; tries < PATIENCE; tries++) {
        if (atomic_load(&barrier->round) != round)
            return;
        pause_briefly();
    }
    atomic_fetch_add(&barrier->asleep, 1);
    while (atomic_load(&barrier->round) == round)
        syscall(SYS_futex, &barrier->round, FUTEX_WAIT_PRIVATE, round, NULL, NULL, 0);
    atomic_fetch_sub(&barrier->asleep, 1);
}

size_t team_take(const team *self)
{
    return atomic_fetch_add(&self->barrier->taken, 1);
}

void team_share(const team *self, size_t total, size_t unit, size_t *begin, size_t *end)
{
    size_t units = (total + unit - 1) / unit;
    size_t each = units / self->size;
    size_t more = units % self->size; /* the first threads take one unit more */
    size_t first = self->rank * each + (self->rank < more ? self->rank : more);
    size_t last = first + each + (self->rank < more ? 1 : 0);
    *begin = first * unit < total ? first * unit : total;
    *end = last * unit < total ? last * unit : total;
}

/* The units of a team's work that are dealt out evenly. */
static size_t even_units(const team_work *work)
{
    return work->units / 4 * 3;
}

/* The units of the next piece: many while many are left, since every piece begins anew in memory,
 * and few at last, so that threads end together. */
static size_t piece_units(const team_work *work, size_t left)
{
    return left / (4 * (size_t)work->self->size) + 1;
}

team_work team_begin(const team *self, team_parts parts)
{
    team_work work = {.self = self, .parts = parts};
    for (size_t part = 0; part < parts.count; part++)
        work.units += parts.units(parts.of, part);
    work.left = work.units - even_units(&work);
    for (size_t left = work.left; left > 0; left -= piece_units(&work, left))
        work.pieces++;
    return work;
}

/* Goes to this thread's next run. Returns whether there is one. */
static bool next_run(team_work *work)
{
    size_t even = even_units(work);
    if (!work->started) {
        work->started = true;
        work->at = even * work->self->rank / work->self->size;
        work->run_end = even * (work->self->rank + 1) / work->self->size;
        if (work->at < work->run_end)
            return true;
    }
    work->taken = team_take(work->self);
    if (work->taken >= work->pieces)
        return false;
    for (; work->passed < work->taken; work->passed++)
        work->left -= piece_units(work, work->left);
    work->at = work->units - work->left;
    work->run_end = work->at + piece_units(work, work->left);
    return true;
}

bool team_next(team_work *work)
{
    if (work->at == work->run_end && !next_run(work))
        return false;
    size_t units = work->parts.units(work->parts.of, work->part);
    while (work->at - work->before >= units) { /* runs follow each other upwards */
        work->before += units;
        units = work->parts.units(work->parts.of, ++work->part);
    }
    work->begin = work->at - work->before;
    work->end = work->run_end - work->before < units ? work->run_end - work->before : units;
    work->at = work->before + work->end;
    return true;
}
