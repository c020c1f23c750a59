/* The best rows of a sketched matrix. */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "kernel/kernel.h"
#include "op/sketch.h"

/* ---- ranking --------------------------------------------------------------------------------- */

double row_score(float product, uint32_t id, float temperature, uint64_t seed, uint64_t position)
{
    return product / temperature + random_gumbel(seed, position, id);
}

bool row_likely(float product, float best, float temperature, double least_share)
{
    return exp(((double)product - best) / temperature) >= least_share;
}

static bool better(const ranked_row *a, const ranked_row *b)
{
    return a->score != b->score ? a->score > b->score : a->id < b->id;
}

static int by_rank(const void *a, const void *b)
{
    return better(a, b) ? -1 : 1;
}

/* Puts `row` among the best `room` of a heap whose root is the worst of them. */
static void keep_row(ranked_row *heap, size_t *count, size_t room, ranked_row row)
{
    size_t at = 0;
    if (*count < room) { /* a new leaf, moved up while it is worse than what is above */
        at = (*count)++;
        for (; at > 0 && better(&heap[(at - 1) / 2], &row); at = (at - 1) / 2)
            heap[at] = heap[(at - 1) / 2];
    } else if (better(&row, &heap[0])) { /* in place of the root, moved down */
        for (size_t child; (child = 2 * at + 1) < room; at = child) {
            if (child + 1 < room && better(&heap[child], &heap[child + 1]))
                child++;
            if (!better(&row, &heap[child]))
                break;
            heap[at] = heap[child];
        }
    } else {
        return;
    }
    heap[at] = row;
}

/* ---- the vector ------------------------------------------------------------------------------ */

/* Where the digits of column k stand. */
static size_t place_of(size_t k, size_t groups)
{
    size_t half = SKETCH_GROUP / 2;
    return (k / half % 2 * groups + k / SKETCH_GROUP) * half + k % half;
}

/* The digits of x, the lower one in multiples of `step`, and what centres products with them.
 * left[i]: the norm of what 1 + i digits leave. */
static void split(const float *x, double step, row_search *search, double left[2])
{
    const sketch *s = search->sketch;
    size_t per_digit = s->groups * SKETCH_GROUP;
    left[0] = left[1] = 0.0;
    memset(search->digits, 0, 2 * per_digit);
    memset(search->centre, 0, 2 * s->groups * 8 * sizeof *search->centre);
    for (size_t k = 0; k < s->columns; k++) {
        long whole = lrint(x[k] / step);
        long high = (whole + 128) >> 8;
        long low = whole - 256 * high;
        double coarse = x[k] - 256.0 * step * (double)high;
        double fine = x[k] - step * (double)whole;
        size_t place = place_of(k, s->groups);
        left[0] += coarse * coarse;
        left[1] += fine * fine;
        search->digits[place] = (int8_t)high;
        search->digits[per_digit + place] = (int8_t)low;
        int16_t *centre = search->centre + k / SKETCH_GROUP * 8 + k % (SKETCH_GROUP / 2) / 4 * 2;
        *centre = (int16_t)(*centre - 8 * high);
        centre += s->groups * 8;
        *centre = (int16_t)(*centre - 8 * low);
    }
    left[0] = sqrt(left[0]);
    left[1] = sqrt(left[1]);
}

/*
 * Takes x and finds the coefficients of all rows' bounds. One digit does where it leaves little, as
 * it does of x without outliers: the high plane leaves a tenth of a row, and a second digit doubles
 * the work. With w a row, v its sketch, d what the digits used leave of x, u = 2^-24, and all
 * products' roundings counted:
 *
 *     |fl(w x) - estimate| <= |w - v| |x|                 Cauchy-Schwarz, what the sketch leaves
 *                           + |v| |d|                     what the digits leave
 *                           + gamma |w| |x|               n roundings of u in the exact product,
 *                                                         in any order
 *                           + 2^-22 |v| (|x| + |d|)       the estimate is rounded to float twice
 *                           + (n + 16) 2^-149             underflows of all these
 *
 * and row.norm is not below |w| and |v|. The factors 1 + 2^-16 cover the rounding of the norms and
 * of the coefficients; sums in double have errors far below.
 */
