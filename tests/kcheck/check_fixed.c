/* The products of MXFP4 weights with fixed-point activations. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "harness.h"

static const double limits[FIXED_MAX_DIGITS] = {127.0, 32639.0, 8355711.0};

/* ---- inputs ---------------------------------------------------------------------------------- */

/* Weight rows at odd addresses that end where memory does. */
typedef struct weights {
    guarded blocks;
    guarded scales;
    size_t rows;
    size_t columns;
} weights;

static weights make_weights(size_t rows, size_t columns, uint8_t least_scale, unsigned scale_span)
{
    weights w = {guard(rows * columns / 2), guard(rows * columns / 32), rows, columns};
    fill_bytes(w.blocks.end_aligned, rows * columns / 2);
    for (size_t i = 0; i < rows * columns / 32; i++)
        ((uint8_t *)w.scales.end_aligned)[i] = (uint8_t)(least_scale + draw() % scale_span);
    return w;
}

static void free_weights(weights *w)
{
    unguard(&w->blocks);
    unguard(&w->scales);
}

/* Weight r, k in double precision, by the format's definition. */
static double weight_at(const weights *w, size_t r, size_t k)
{
    static const double values[8] = {0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0};
    const uint8_t *blocks = w->blocks.end_aligned;
    const uint8_t *scales = w->scales.end_aligned;
    size_t at = r * w->columns + k;
    unsigned code = blocks[at / 2] >> (at % 2 * 4) & 15U;
    double value = values[code & 7U] * (code & 8U ? -1.0 : 1.0);
    return scales[at / 32] == 255 ? (double)NAN : ldexp(value, scales[at / 32] - 127);
}

/* The whole number that a prepared row holds for column k, by the drawing in fixed.h. */
static long whole_at(const uint8_t *row, unsigned digits, size_t k)
{
    const uint8_t *block = row + k / 128 * (128U * digits + 64U);
    long value = 0;
    for (unsigned digit = 0; digit < digits; digit++)
        value = 256 * value + (int8_t)block[128 * digit + k % 2 * 64 + k % 128 / 2];
    return value;
}

static double scale_at(const uint8_t *row, unsigned digits, size_t k)
{
    float half;
    memcpy(&half, row + k / 128 * (128U * digits + 64U) + 128U * digits + k % 128 / 32 * 4, 4);
    return 2.0 * (double)half;
}

/* Numbers of all sizes: normal, of few and of many binades, and a group of each special kind. */
static void fill_activations(float *x, size_t n, bool special)
{
    fill_normal(x, n);
    for (size_t i = 0; special && i < n; i++)
        x[i] = ldexpf(x[i], (int)(draw() % 30) - 15);
    static const float odd[] = {0.0F, 0x1p-97F, 0x1p-96F, 0x1p-149F, 3.4e38F, INFINITY, NAN, -NAN};
    for (size_t group = 1; special && group < n / 32; group += 2) {
        float value = odd[group / 2 % (sizeof odd / sizeof *odd)];
        memset(x + 32 * group, 0, 32 * sizeof *x);
        x[32 * group + draw() % 32] = value;
        x[32 * group + draw() % 32] = -value;
    }
}

/* ---- quantise -------------------------------------------------------------------------------- */

/* A group: numbers near their multiples of the scale, and sums that belong to the digits. */
static bool good_group(const float *x, const uint8_t *row, unsigned digits, size_t first)
{
    double largest = 0.0;
    bool finite = true;
    for (size_t i = 0; i < 32; i++) {
        finite = finite && isfinite(x[i]);
        largest = fabsf(x[i]) > largest ? (double)fabsf(x[i]) : largest;
    }
    double scale = scale_at(row, digits, first);
    bool zero = !finite || largest < 0x1p-96;
    bool good = !finite
                    ? isnan(scale)
                    : fabs(scale - (zero ? 0.0 : largest / limits[digits - 1])) <= 0x1p-24 * scale;
    long high = 0;
    long low = 0;
    for (size_t i = 0; i < 32; i++) {
        long whole = whole_at(row, digits, first + i);
        long digit = (whole + 128 + 256L * 256 * 256) % 256 - 128;
        good = good && labs(whole) <= (long)limits[digits - 1] && !(zero && whole != 0);
        good = good && (zero || fabs((double)whole * scale - (double)x[i]) <=
                                    0.5 * scale + 0x1.8p-23 * fabs((double)x[i]));
        high += digits == 3 ? (whole - digit) / 256 : whole;
        low += digits == 3 ? digit : 0;
    }
    int32_t sums[2];
    const uint8_t *tail = row + first / 128 * (128U * digits + 64U) + 128U * digits;
    memcpy(&sums[0], tail + 16 + first % 128 / 32 * 4, 4);
    memcpy(&sums[1], tail + 32 + first % 128 / 32 * 4, 4);
    return good && sums[0] == -12 * high && sums[1] == -12 * low;
}

