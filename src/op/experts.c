#include <string.h>

#include "kernel/kernel.h"
#include "op/op.h"

/* The row's `top` largest logits, largest first, the lower id first among equals. */
static void choose_experts(const float *logits, size_t experts, size_t top, uint32_t *chosen)
{
    size_t count = 0;
    for (uint32_t e = 0; e < experts; e++) {
        size_t place = count < top ? count : top;
        while (place > 0 && logits[e] > logits[chosen[place - 1]])
            place--;
        if (place == top)
            continue;
        count += count < top ? 1 : 0;
        memmove(chosen + place + 1, chosen + place, (count - 1 - place) * sizeof *chosen);
        chosen[place] = e;
    }
}

/* The softmax over the row's chosen logits, which may come in any order. */
static void weigh_experts(const float *logits, const uint32_t *chosen, size_t top, float *weights)
{
    float max = logits[chosen[0]];
    float sum = 0.0F;
    for (size_t s = 1; s < top; s++)
        max = logits[chosen[s]] > max ? logits[chosen[s]] : max;
    for (size_t s = 0; s < top; s++)
        weights[s] = logits[chosen[s]] - max;
    kernel()->exp(weights, top, weights);
    for (size_t s = 0; s < top; s++)
        sum += weights[s];
    for (size_t s = 0; s < top; s++)
        weights[s] /= sum;
}

/* Counting sort of the assignments by expert. */
static void sort_assignments(routing *route)
{
    size_t assignments = route->rows * route->top;
    uint32_t *start = route->start;
    memset(start, 0, (route->experts + 1) * sizeof *start);
    for (size_t a = 0; a < assignments; a++)
        start[route->expert[a] + 1]++;
    for (size_t e = 0; e < route->experts; e++)
        start[e + 1] += start[e];
    for (size_t a = 0; a < assignments; a++) {
        uint32_t place = start[route->expert[a]]++;
        route->place[a] = place;
        route->source[place] = (uint32_t)(a / route->top);
    }
    /* every start has moved to its end, which is the next one's start */
    memmove(start + 1, start, route->experts * sizeof *start);
    start[0] = 0;
}

void op_choose(const team *self, const float *logits, routing *route)
{
    size_t begin;
    size_t end;
    team_share(self, route->rows, 1, &begin, &end);
    for (size_t row = begin; row < end; row++)
        choose_experts(logits + row * route->experts, route->experts, route->top,
                       route->expert + row * route->top);
    team_wait(self);
}

void op_assign(const team *self, const float *logits, routing *route)
{
    size_t begin;
    size_t end;
    team_share(self, route->rows, 1, &begin, &end);
    for (size_t row = begin; row < end; row++)
        weigh_experts(logits + row * route->experts, route->expert + row * route->top, route->top,
                      route->weight + row * route->top);
    if (self->rank == 0)
        sort_assignments(route);
    team_wait(self);
}

void op_swiglu(const team *self, const float *h, size_t rows, size_t n, float alpha, float limit,
               float *z)
{
    size_t begin;
    size_t end;
    team_share(self, rows, 1, &begin, &end);
    for (size_t row = begin; row < end; row++)
        kernel()->swiglu(h + row * 2 * n, n, alpha, limit, z + row * n);
    team_wait(self);
}

void op_combine(const team *self, const routing *route, const float *y, size_t n, float *out)
{
    size_t begin;
    size_t end;
    team_share(self, route->rows, 1, &begin, &end);
    for (size_t row = begin; row < end; row++) {
        memset(out + row * n, 0, n * sizeof *out);
        for (size_t s = 0; s < route->top; s++) {
            size_t assignment = row * route->top + s;
            kernel()->axpy(route->weight[assignment], y + route->place[assignment] * n, n,
                           out + row * n);
        }
    }
    team_wait(self);
}
