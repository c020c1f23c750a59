/* The best rows found through a sketch are those of the whole product, bit for bit: for all sizes,
 * distributions, samplings and numbers of threads. */
#include "op/sketch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/random.h"
#include "check.h"

enum { MOST_THREADS = 4, MOST_WANTED = 60 };

static uint64_t drawn;

static double unit(void)
{
    return random_unit(11, 0, drawn++);
}

static float normal(void)
{
    return (float)(sqrt(-2.0 * log(unit())) * cos(6.283185307179586 * unit()));
}

static size_t below(size_t limit)
{
    return (size_t)(unit() * (double)limit);
}

/* ---- a matrix, its sketch, a search ---------------------------------------------------------- */

typedef struct subject {
    matrix weights;
    uint8_t *data;
    sketch sketch;
    row_search search;
    float *x;
    float *products; /* all of them */
    bool *allowed;
    float *scratch; /* [MOST_THREADS][scratch_floats] */
    size_t scratch_floats;
} subject;

static void *need(size_t bytes)
{
    void *memory = calloc(bytes + 64, 1);
    if (memory == NULL)
        exit(1);
    return memory;
}

static subject make(size_t rows, size_t columns, number_format format)
{
    subject s = {.data = need(rows * columns * 4)};
    size_t groups = (columns + SKETCH_GROUP - 1) / SKETCH_GROUP;
    s.weights = (matrix){.data = s.data, .rows = rows, .columns = columns, .format = format};
    s.sketch = (sketch){.rows = rows, .columns = columns, .groups = groups};
    s.sketch.planes[0] = need(rows * groups * 16);
    s.sketch.planes[1] = need(rows * groups * 16);
    s.sketch.multipliers = need(rows * groups);
    s.sketch.known = need(rows * sizeof *s.sketch.known);
    s.x = need(columns * sizeof *s.x);
    s.products = need(rows * sizeof *s.products);
    s.allowed = need(rows);
    s.scratch_floats = OP_SKETCH_FLOATS(columns);
    s.scratch = need(MOST_THREADS * s.scratch_floats * sizeof *s.scratch);
    return s;
}

static void make_search(subject *s)
{
    s->search =
        (row_search){.weights = &s->weights,
                     .sketch = &s->sketch,
                     .room = MOST_WANTED + SEARCH_LEADERS,
                     .digits = need(s->sketch.groups * 2 * SKETCH_GROUP),
                     .centre = need(s->sketch.groups * 2 * 8 * sizeof(int16_t)),
                     .blocks = need((s->weights.rows / SEARCH_BLOCK + 1) * sizeof(sketch_top)),
                     .estimates = need(s->weights.rows * sizeof(float)),
                     .finders = need(MOST_THREADS * sizeof(row_finder))};
    for (size_t t = 0; t < MOST_THREADS; t++) {
        s->search.finders[t].leaders = need(s->search.room * sizeof(ranked_row));
        s->search.finders[t].kept = need(s->search.room * sizeof(ranked_row));
    }
}