static void check_quantise(const subject *s)
{
    static const size_t lengths[] = {32, 64, 96, 128, 160, 2880, 4096};
    const kernel_table *table = s->other == NULL ? s->plain : s->other;
    for (size_t l = 0; l < 2 * sizeof lengths / sizeof *lengths; l++) {
        size_t n = lengths[l / 2];
        for (unsigned digits = 1; digits <= FIXED_MAX_DIGITS; digits++) {
            size_t bytes = fixed_row_bytes(n, digits);
            guarded x = guard(n * sizeof(float));
            guarded row = guard(bytes);
            uint8_t *expected = malloc(bytes);
            memset(row.end_aligned, 0xa5, bytes);
            fill_activations(x.end_aligned, n, l % 2 == 1);
            table->fixed.quantise(x.end_aligned, n, digits, row.end_aligned);
            s->plain->fixed.quantise(x.end_aligned, n, digits, expected);
            check(memcmp(row.end_aligned, expected, bytes) == 0, "fixed.quantise", s->level,
                  "bytes", n);
            for (size_t k = 0; s->other == NULL && k < fixed_blocks(n) * 128; k += 32) {
                static const float none[32];
                check(good_group(k < n ? (const float *)x.end_aligned + k : none, expected, digits,
                                 k),
                      "fixed.quantise", s->level, "group", k);
            }
            free(expected);
            unguard(&x);
            unguard(&row);
        }
    }
}

/* The largest number of a group is its limit, whatever the rounding of the quotient: many groups of
 * one magnitude each. */
static void check_limits(const subject *s)
{
    const kernel_table *table = s->other == NULL ? s->plain : s->other;
    enum { N = 128 * 512 };
    float *x = calloc(N, sizeof *x);
    uint8_t *row = aligned_alloc(64, fixed_row_bytes(N, FIXED_MAX_DIGITS));
    for (size_t k = 0; k < N; k += 32)
        x[k + draw() % 32] =
            (draw() % 2 == 0 ? 1.0F : -1.0F) * (1.0F + 0x1p-24F * (float)(draw() >> 40));
    for (unsigned digits = 1; digits <= FIXED_MAX_DIGITS; digits++) {
        table->fixed.quantise(x, N, digits, row);
        for (size_t k = 0; k < N; k++) {
            long expected = (long)(x[k] > 0.0F ? limits[digits - 1] : -limits[digits - 1]);
            long got = whole_at(row, digits, k);
            bool good = x[k] == 0.0F ? got == 0 : labs(got - expected) <= (digits == 3 ? 1 : 0);
            if (!good || labs(got) > labs(expected))
                check(false, "fixed.quantise", s->level, "limit", k);
        }
        check(true, "fixed.quantise", s->level, "limit", N);
    }
    free(x);
    free(row);
}

/* ---- products -------------------------------------------------------------------------------- */

/* Whether y is the product of row r and what the prepared row stands for, but for the rounding of
 * the sums. What lies far below a float's smallest number may be lost. */
static bool good_product(float y, const weights *w, size_t r, const uint8_t *row, unsigned digits)
{
    double sum = 0.0;
    double size = 0.0;
    for (size_t k = 0; k < w->columns; k++) {
        double product =
            weight_at(w, r, k) * ((double)whole_at(row, digits, k) * scale_at(row, digits, k));
        sum += product;
        size += fabs(product);
    }
    if (isnan(sum) || size > 1e38)
        return isnan(sum) ? isnan(y) : true;
    return fabs((double)y - sum) <= 0x1p-22 * size + 0x1p-112 * (double)w->columns;
}

/* Prepares a batch in tiles at `out`, at times in two parts, the later one first. numbers
 * [batch][n]. */
static void make_tiles(const fixed_table *table, const float *numbers, size_t batch, size_t n,
                       unsigned digits, uint8_t *out)
{
    for (size_t t = 0; t < fixed_tiles(batch); t++) {
        const float *rows[FIXED_TILE_ROWS];
        size_t begin = fixed_tile_begin(batch, t);
        size_t count = fixed_tile_begin(batch, t + 1) - begin;
        for (size_t b = 0; b < count; b++)
            rows[b] = numbers + (begin + b) * n;
        size_t cut = draw() % fixed_blocks(n) * FIXED_COLUMNS;
        uint8_t *tile = out + begin * fixed_row_bytes(n, digits);
        for (size_t b = 0; b < count; b++)
            rows[b] += cut;
        table->quantise_tile(rows, count, batch, (fixed_columns){n, cut, n - cut}, digits, tile);
        for (size_t b = 0; b < count; b++)
            rows[b] -= cut;
        if (cut > 0)
            table->quantise_tile(rows, count, batch, (fixed_columns){n, 0, cut}, digits, tile);
    }
}