static void take_vector(const float *x, row_search *search)
{
    size_t n = search->sketch->columns;
    double square = 0.0;
    float largest = 0.0F;
    for (size_t k = 0; k < n; k++) {
        square += (double)x[k] * x[k];
        largest = fabsf(x[k]) > largest ? fabsf(x[k]) : largest;
    }
    double norm = sqrt(square) * (1.0 + 0x1p-16);
    search->usable =
        largest >= 0x1p-60F && norm <= 0x1p60 && norm * search->largest_norm <= (double)FLT_MAX / 4;
    if (!search->usable)
        return;
    double step = (double)largest / 32512;
    double leaves[2];
    split(x, step, search, leaves);
    search->used = leaves[0] <= norm / 64 ? 1 : 2;
    double left = leaves[search->used - 1] * (1.0 + 0x1p-16);
    double rounding = (double)(n + 8) * 0x1p-24;
    double gamma = rounding / (1.0 - rounding);
    search->bounds = (sketch_bounds){
        .step = search->used == 1 ? 256.0 * step : step,
        .slope = (float)(norm * (1.0 + 0x1p-16)),
        .rest = (float)((left + gamma * norm + 0x1p-22 * (norm + left)) * (1.0 + 0x1p-16)),
        .floor = (float)(n + 16) * 0x1p-149F,
    };
}

static inline float scaled(const row_search *search, size_t row, int64_t sum)
{
    return (float)((double)sum * search->bounds.step * search->sketch->known[row].scale);
}

/* The sums of some rows of a plane; those behind them in the list are next. */
static void sum_plane(const row_search *search, size_t plane, const uint32_t *ids, size_t count,
                      size_t next, int64_t *sums)
{
    const sketch *s = search->sketch;
    sketch_rows rows = {s->planes[plane], s->multipliers, ids, count, next};
    sketch_vector x = {search->digits, search->centre, s->groups, search->used};
    kernel()->sketch.product(&rows, &x, sums);
}

/* Estimates rows [first, first + count) of one block; rows until `end` come next. */
static void estimate_block(row_search *search, size_t first, size_t count, size_t end)
{
    uint32_t ids[SEARCH_BLOCK + SKETCH_AHEAD];
    int64_t sums[SEARCH_BLOCK];
    for (size_t i = 0; i < SEARCH_BLOCK + SKETCH_AHEAD; i++)
        ids[i] = (uint32_t)(first + i);
    size_t next = end - first - count < SKETCH_AHEAD ? end - first - count : SKETCH_AHEAD;
    sum_plane(search, 0, ids, count, next, sums);
    search->blocks[first / SEARCH_BLOCK] = kernel()->sketch.estimate(
        sums, &search->sketch->known[first], count, &search->bounds, &search->estimates[first]);
}

static size_t blocks_of(const void *of, size_t part)
{
    const sketch *s = of;
    (void)part; /* the only one */
    return (s->rows + SEARCH_BLOCK - 1) / SEARCH_BLOCK;
}

void op_estimate(const team *self, const float *x, row_search *search)
{
    size_t rows = search->sketch->rows;
    if (self->rank == 0)
        take_vector(x, search);
    team_wait(self);
    team_work work = team_begin(self, (team_parts){1, blocks_of, search->sketch});
    while (search->usable && team_next(&work)) {
        size_t end = work.end * SEARCH_BLOCK < rows ? work.end * SEARCH_BLOCK : rows;
        for (size_t row = work.begin * SEARCH_BLOCK; row < end; row += SEARCH_BLOCK)
            estimate_block(search, row, end - row < SEARCH_BLOCK ? end - row : SEARCH_BLOCK, end);
    }
    team_wait(self);
}

/* ---- the search ------------------------------------------------------------------------------ */

