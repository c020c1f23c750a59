#include "op/parallel.h"

#if defined(_OPENMP)
#include <omp.h>

void parallel_run(uint32_t threads, void (*body)(const team *, void *), void *user)
{
#pragma omp parallel num_threads(threads)
    {
        team self = {(uint32_t)omp_get_thread_num(), (uint32_t)omp_get_num_threads()};
        body(&self, user);
    }
}

void team_wait(const team *self)
{
    if (self->size > 1) {
#pragma omp barrier
    }
}

uint32_t parallel_limit(void)
{
    return PARALLEL_MAX_THREADS;
}

#else

void parallel_run(uint32_t threads, void (*body)(const team *, void *), void *user)
{
    (void)threads;
    team self = {0, 1};
    body(&self, user);
}

void team_wait(const team *self)
{
    (void)self;
}

uint32_t parallel_limit(void)
{
    return 1;
}

#endif

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
