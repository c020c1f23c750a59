/* The products of weights and activations in 8 bits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "harness.h"

/* Byte and scale of row r, column k of panels, by the drawing in q8.h. */
static const uint8_t *group_at(const uint8_t *panels, size_t columns, size_t r, size_t k)
{
    return panels + (r / 32 * (columns / 32) + k / 32) * (32 * 32 + 32 * 2);
}

static int whole_at(const uint8_t *panels, size_t columns, size_t r, size_t k)
{
    size_t place = k % 32 / 2;
    const uint8_t *group = group_at(panels, columns, r, k);
    return group[(k % 2 * 4 + place / 4) * 128 + r % 32 * 4 + place % 4] - 128;
}

static double scale_at(const uint8_t *panels, size_t columns, size_t r, size_t k)
{
    uint16_t doubled;
    memcpy(&doubled, group_at(panels, columns, r, k) + 1024 + 2 * (r % 32), 2);
    return 0.5 * (double)bf16_to_float(doubled);
}

static double activation_at(const uint8_t *row, size_t k)
{
    const uint8_t *block = row + k / 128 * 192;
    float half;
    memcpy(&half, block + 128 + k % 128 / 32 * 4, 4);
    return (int8_t)block[k % 2 * 64 + k % 128 / 2] * 2.0 * (double)half;
}

/* Weights of all sizes; when `special`, a group of each special kind too. */
static void fill_weights(float *w, size_t n, bool special)
{
    static const float odd[] = {0.0F, 0x1p-97F, 0x1p-96F, 0x1p-149F, 3.4e38F, INFINITY, NAN, -NAN};
    fill_normal(w, n);
    for (size_t i = 0; special && i < n; i++)
        w[i] = ldexpf(w[i], (int)(draw() % 30) - 15);
    for (size_t group = 1; special && group < n / 32; group += 2) {
        float value = odd[group / 2 % (sizeof odd / sizeof *odd)];
        memset(w + 32 * group, 0, 32 * sizeof *w);
        w[32 * group + draw() % 32] = value;
        w[32 * group + draw() % 32] = -value;
    }
}

/* ---- pack ------------------------------------------------------------------------------------ */

/* One group of a row: its numbers near their multiples of the least fitting BF16 scale. */
static bool good_group(const float *w, const uint8_t *panel, size_t columns, size_t r, size_t k)
{
    double largest = 0.0;
    bool finite = true;
    for (size_t i = 0; i < 32; i++) {
        finite = finite && isfinite(w[i]);
        largest = fabsf(w[i]) > largest ? (double)fabsf(w[i]) : largest;
    }
    double scale = scale_at(panel, columns, r, k);
    bool zero = !finite || largest < 0x1p-96;
    bool good = !finite ? isnan(scale)
                : zero  ? scale == 0.0
                        : scale >= largest / 127.0 * (1.0 - 0x1p-23) &&
                             scale <= largest / 127.0 * (1.0 + 0x1p-7);
    for (size_t i = 0; i < 32; i++) {
        int whole = whole_at(panel, columns, r, k + i);
        good = good && whole >= -127 && whole <= 127 && !(zero && whole != 0);
        good = good && (zero || fabs(whole * scale - (double)w[i]) <=
                                    0.5 * scale + 0x1p-21 * fabs((double)w[i]));
    }
    return good;
}

static void check_pack(const subject *s)
{
    static const size_t lengths[] = {32, 96, 128, 160, 2880};
    const q8_table *table = s->other == NULL ? &s->plain->q8 : &s->other->q8;
    for (size_t l = 0; l < 2 * sizeof lengths / sizeof *lengths; l++) {
        for (size_t rows = 1; rows <= Q8_PANEL_ROWS; rows += rows < 3 ? 1 : 29) {
            size_t n = lengths[l / 2];
            guarded w = guard(rows * n * sizeof(float));
            guarded panel = guard(q8_bytes(rows, n));
            uint8_t *expected = aligned_alloc(64, q8_bytes(rows, n));
            fill_weights(w.end_aligned, rows * n, l % 2 == 1);
            memset(panel.end_aligned, 0xa5, q8_bytes(rows, n));
            table->pack(w.end_aligned, rows, n, panel.end_aligned);
            s->plain->q8.pack(w.end_aligned, rows, n, expected);
            check(memcmp(panel.end_aligned, expected, q8_bytes(rows, n)) == 0, "q8.pack", s->level,
                  "bytes", n);
            for (size_t r = 0; s->other == NULL && r < Q8_PANEL_ROWS; r++) {
                for (size_t k = 0; k < n; k += 32) {
                    static const float none[32];
                    const float *from = (const float *)w.end_aligned + r * n + k;
                    check(good_group(r < rows ? from : none, expected, n, r, k), "q8.pack",
                          s->level, "group", n);
                }
            }
            free(expected);
            unguard(&panel);
            unguard(&w);
        }
    }
}

/* ---- multiply -------------------------------------------------------------------------------- */