/* What one thread of a search sees. */
typedef struct finding {
    const float *x;
    const row_query *query;
    row_search *search;
    row_finder *own;
    float *panel;
    float cut;      /* rows with products below this are not likely enough, for sure */
    double reached; /* scores below this are not among the best */
} finding;

/* The highest score that a product of at most `product` can have. */
static inline double score_above(const row_query *q, float product, uint32_t id)
{
    if (!(q->temperature > 0.0F))
        return product;
    return product / q->temperature + random_gumbel_above(q->seed, q->position, id);
}

static float exact_product(const finding *f, uint32_t id)
{
    float product;
    matrix_dot(f->search->weights, id, 1, NULL, f->x, &product, f->panel);
    f->own->exact++;
    if (!isfinite(product))
        atomic_store(&f->search->alarm, 1);
    return product;
}

/* Looks at a row exactly and keeps it when it is among this thread's best. */
static void take_exactly(const finding *f, uint32_t id)
{
    const row_query *q = f->query;
    float product = exact_product(f, id);
    if ((q->allowed != NULL && !q->allowed[id]) || !isfinite(product))
        return;
    if (q->least_share > 0.0 && !row_likely(product, q->best, q->temperature, q->least_share))
        return;
    double score = product;
    if (q->temperature > 0.0F)
        score = row_score(product, id, q->temperature, q->seed, q->position);
    keep_row(f->own->kept, &f->own->kept_count, q->count, (ranked_row){score, product, id});
}

/* Whether a row can be among those that reach `reached` when its product is at most `product`. */
static inline bool in_play(const finding *f, float product, uint32_t id, double reached)
{
    return !(product < f->cut) && !(score_above(f->query, product, id) < reached);
}

/* The same of some row of a block whose products are at most `product`. Noise is unbounded. */
static inline bool block_in_play(const finding *f, float product, double reached)
{
    return !(product < f->cut) && (f->query->temperature > 0.0F || !(product < reached));
}

/* The rows of this thread's share that are best by their estimates, taken exactly. */
static void take_leaders(const team *self, const finding *f)
{
    const row_query *q = f->query;
    row_finder *own = f->own;
    size_t room = q->count + SEARCH_LEADERS;
    size_t begin;
    size_t end;
    team_share(self, f->search->sketch->rows, SEARCH_BLOCK, &begin, &end);
    own->leader_count = own->kept_count = 0;
    for (size_t block = begin; block < end; block += SEARCH_BLOCK) {
        double worst = own->leader_count < room ? -INFINITY : own->leaders[0].score;
        if (!block_in_play(f, f->search->blocks[block / SEARCH_BLOCK].estimate, worst))
            continue;
        for (size_t id = block; id < end && id < block + SEARCH_BLOCK; id++) {
            float estimate = f->search->estimates[id];
            if (estimate < f->cut || (q->allowed != NULL && !q->allowed[id]))
                continue;
            double score = score_above(q, estimate, (uint32_t)id);
            if (own->leader_count < room || score > own->leaders[0].score)
                keep_row(own->leaders, &own->leader_count, room,
                         (ranked_row){score, estimate, (uint32_t)id});
        }
    }
    for (size_t i = 0; i < own->leader_count; i++)
        take_exactly(f, own->leaders[i].id);
}

/* Gathers what all threads kept in the first finder, best first; how many there are. */
static size_t gather(const team *self, const row_query *q, row_search *search)
{
    row_finder *first = &search->finders[0];
    for (uint32_t t = 1; t < self->size; t++)
        for (size_t i = 0; i < search->finders[t].kept_count; i++)
            keep_row(first->kept, &first->kept_count, q->count, search->finders[t].kept[i]);
    qsort(first->kept, first->kept_count, sizeof *first->kept, by_rank);
    return first->kept_count;
}

/* Rows in play by the high plane, before the low one is read. */
typedef struct row_queue {
    size_t count;
    uint32_t ids[2 * SEARCH_BLOCK];
} row_queue;

