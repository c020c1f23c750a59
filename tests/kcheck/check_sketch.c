/* The sketch: exact integer products, and residuals that are not below the true ones. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

enum { HALF = SKETCH_GROUP / 2 };

static const size_t group_counts[] = {1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 90, 95, 256};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- products -------------------------------------------------------------------------------- */

/* One or two digits a number, random or the extremes that a sum must hold, and what centres their
 * products. */
static void fill_digits(int8_t *digits, int16_t *centre, size_t count, size_t groups, int extreme)
{
    for (size_t i = 0; i < 2 * count * groups * HALF; i++)
        digits[i] = extreme == 0 ? (int8_t)draw() : (int8_t)(extreme > 0 ? 127 : -128);
    memset(centre, 0, 8 * count * groups * sizeof *centre);
    for (size_t i = 0; i < 2 * count * groups * HALF; i++) {
        size_t d = i / (2 * groups * HALF);
        int16_t *four = centre + d * groups * 8 + i % (groups * HALF) / 4 * 2;
        *four = (int16_t)(*four - 8 * digits[i]);
    }
}

/* What one row must give: column by column, in integers. */
static int64_t exact_product(const uint8_t *codes, const uint8_t *multipliers,
                             const sketch_vector *vector)
{
    size_t groups = vector->groups;
    int64_t sum = 0;
    for (size_t k = 0; k < groups * SKETCH_GROUP; k++) {
        size_t g = k / SKETCH_GROUP;
        size_t half = k % SKETCH_GROUP / HALF;
        size_t place = g * HALF + k % HALF;
        int64_t x = 0;
        for (size_t d = 0; d < vector->count; d++)
            x = 256 * x + vector->digits[(2 * d + half) * groups * HALF + place];
        sum += multipliers[g] * ((codes[place] >> (4 * half) & 15) - 8) * x;
    }
    return sum;
}

/* Rows in a random order, some more than once. */
static void fill_ids(uint32_t *ids, size_t count, size_t rows)
{
    for (size_t i = 0; i < count; i++)
        ids[i] = (uint32_t)(draw() % rows);
}

enum { MOST_ROWS = 21 };

static void check_product(const kernel_table *table, const char *level, size_t digit_count,
                          size_t groups, size_t rows, int extreme)
{
    guarded plane = guard(rows * groups * HALF);
    guarded multipliers = guard(rows * groups);
    guarded digits = guard(2 * digit_count * groups * HALF);
    guarded centre = guard(digit_count * groups * 8 * sizeof(int16_t));
    guarded ids = guard(rows * sizeof(uint32_t));
    int64_t got[MOST_ROWS + 1];
    uint8_t *codes = plane.end_aligned;
    uint8_t *factors = multipliers.end_aligned;
    size_t count = rows - draw() % 2 * (rows / 3); /* the others are next */
    fill_digits(digits.end_aligned, centre.end_aligned, digit_count, groups, extreme);
    fill_bytes(codes, rows * groups * HALF);
    fill_bytes(factors, rows * groups);
    fill_ids(ids.end_aligned, rows, rows);
    if (extreme != 0) {
        memset(codes, extreme > 0 ? 0 : 255, rows * groups * HALF);
        memset(factors, 255, rows * groups);
    }
    sketch_vector x = {digits.end_aligned, centre.end_aligned, groups, digit_count};
    sketch_rows asked = {codes, factors, ids.end_aligned, count, rows - count};
    got[count] = -1;
    table->sketch.product(&asked, &x, got);
    for (size_t i = 0; i < count; i++)
        check(got[i] == exact_product(codes + asked.ids[i] * groups * HALF,
                                      factors + asked.ids[i] * groups, &x),
              "sketch.product", level, "value", groups);
    check(got[count] == -1, "sketch.product", level, "end", groups);
    unguard(&plane);
    unguard(&multipliers);
    unguard(&digits);
    unguard(&centre);
    unguard(&ids);
}

/* ---- estimates ------------------------------------------------------------------------------- */

enum { MOST_ESTIMATES = 70 };

/* A row that may have no bound, or none that is finite. */
static sketch_row draw_row(void)
{
    sketch_row row = {
        .scale = fabsf(normal()) * 1e-4F,
        .residual = {fabsf(normal()), fabsf(normal())},
        .norm = fabsf(normal()) * 10.0F,
    };
    if (draw() % 16 == 0)
        row = (sketch_row){0.0F, {INFINITY, INFINITY}, INFINITY};
    if (draw() % 16 == 0)
        row.norm = FLT_MAX;
    return row;
}