/* Whether y is the product of row r and a prepared row, but for the rounding of the sums. */
static bool good_product(float y, const uint8_t *panels, size_t columns, size_t r,
                         const uint8_t *row)
{
    double sum = 0.0;
    double size = 0.0;
    for (size_t k = 0; k < columns; k++) {
        double product = whole_at(panels, columns, r, k) * scale_at(panels, columns, r, k) *
                         activation_at(row, k);
        sum += product;
        size += fabs(product);
    }
    if (isnan(sum) || size > 1e38)
        return isnan(sum) ? isnan(y) : true;
    return fabs((double)y - sum) <= 0x1p-22 * size + 0x1p-112 * (double)columns;
}

/* A matrix and a batch; `extreme`: the largest products there are. */
static void check_shape(const subject *s, size_t rows, size_t n, size_t batch, bool special,
                        bool extreme)
{
    const q8_table *table = s->other == NULL ? &s->plain->q8 : &s->other->q8;
    size_t row_bytes = fixed_row_bytes(n, 1);
    guarded panels = guard(q8_bytes(rows, n));
    guarded x = guard(batch * row_bytes);
    guarded y = guard(batch * (rows + 3) * sizeof(float));
    float *expected = malloc(batch * (rows + 3) * sizeof *expected);
    float *numbers = malloc((rows > batch ? rows : batch) * n * sizeof *numbers);
    fill_weights(numbers, rows * n, special);
    for (size_t i = 0; extreme && i < rows * n; i++)
        numbers[i] = i / n % 3 == 0 ? 1.0F : i / n % 3 == 1 ? -1.0F : (i % 2 == 0 ? 1.0F : -1.0F);
    for (size_t row = 0; row < rows; row += Q8_PANEL_ROWS)
        s->plain->q8.pack(numbers + row * n,
                          rows - row < Q8_PANEL_ROWS ? rows - row : Q8_PANEL_ROWS, n,
                          (uint8_t *)panels.end_aligned + q8_bytes(row, n));
    fill_normal(numbers, batch * n);
    for (size_t i = 0; extreme && i < batch * n; i++)
        numbers[i] = i / n % 2 == 0 ? 1.0F : -1.0F;
    if (special)
        numbers[draw() % (batch * n)] = NAN;
    for (size_t b = 0; b < batch; b++)
        s->plain->fixed.quantise(numbers + b * n, n, 1, (uint8_t *)x.end_aligned + b * row_bytes);
    table->multiply(panels.end_aligned, rows, n, x.end_aligned, batch, y.end_aligned, rows + 3);
    s->plain->q8.multiply(panels.end_aligned, rows, n, x.end_aligned, batch, expected, rows + 3);
    for (size_t b = 0; b < batch; b++) {
        const float *got = (const float *)y.end_aligned + b * (rows + 3);
        check(same_numbers(got, expected + b * (rows + 3), rows), "q8.multiply", s->level, "bits",
              n);
        for (size_t r = 0; s->other == NULL && r < rows; r += 5)
            check(good_product(got[r], panels.end_aligned, n, r,
                               (const uint8_t *)x.end_aligned + b * row_bytes),
                  "q8.multiply", s->level, "error", n);
    }
    free(numbers);
    free(expected);
    unguard(&y);
    unguard(&x);
    unguard(&panels);
}

void check_q8(const subject *s)
{
    static const size_t lengths[] = {32, 64, 96, 128, 160, 480, 2880, 4096};
    check_pack(s);
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
        for (size_t rows = 1; rows <= 97; rows += 31)
            check_shape(s, rows, lengths[l], 1 + draw() % 3, false, false);
    for (size_t batch = 1; batch <= 20; batch++)
        check_shape(s, 1 + draw() % 70, 32 * (1 + draw() % 20), batch, batch % 4 == 0, false);
    check_shape(s, 35, 2880, 7, false, true);
}

/* ---- timing ---------------------------------------------------------------------------------- */

/* The output of gpt-oss-20b's attention, 2880 rows of 4096 columns: 12.5 MB. */
void bench_q8(const kernel_table *table)
{
    enum { N = 4096, ROWS = 2880, BATCH = 96 };
    uint8_t *panels = aligned_alloc(64, q8_bytes(ROWS, N));
    uint8_t *x = aligned_alloc(64, BATCH * fixed_row_bytes(N, 1));
    float *numbers = malloc((size_t)BATCH * N * sizeof *numbers);
    float *y = malloc((size_t)BATCH * ROWS * sizeof *y);
    fill_normal(numbers, (size_t)BATCH * N);
    for (size_t b = 0; b < BATCH; b++)
        table->fixed.quantise(numbers + b * N, N, 1, x + b * fixed_row_bytes(N, 1));
    BENCH("q8.pack", Q8_PANEL_ROWS * N, "G numbers/s",
          table->q8.pack(numbers, Q8_PANEL_ROWS, N, panels));
    for (size_t row = Q8_PANEL_ROWS; row < ROWS; row += Q8_PANEL_ROWS)
        memcpy(panels + q8_bytes(row, N), panels, q8_bytes(Q8_PANEL_ROWS, N));
    BENCH("q8.multiply 1", q8_bytes(ROWS, N), "GB/s",
          table->q8.multiply(panels, ROWS, N, x, 1, y, ROWS));
    BENCH("q8.multiply 96", 2.0 * BATCH * 960 * N, "GOP/s",
          table->q8.multiply(panels, 960, N, x, BATCH, y, ROWS));
    free(y);
    free(numbers);
    free(x);
    free(panels);
}