/* Takes a row exactly; what is reached may rise. */
static void settle(finding *f, uint32_t id)
{
    const row_finder *own = f->own;
    take_exactly(f, id);
    if (own->kept_count == f->query->count && own->kept[0].score > f->reached)
        f->reached = own->kept[0].score;
}

/* Reads the low plane of the first `count` rows of the queue, at most SEARCH_BLOCK, and takes those
 * exactly that are still in play. */
static void refine(finding *f, row_queue *queue, size_t count)
{
    const row_search *search = f->search;
    int64_t sums[SEARCH_BLOCK];
    sum_plane(search, 1, queue->ids, count, queue->count - count, sums);
    f->own->low += count;
    for (size_t i = 0; i < count; i++) {
        uint32_t id = queue->ids[i];
        float estimate = search->estimates[id] + scaled(search, id, sums[i]);
        if (in_play(f, estimate + sketch_bound(&search->sketch->known[id], 1, &search->bounds), id,
                    f->reached))
            settle(f, id);
    }
    queue->count -= count;
    memmove(queue->ids, queue->ids + count, queue->count * sizeof *queue->ids);
}

/* Queues a row that is in play by the high plane; one without a bound is taken at once. */
static void consider(finding *f, uint32_t id, row_queue *queue)
{
    const row_search *search = f->search;
    bool counts = f->query->allowed == NULL || f->query->allowed[id];
    float above =
        search->estimates[id] + sketch_bound(&search->sketch->known[id], 0, &search->bounds);
    if (!isfinite(above))
        settle(f, id);
    else if (counts && in_play(f, above, id, f->reached))
        queue->ids[queue->count++] = id;
}

/* Every row that can matter. The shares are interleaved: frequent tokens have low ids, and the
 * rows in play crowd there. */
static void take_others(const team *self, finding *f)
{
    size_t rows = f->search->sketch->rows;
    row_queue queue = {.count = 0};
    f->reached = f->search->reached;
    f->own->kept_count = 0;
    for (size_t block = (size_t)self->rank * SEARCH_BLOCK; block < rows;
         block += (size_t)self->size * SEARCH_BLOCK) {
        if (!block_in_play(f, f->search->blocks[block / SEARCH_BLOCK].above, f->reached))
            continue;
        for (size_t id = block; id < rows && id < block + SEARCH_BLOCK; id++)
            consider(f, (uint32_t)id, &queue);
        if (queue.count > SEARCH_BLOCK) /* the others tell what to fetch ahead */
            refine(f, &queue, SEARCH_BLOCK);
    }
    while (queue.count > 0)
        refine(f, &queue, queue.count < SEARCH_BLOCK ? queue.count : SEARCH_BLOCK);
}

/* A product below this has a share below the least, whatever the rounding of row_likely. */
static float likely_cut(const row_query *q)
{
    if (!(q->least_share > 0.0))
        return -INFINITY;
    double wanted = log(q->least_share);
    double lowest = q->best + q->temperature * (wanted - 1e-9 * (1.0 + fabs(wanted)));
    return nextafterf((float)(lowest - 1e-9 * fabs(lowest)), -INFINITY);
}

void op_find_best(const team *self, const float *x, const row_query *query, row_search *search,
                  ranked_row *best, size_t *found, float *panel)
{
    assert(search->usable && query->count + SEARCH_LEADERS <= search->room);
    finding f = {.x = x,
                 .query = query,
                 .search = search,
                 .own = &search->finders[self->rank],
                 .panel = panel,
                 .cut = likely_cut(query)};
    f.own->low = f.own->exact = 0;
    take_leaders(self, &f);
    team_wait(self);
    if (self->rank == 0) {
        size_t count = gather(self, query, search);
        search->reached =
            count == query->count ? search->finders[0].kept[count - 1].score : -INFINITY;
    }
    team_wait(self);
    take_others(self, &f);
    team_wait(self);
    if (self->rank == 0) {
        *found = gather(self, query, search);
        memcpy(best, search->finders[0].kept, *found * sizeof *best);
    }
    team_wait(self);
}
