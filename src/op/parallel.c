#include "op/parallel.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(_OPENMP)
#include <omp.h>

void parallel_run(uint32_t threads, void (*body)(const team *, void *), void *user)
{
    team_barrier barrier = {0};
#pragma omp parallel num_threads(threads)
    {
        team self = {(uint32_t)omp_get_thread_num(), (uint32_t)omp_get_num_threads(), &barrier};
        body(&self, user);
    }
}

uint32_t parallel_limit(void)
{
    return PARALLEL_MAX_THREADS;
}

#else

void parallel_run(uint32_t threads, void (*body)(const team *, void *), void *user)
{
    team_barrier barrier = {0};
    team self = {0, 1, &barrier};
    (void)threads;
    body(&self, user);
}

uint32_t parallel_limit(void)
{
    return 1;
}

#endif

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