static void dispose(subject *s)
{
    for (size_t t = 0; t < MOST_THREADS; t++) {
        free(s->search.finders[t].leaders);
        free(s->search.finders[t].kept);
    }
    void *const all[] = {
        s->data,          s->sketch.planes[0],   s->sketch.planes[1], s->x,
        s->products,      s->sketch.multipliers, s->allowed,          s->scratch,
        s->sketch.known,  s->search.centre,      s->search.blocks,    s->search.estimates,
        s->search.digits, s->search.finders};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static void put(subject *s, size_t at, float value)
{
    uint8_t *to = s->data + number_bytes(s->weights.format, at);
    uint16_t half =
        s->weights.format == NUMBER_F16 ? f16_from_float(value) : bf16_from_float(value);
    if (s->weights.format == NUMBER_F32)
        memcpy(to, &value, sizeof value);
    else
        memcpy(to, &half, sizeof half);
}

typedef struct work {
    subject *s;
    const row_query *query;
    ranked_row *best;
    size_t found;
} work;

static void run_sketch(const team *self, void *user)
{
    work *w = user;
    subject *s = w->s;
    float *scratch = s->scratch + self->rank * s->scratch_floats;
    size_t first = s->weights.rows / 3; /* in two parts, as a model makes it */
    op_sketch(self, &s->weights, 0, first, &s->sketch, scratch);
    op_sketch(self, &s->weights, first, s->weights.rows - first, &s->sketch, scratch);
}

static void run_products(const team *self, void *user)
{
    work *w = user;
    subject *s = w->s;
    product_space space = {NULL, s->scratch + self->rank * s->scratch_floats};
    linear_map map = {&s->weights, NULL, s->products};
    op_linear_maps(self, &map, 1, s->x, 1, s->weights.rows, space);
    op_estimate(self, s->x, &s->search);
}

static void run_search(const team *self, void *user)
{
    work *w = user;
    subject *s = w->s;
    op_find_best(self, s->x, w->query, &s->search, w->best, &w->found,
                 s->scratch + self->rank * s->scratch_floats);
}

/* ---- what must be found ---------------------------------------------------------------------- */

static int by_rank(const void *a, const void *b)
{
    const ranked_row *x = a;
    const ranked_row *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

/* All rows ranked, the slow way; how many of them are wanted. */
static size_t rank_all(const subject *s, const row_query *q, ranked_row *all)
{
    size_t count = 0;
    for (size_t id = 0; id < s->weights.rows; id++) {
        float product = s->products[id];
        if (q->allowed != NULL && !q->allowed[id])
            continue;
        double score = product;
        if (q->temperature > 0.0F)
            score = product / q->temperature - log(-log(random_unit(q->seed, q->position, id)));
        if (q->least_share > 0.0 &&
            exp(((double)product - q->best) / q->temperature) < q->least_share)
            continue;
        all[count++] = (ranked_row){score, product, (uint32_t)id};
    }
    qsort(all, count, sizeof *all, by_rank);
    return count < q->count ? count : q->count;
}

static void check_query(subject *s, const row_query *query, uint32_t threads, const char *what)
{
    ranked_row *all = need(s->weights.rows * sizeof *all);
    ranked_row best[MOST_WANTED];
    work w = {s, query, best, 0};
    size_t wanted = rank_all(s, query, all);
    parallel_run(threads, run_search, &w);
    bool same = w.found == wanted && s->search.alarm == 0;
    for (size_t i = 0; same && i < wanted; i++)
        same = best[i].id == all[i].id && best[i].score == all[i].score &&
               bits_from_float(best[i].product) == bits_from_float(all[i].product);
    CHECK(same,
          "%s: %zu rows of %zu columns, best %zu at temperature %g, %u threads: found %zu, %u",
          what, s->weights.rows, s->weights.columns, query->count, (double)query->temperature,
          threads, w.found, w.found > 0 ? best[0].id : 0);
    free(all);
}

static float largest_product(const subject *s, const bool *allowed)
{
    float largest = -INFINITY;
    for (size_t id = 0; id < s->weights.rows; id++)
        if ((allowed == NULL || allowed[id]) && s->products[id] > largest)
            largest = s->products[id];
    return largest;
}

/* How often one digit and two were used. */
static size_t digits_used[2];

/* Every sort of question about the present x. */
static void check_queries(subject *s, const char *what)
{
    static const float temperatures[] = {0.0F, 1.0F, 0.3F, 4.0F};
    static const size_t counts[] = {1, 2, 7, MOST_WANTED};
    uint32_t threads = 1 + (uint32_t)below(MOST_THREADS);
    work w = {.s = s};
    parallel_run(threads, run_products, &w);
    CHECK(s->search.usable, "%s: no bounds", what);
    if (!s->search.usable)
        return;
    digits_used[s->search.used - 1]++;
    size_t forbidden = below(3); /* nothing, a third, or nearly everything */
    for (size_t id = 0; id < s->weights.rows; id++)
        s->allowed[id] = below(100) >= (forbidden == 1 ? 33U : 95U);
    const bool *allowed = forbidden == 0 ? NULL : s->allowed;
    for (size_t t = 0; t < 4; t++)
        for (size_t c = 0; c < 4; c++) {
            row_query q = {.count = counts[c],
                           .allowed = allowed,
                           .temperature = temperatures[t],
                           .seed = below(1000),
                           .position = below(1000)};
            check_query(s, &q, 1 + (uint32_t)below(MOST_THREADS), what);
            if (t == 0)
                continue;
            q.best = largest_product(s, allowed);
            q.least_share = below(2) == 0 ? 0.05 : 0.9;
            if (isfinite(q.best))
                check_query(s, &q, 1 + (uint32_t)below(MOST_THREADS), what);
        }
}

/* ---- distributions --------------------------------------------------------------------------- */

typedef enum shape {
    SHAPE_NORMAL,
    SHAPE_WINNERS, /* rows along x */
    SHAPE_TIES,    /* few different rows */
    SHAPE_NEAR,    /* rows that differ in their last bits */
    SHAPE_HEAVY,   /* rows and columns of very different sizes */
    SHAPE_ZERO,
    SHAPE_COUNT
} shape;

static const char *const shape_names[] = {"normal", "winners", "ties", "near", "heavy", "zero"};

static float weight_of(shape kind, size_t rows, size_t row, size_t column, float x)
{
    switch (kind) {
    case SHAPE_WINNERS:
        return 0.02F * normal() + (row % (rows / 3 + 1) == 0 ? 0.02F * x : 0.0F);
    case SHAPE_TIES:
        return 0.02F * (float)(random_bits(5, row % 3, column) % 17) - 0.16F;
    case SHAPE_NEAR:
        return 0.5F * x * (1.0F + 0.004F * normal());
    case SHAPE_HEAVY:
        return ldexpf(normal(), (int)(row * 7 % 13) - (int)(column * 5 % 19));
    case SHAPE_ZERO:
        return 0.0F;
    default:
        return 0.02F * normal();
    }
}

static void fill(subject *s, shape kind, float size)
{
    for (size_t k = 0; k < s->weights.columns; k++)
        s->x[k] = size * normal() * (kind == SHAPE_HEAVY && k % 50 == 7 ? 300.0F : 1.0F);
    s->x[0] = size;
    for (size_t i = 0; i < s->weights.rows * s->weights.columns; i++)
        put(s, i,
            weight_of(kind, s->weights.rows, i / s->weights.columns, i % s->weights.columns,
                      s->x[i % s->weights.columns] / size));
    work w = {.s = s};
    parallel_run(1 + (uint32_t)below(MOST_THREADS), run_sketch, &w);
    s->search.largest_norm = sketch_largest_norm(&s->sketch);
}

static void check_shapes(void)
{
    static const size_t sizes[][2] = {{1, 1},   {2, 5},     {3, 31},    {17, 32},  {63, 33},
                                      {65, 64}, {100, 95},  {257, 250}, {700, 96}, {1000, 288},
                                      {64, 7},  {1501, 40}, {100, 2880}};
    static const number_format formats[] = {NUMBER_BF16, NUMBER_F32, NUMBER_F16};
    static const float magnitudes[] = {1.0F, 30.0F, 1e-9F, 1e9F};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (shape kind = SHAPE_NORMAL; kind < SHAPE_COUNT; kind++)
            for (size_t m = 0; m < 4; m++) {
                subject s = make(sizes[i][0], sizes[i][1], formats[(i + kind + m) % 3]);
                make_search(&s);
                fill(&s, kind, magnitudes[m]);
                check_queries(&s, shape_names[kind]);
                dispose(&s);
            }
    CHECK(digits_used[0] > 0 && digits_used[1] > 0, "one digit %zu times, two %zu", digits_used[0],
          digits_used[1]);
}

/* ---- limits ---------------------------------------------------------------------------------- */

/* Vectors without bounds are refused, and numbers that are not finite are seen. */
static void check_limits(void)
{
    static const float refused[] = {0.0F, 1e-30F, 1e30F, INFINITY, NAN};
    subject s = make(300, 64, NUMBER_BF16);
    work w = {.s = &s};
    make_search(&s);
    fill(&s, SHAPE_NORMAL, 1.0F);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        for (size_t k = 0; k < s.weights.columns; k++)
            s.x[k] = 0.0F;
        s.x[9] = refused[i];
        parallel_run(2, run_products, &w);
        CHECK(!s.search.usable, "%g", (double)refused[i]);
    }
    static const float broken[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        fill(&s, SHAPE_WINNERS, 1.0F);
        put(&s, 123 * s.weights.columns + 45, broken[i]);
        parallel_run(2, run_sketch, &w);
        memset(s.allowed, 1, s.weights.rows);
        s.allowed[123] = false; /* seen even where it is not wanted */
        s.search.largest_norm = sketch_largest_norm(&s.sketch);
        CHECK(isfinite(s.search.largest_norm), "the norm of the others");
        row_query query = {.count = 1, .allowed = i == 1 ? s.allowed : NULL};
        ranked_row best;
        parallel_run(2, run_products, &w);
        s.search.alarm = 0;
        w.query = &query;
        w.best = &best;
        parallel_run(2, run_search, &w);
        CHECK(s.search.alarm != 0, "%g is not seen", (double)broken[i]);
    }
    dispose(&s);
}

/* Few rows are read exactly when there are clear winners, and not all without. */
static void check_reads(void)
{
    subject s = make(4000, 960, NUMBER_BF16);
    make_search(&s);
    row_query query = {.count = 1};
    ranked_row best;
    work w = {.s = &s, .query = &query, .best = &best};
    for (shape kind = SHAPE_NORMAL; kind <= SHAPE_WINNERS; kind++) {
        uint64_t low = 0;
        uint64_t exact = 0;
        fill(&s, kind, 1.0F);
        parallel_run(2, run_products, &w);
        parallel_run(2, run_search, &w);
        for (size_t t = 0; t < 2; t++) {
            low += s.search.finders[t].low;
            exact += s.search.finders[t].exact;
        }
        CHECK(exact < 60 && (kind == SHAPE_NORMAL || low < 20),
              "%s: %u of the low plane, %u exactly", shape_names[kind], (unsigned)low,
              (unsigned)exact);
    }
    dispose(&s);
}

/* The bound of the noise, on a million places. */
static void check_noise(void)
{
    double most = 0.0;
    for (uint64_t i = 0; i < 1000000; i++) {
        double noise = random_gumbel(3, 5, i);
        double above = random_gumbel_above(3, 5, i);
        CHECK(above >= noise && above > 0.0, "place %u", (unsigned)i);
        if (noise > 2.0)
            most = above - noise > most ? above - noise : most;
    }
    CHECK(most < 0.15, "%g above", most);
}

int main(void)
{
    check_noise();
    check_shapes();
    check_limits();
    check_reads();
    return test_result();
}
