#include "op/parallel.h"

#include <sched.h>

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
 * The last to arrive starts the next round. The others look out for it: at first without pause,
 * since operations take microseconds, then giving their processor away, because on a busy machine
 * the one they wait for may need it. OpenMP's own barrier holds on to it for a millisecond each
 * time.
 */
void team_wait(const team *self)
{
    enum { PATIENCE = 4000 };
    team_barrier *barrier = self->barrier;
    unsigned round = atomic_load(&barrier->round);
    if (atomic_fetch_add(&barrier->arrived, 1) + 1 == self->size) {
        atomic_store(&barrier->arrived, 0);
        atomic_store(&barrier->round, round + 1);
        return;
    }
    for (unsigned tries = 0; atomic_load(&barrier->round) == round; tries++) {
        if (tries < PATIENCE)
            pause_briefly();
        else
            sched_yield();
    }
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