static void check_estimate(const kernel_table *table, const char *level, size_t count)
{
    guarded sums = guard(count * sizeof(int64_t));
    guarded known = guard(count * sizeof(sketch_row));
    guarded estimates = guard(count * sizeof(float));
    int64_t *from = sums.end_aligned;
    sketch_row *rows = known.end_aligned;
    const float *got = estimates.end_aligned;
    const sketch_bounds x = {fabsf(normal()) * 1e-6F, 50.0F, 0.01F, 1e-40F};
    sketch_top wanted = {-INFINITY, -INFINITY};
    for (size_t i = 0; i < count; i++) {
        from[i] = (int64_t)(draw() % (1ULL << 41)) - (1LL << 40);
        rows[i] = draw_row();
    }
    sketch_top top = table->sketch.estimate(from, rows, count, &x, estimates.end_aligned);
    for (size_t i = 0; i < count; i++) {
        float estimate = (float)((double)(16 * from[i]) * x.step * rows[i].scale);
        float bound = rows[i].residual[0] * x.slope + rows[i].norm * x.rest;
        float above = estimate + (bound * (1.0F + 0x1p-20F) + x.floor);
        check(got[i] == estimate, "sketch.estimate", level, "value", count);
        wanted.estimate = fmaxf(wanted.estimate, estimate);
        wanted.above = isfinite(above) ? fmaxf(wanted.above, above) : INFINITY;
    }
    check(top.estimate == wanted.estimate && top.above == wanted.above, "sketch.estimate", level,
          "top", count);
    unguard(&sums);
    unguard(&known);
    unguard(&estimates);
}

/* ---- building -------------------------------------------------------------------------------- */

typedef enum row_kind {
    ROW_NORMAL,
    ROW_OUTLIER,
    ROW_ZERO,
    ROW_TINY,
    ROW_DENORMAL,
    ROW_LARGE,
    ROW_SPARSE,
    ROW_GRID,
    ROW_NAN,
    ROW_INFINITE,
    ROW_KINDS
} row_kind;

static void fill_row(float *w, size_t n, row_kind kind)
{
    static const float sizes[ROW_KINDS] = {0.02F,   0.02F, 0.0F,  1e-25F, 1e-40F,
                                           0x1p99F, 1.0F,  0.25F, 1.0F,   1.0F};
    for (size_t i = 0; i < n; i++)
        w[i] = normal() * sizes[kind];
    size_t place = draw() % (n > 0 ? n : 1);
    for (size_t i = 0; i < n && kind == ROW_SPARSE; i++)
        w[i] = draw() % 40 == 0 ? w[i] : 0.0F;
    for (size_t i = 0; i < n && kind == ROW_GRID; i++)
        w[i] = rintf(w[i] * 40.0F);
    if (kind == ROW_OUTLIER)
        w[place] = 3e4F;
    if (kind == ROW_NAN)
        w[place] = NAN;
    if (kind == ROW_INFINITE)
        w[place] = -INFINITY;
}

typedef struct built_row {
    uint8_t high[256 * HALF];
    uint8_t low[256 * HALF];
    uint8_t multipliers[256];
    sketch_row row;
} built_row;

static void build(const kernel_table *table, const float *w, size_t groups, built_row *to)
{
    memset(to, 0, sizeof *to);
    table->sketch.build(w, groups, to->high, to->low, to->multipliers, &to->row);
}

/* The true norms, and that the stored ones lie on or above them, and closely. */
static void check_bounds(const float *w, size_t groups, const built_row *built, const char *level)
{
    double squares[4] = {0.0, 0.0, 0.0, 0.0}; /* both planes' residual, high's, weight, sketches */
    double largest_step = 0.0;
    double sketch_square = 0.0;
    for (size_t k = 0; k < groups * SKETCH_GROUP; k++) {
        size_t g = k / SKETCH_GROUP;
        unsigned shift = k % SKETCH_GROUP < HALF ? 0 : 4;
        int high = (built->high[g * HALF + k % HALF] >> shift & 15) - 8;
        int low = (built->low[g * HALF + k % HALF] >> shift & 15) - 8;
        double step = (double)built->row.scale * built->multipliers[g];
        double residual = w[k] - step * (16 * high + low);
        double coarse = w[k] - step * 16 * high;
        squares[1] += residual * residual;
        squares[0] += coarse * coarse;
        squares[2] += (double)w[k] * w[k];
        squares[3] += step * (16 * high + low) * step * (16 * high + low);
        sketch_square += step * 16 * high * step * 16 * high;
        largest_step = step > largest_step ? step : largest_step;
        check(fabs(residual) <= 0.501 * step || step == 0.0, "sketch.build", level, "step", groups);
    }
    double slack = 1e-3 * sqrt(squares[2]) + 1e-16;
    for (size_t plane = 0; plane < 2; plane++)
        check(built->row.residual[plane] >= sqrt(squares[plane]) &&
                  built->row.residual[plane] <= sqrt(squares[plane]) * 1.001 + 1e-17,
              "sketch.build", level, "residual", groups);
    check(built->row.norm >= sqrt(squares[2]) && built->row.norm >= sqrt(squares[3]) &&
              built->row.norm >= sqrt(sketch_square) &&
              built->row.norm <= sqrt(squares[2]) + sqrt(squares[0]) + slack,
          "sketch.build", level, "norm", groups);
}