/* All rows of a matrix and a batch by `multiply`, as y [batch][rows + 3]. */
static void multiply_all(const fixed_table *table, const weights *w, fixed_batch batch,
                         unsigned digits, void *scratch, float *y)
{
    fixed_ahead ahead = {w->blocks.end_aligned, w->scales.end_aligned, w->rows * w->columns / 2};
    for (size_t first = 0; first < w->rows; first += FIXED_MULTIPLY_ROWS) {
        size_t rest = w->rows - first;
        table->multiply((const uint8_t *)w->blocks.end_aligned + first * w->columns / 2,
                        (const uint8_t *)w->scales.end_aligned + first * w->columns / 32,
                        rest < FIXED_MULTIPLY_ROWS ? rest : FIXED_MULTIPLY_ROWS, w->columns, batch,
                        digits, scratch, ahead, y + first, w->rows + 3);
    }
}

/* One matrix and a batch: dot_rows against the oracle or plain C, multiply against dot_rows. */
static void check_products(const subject *s, weights *w, size_t batch, unsigned digits,
                           bool special)
{
    const fixed_table *table = s->other == NULL ? &s->plain->fixed : &s->other->fixed;
    size_t row_bytes = fixed_row_bytes(w->columns, digits);
    size_t rows = w->rows;
    guarded tiles = guard(batch * row_bytes);
    guarded row = guard(row_bytes);
    guarded y = guard(batch * (rows + 3) * sizeof(float));
    guarded scratch = guard(fixed_scratch_bytes(batch));
    float *numbers = malloc(batch * w->columns * sizeof *numbers);
    float *single = malloc(rows * sizeof *single);
    float *expected = malloc(rows * sizeof *expected);
    float *all = y.end_aligned;
    for (size_t b = 0; b < batch; b++)
        fill_activations(numbers + b * w->columns, w->columns, special && b % 3 == 1);
    make_tiles(table, numbers, batch, w->columns, digits, tiles.end_aligned);
    multiply_all(table, w, (fixed_batch){tiles.end_aligned, batch}, digits, scratch.end_aligned,
                 all);
    for (size_t b = 0; b < batch; b++) {
        s->plain->fixed.quantise(numbers + b * w->columns, w->columns, digits, row.end_aligned);
        table->dot_rows(w->blocks.end_aligned, w->scales.end_aligned, rows, row.end_aligned,
                        w->columns, digits, single);
        s->plain->fixed.dot_rows(w->blocks.end_aligned, w->scales.end_aligned, rows,
                                 row.end_aligned, w->columns, digits, expected);
        check(same_numbers(single, expected, rows), "fixed.dot_rows", s->level, "bits", w->columns);
        check(same_numbers(all + b * (rows + 3), expected, rows), "fixed.multiply", s->level,
              "bits", w->columns);
        for (size_t r = 0; s->other == NULL && r<rows; r += rows> 8 ? 7 : 1)
            check(good_product(single[r], w, r, row.end_aligned, digits), "fixed.dot_rows",
                  s->level, "error", w->columns);
    }
    free(expected);
    free(single);
    free(numbers);
    unguard(&scratch);
    unguard(&y);
    unguard(&row);
    unguard(&tiles);
}

static void check_shapes(const subject *s)
{
    static const size_t lengths[] = {32, 64, 96, 128, 160, 480, 2880, 4096, 4128};
    for (unsigned digits = 1; digits <= FIXED_MAX_DIGITS; digits++) {
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            for (size_t rows = 1; rows <= 9; rows += lengths[l] > 1000 ? 4 : 1) {
                weights w = make_weights(rows, lengths[l], 118, 12);
                check_products(s, &w, 1 + draw() % 3, digits, false);
                free_weights(&w);
            }
        }
        for (size_t batch = 1; batch <= 40; batch++) {
            weights w = make_weights(1 + draw() % 140, 32 * (1 + draw() % 20), 118, 12);
            check_products(s, &w, batch, digits, true);
            free_weights(&w);
        }
        weights all_scales = make_weights(5, 8192, 0, 256);
        check_products(s, &all_scales, 4, digits, true);
        free_weights(&all_scales);
        for (unsigned scale = 0; scale < 256; scale++) { /* one scale byte throughout */
            weights w = make_weights(3, 160, (uint8_t)scale, 1);
            check_products(s, &w, 2, digits, false);
            free_weights(&w);
        }
        weights largest = make_weights(33, 2880, 127, 1); /* the largest sums there are */
        memset(largest.blocks.end_aligned, 0x77, (size_t)33 * 1440);
        memset(largest.blocks.end_aligned, 0xff, (size_t)16 * 1440);
        check_products(s, &largest, 7, digits, false);
        free_weights(&largest);
    }
}

/* The error of products of normal numbers, relative to the products' root mean square. */
static double product_error(const fixed_table *table, unsigned digits)
{
    enum { N = 2880, ROWS = 64, BATCH = 8 };
    static float x[N];
    static float y[ROWS];
    double errors = 0.0;
    double squares = 0.0;
    weights w = make_weights(ROWS, N, 118, 6);
    uint8_t *row = aligned_alloc(64, fixed_row_bytes(N, digits));
    for (size_t b = 0; b < BATCH; b++) {
        fill_normal(x, N);
        table->quantise(x, N, digits, row);
        table->dot_rows(w.blocks.end_aligned, w.scales.end_aligned, ROWS, row, N, digits, y);
        for (size_t r = 0; r < ROWS; r++) {
            double exact = 0.0;
            for (size_t k = 0; k < N; k++)
                exact += weight_at(&w, r, k) * (double)x[k];
            errors += (exact - (double)y[r]) * (exact - (double)y[r]);
            squares += exact * exact;
        }
    }
    free(row);
    free_weights(&w);
    return sqrt(errors / squares);
}

static void check_error(const subject *s)
{
    static const double allowed[FIXED_MAX_DIGITS] = {8e-3, 3e-5, 2e-7};
    const kernel_table *table = s->other == NULL ? s->plain : s->other;
    for (unsigned digits = 1; digits <= FIXED_MAX_DIGITS; digits++)
        check(product_error(&table->fixed, digits) <= allowed[digits - 1], "fixed", s->level,
              "error of products", digits);
}

void check_fixed(const subject *s)
{
    check_quantise(s);
    check_limits(s);
    check_shapes(s);
    check_error(s);
}

/* ---- timing ---------------------------------------------------------------------------------- */

/* gpt-oss-20b: rows of 2880 columns. The 6 MB of dot_rows lie in the outermost cache. */
void bench_fixed(const kernel_table *table)
{
    enum { N = 2880, BATCH = 64 };
    size_t rows = 4096;
    uint8_t *blocks = malloc(rows * N / 2);
    uint8_t *scales = malloc(rows * N / 32);
    uint8_t *x = aligned_alloc(64, BATCH * fixed_row_bytes(N, FIXED_MAX_DIGITS));
    float *numbers = malloc((size_t)BATCH * N * sizeof *numbers);
    float *y = malloc(rows * sizeof *y);
    uint8_t *scratch = aligned_alloc(64, fixed_scratch_bytes(BATCH));
    fill_bytes(scratch, 4096);
    for (size_t i = 0; i < rows * N / 2; i++)
        blocks[i] = scratch[i % 4093];
    memset(scales, 120, rows * N / 32);
    fill_normal(numbers, (size_t)BATCH * N);
    for (unsigned digits = 1; digits <= FIXED_MAX_DIGITS; digits++) {
        size_t row_bytes = fixed_row_bytes(N, digits);
        char name[32];
        snprintf(name, sizeof name, "fixed %u digits", digits);
        printf("  %-14s %8.1e relative error of products\n", name,
               product_error(&table->fixed, digits));
        BENCH("  quantise", BATCH * N, "G numbers/s",
              for (size_t b = 0; b < BATCH; b++)
                  table->fixed.quantise(numbers + b * N, N, digits, x + b * row_bytes));
        BENCH("  dot_rows", (double)rows * N * 17 / 32, "GB/s", /* of 32 numbers, 17 bytes */
              table->fixed.dot_rows(blocks, scales, rows, x, N, digits, y));
        for (size_t batch = 1; batch <= BATCH; batch *= 2) {
            snprintf(name, sizeof name, "  multiply %zu", batch);
            make_tiles(&table->fixed, numbers, batch, N, digits, x);
            BENCH(name, 2 * batch * FIXED_MULTIPLY_ROWS * N, "GOP/s",
                  table->fixed.multiply(blocks, scales, FIXED_MULTIPLY_ROWS, N,
                                        (fixed_batch){x, batch}, digits, scratch,
                                        (fixed_ahead){blocks, NULL, 0}, y, FIXED_MULTIPLY_ROWS));
        }
    }
    free(scratch);
    free(y);
    free(numbers);
    free(x);
    free(scales);
    free(blocks);
}