static void check_build(const subject *s, size_t groups, row_kind kind)
{
    static built_row built[2];
    size_t n = groups * SKETCH_GROUP;
    guarded w = guard(n * sizeof(float));
    fill_row(w.end_aligned, n, kind);
    build(s->plain, w.end_aligned, groups, &built[0]);
    if (s->other != NULL) {
        build(s->other, w.end_aligned, groups, &built[1]);
        check(memcmp(&built[0], &built[1], sizeof *built) == 0, "sketch.build", s->level, "bits",
              groups);
    } else if (kind >= ROW_NAN) {
        check(isinf(built[0].row.residual[0]) && isinf(built[0].row.residual[1]) &&
                  isinf(built[0].row.norm) && built[0].row.scale == 0.0F,
              "sketch.build", s->level, "not finite", groups);
    } else if (kind == ROW_LARGE) { /* squares beyond float */
        check(isinf(built[0].row.norm), "sketch.build", s->level, "overflow", groups);
    } else {
        check_bounds(w.end_aligned, groups, &built[0], s->level);
    }
    unguard(&w);
}

void check_sketch(const subject *s)
{
    const kernel_table *table = s->other == NULL ? s->plain : s->other;
    for (size_t count = 0; count <= MOST_ESTIMATES; count++)
        check_estimate(table, s->level, count);
    for (size_t g = 0; g < COUNT(group_counts); g++) {
        for (size_t rows = 1; rows <= MOST_ROWS; rows += 4)
            for (int extreme = -1; extreme <= 1; extreme++)
                for (size_t digits = 1; digits <= 2; digits++)
                    check_product(table, s->level, digits, group_counts[g], rows, extreme);
        for (row_kind kind = ROW_NORMAL; kind < ROW_KINDS; kind++)
            for (int again = 0; again < 3; again++)
                check_build(s, group_counts[g], kind);
    }
}

/* All rows, in blocks as a search takes them. */
static void walk_plane(const kernel_table *table, sketch_rows rows, const sketch_vector *x)
{
    enum { BLOCK = 64 };
    int64_t got[BLOCK];
    for (size_t end = rows.count; end >= BLOCK + SKETCH_AHEAD; end -= BLOCK) {
        rows.count = BLOCK;
        rows.next = SKETCH_AHEAD;
        table->sketch.product(&rows, x, got);
        rows.ids += BLOCK;
    }
}

/* The high plane of 20b's unembedding, as it lies in memory. */
void bench_sketch(const kernel_table *table)
{
    enum { GROUPS = 90, ROWS = 100000, N = GROUPS * SKETCH_GROUP };
    static int8_t digits[4 * GROUPS * HALF];
    static int16_t centre[2 * GROUPS * 8];
    static float w[N];
    static uint8_t high[N / 2];
    static uint8_t low[N / 2];
    static uint8_t factors[GROUPS];
    size_t bytes = (size_t)ROWS * GROUPS * HALF;
    uint8_t *plane = malloc(bytes);
    uint8_t *multipliers = malloc((size_t)ROWS * GROUPS);
    uint32_t *ids = malloc(ROWS * sizeof *ids);
    sketch_row row;
    memset(plane, 77, bytes);
    memset(multipliers, 99, (size_t)ROWS * GROUPS);
    for (uint32_t i = 0; i < ROWS; i++)
        ids[i] = i;
    fill_digits(digits, centre, 2, GROUPS, 0);
    fill_normal(w, N);
    sketch_vector one = {digits, centre, GROUPS, 1};
    sketch_vector two = {digits, centre, GROUPS, 2};
    sketch_rows all = {plane, multipliers, ids, ROWS, 0};
    BENCH("sketch.product 1", bytes + (size_t)ROWS * GROUPS, "GB/s", walk_plane(table, all, &one));
    BENCH("sketch.product 2", bytes + (size_t)ROWS * GROUPS, "GB/s", walk_plane(table, all, &two));
    BENCH("sketch.build", N, "G numbers/s",
          table->sketch.build(w, GROUPS, high, low, factors, &row));
    free(plane);
    free(multipliers);
    free(ids);
}
