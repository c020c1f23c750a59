/* Products of float matrices: against the dot products of rows. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

/* Rows that end where none may be read, and the sliver that the kernel under test makes of them. */
typedef struct arranged {
    guarded rows;
    guarded sliver;
} arranged;

static arranged arrange(const gemm_table *gemm, size_t count, size_t n, size_t width)
{
    arranged a = {guard(count * n * sizeof(float)), guard(width * GEMM_COLUMNS(n) * sizeof(float))};
    const float *rows[GEMM_ROWS];
    size_t first = count / 2 / GEMM_QUAD * GEMM_QUAD; /* in two parts */
    float *sliver = a.sliver.end_aligned;
    fill_normal(a.rows.end_aligned, count * n);
    memset(sliver, 0xff, width * GEMM_COLUMNS(n) * sizeof *sliver);
    for (size_t r = 0; r < width; r++)
        rows[r] = (const float *)a.rows.end_aligned + (r < count ? r : 0) * n;
    gemm->arrange(rows, first, n, width, sliver);
    gemm->arrange(rows + first, width - first, n, width, sliver + first);
    return a;
}

static void check_arranged(const subject *s, const arranged *a, size_t count, size_t n,
                           size_t width)
{
    const float *rows = a->rows.end_aligned;
    const float *sliver = a->sliver.end_aligned;
    bool right = true;
    for (size_t i = 0; i < width * GEMM_COLUMNS(n); i++) {
        size_t place = i / width / (GEMM_COLUMNS(n) / GEMM_CLASSES);
        size_t step = i / width % (GEMM_COLUMNS(n) / GEMM_CLASSES);
        size_t class = 0;
        for (size_t bit = 0; bit < 5; bit++)
            class |= (place >> bit & 1) << (4 - bit);
        size_t k = step * GEMM_CLASSES + class;
        if (i % width >= count || step >= GEMM_STEPS(n))
            continue; /* any row; nobody's */
        float wanted = k < n ? rows[i % width * n + k] : 0.0F;
        right = right && same_bits(&wanted, &sliver[i], 1);
    }
    check(right, "gemm.arrange", s->level, "places", n);
}

static void check_product(const subject *s, size_t rows, size_t tokens, size_t n)
{
    const gemm_table *gemm = s->other == NULL ? &s->plain->gemm : &s->other->gemm;
    size_t stride = rows + 3;
    arranged w = arrange(gemm, rows, n, GEMM_ROWS);
    arranged x = arrange(gemm, tokens, n, gemm_width(tokens));
    float *y[2] = {calloc(tokens * stride, sizeof(float)), calloc(tokens * stride, sizeof(float))};
    float bias[GEMM_ROWS];
    gemm_ahead ahead = {w.rows.map, 1000, 100};
    check_arranged(s, &w, rows, n, GEMM_ROWS);
    check_arranged(s, &x, tokens, n, gemm_width(tokens));
    fill_normal(bias, GEMM_ROWS);
    s->plain->dot_panel(w.rows.end_aligned, rows, x.rows.end_aligned, tokens, n, y[0], stride);
    gemm->multiply(w.sliver.end_aligned, rows, x.sliver.end_aligned, tokens, n, NULL, y[1], stride,
                   &ahead);
    check(same_bits(y[0], y[1], tokens * stride), "gemm.multiply", s->level, "bits", n);
    check(ahead.bytes <= 900 && ahead.data + ahead.bytes == w.rows.map + 1000, "gemm.multiply",
          s->level, "what is asked for", n);
    for (size_t b = 0; b < tokens; b++)
        for (size_t r = 0; r < rows; r++)
            y[0][b * stride + r] += bias[r];
    gemm->multiply(w.sliver.end_aligned, rows, x.sliver.end_aligned, tokens, n, bias, y[1], stride,
                   &ahead);
    check(same_bits(y[0], y[1], tokens * stride), "gemm.multiply", s->level, "bias", n);
    free(y[0]);
    free(y[1]);
    unguard(&w.rows);
    unguard(&w.sliver);
    unguard(&x.rows);
    unguard(&x.sliver);
}

void check_gemm(const subject *s)
{
    for (size_t n = 1; n <= 100; n += n < 70 ? 3 : 1)
        check_product(s, 1 + n % GEMM_ROWS, 1 + n % GEMM_TOKENS, n);
    for (size_t tokens = 1; tokens <= GEMM_TOKENS; tokens++) {
        check_product(s, GEMM_ROWS, tokens, 1061);
        check_product(s, 9, tokens, 64);
    }
    check_product(s, GEMM_ROWS, GEMM_TOKENS, 2880);
    check_product(s, GEMM_ROWS, 5, 4096);
}

void bench_gemm(const kernel_table *table)
{
    enum { N = 2880, W = GEMM_ROWS * N };
    static _Alignas(64) float w[GEMM_ROWS * GEMM_COLUMNS(N)];
    static _Alignas(64) float x[GEMM_TOKENS * GEMM_COLUMNS(N)];
    static float decoded[GEMM_ROWS][N];
    static float y[GEMM_TOKENS * GEMM_ROWS];
    const float *rows[GEMM_ROWS];
    gemm_ahead none = {NULL, 0, 0};
    for (size_t r = 0; r < GEMM_ROWS; r++) {
        fill_normal(decoded[r], N);
        rows[r] = decoded[r];
    }
    BENCH("gemm.arrange", W, "G numbers/s", table->gemm.arrange(rows, GEMM_ROWS, N, GEMM_ROWS, w));
    table->gemm.arrange(rows, GEMM_TOKENS, N, GEMM_TOKENS, x);
    BENCH("gemm.multiply", 2.0 * W * GEMM_TOKENS, "GFLOP/s",
          table->gemm.multiply(w, GEMM_ROWS, x, GEMM_TOKENS, N, NULL, y, GEMM_ROWS, &none));
}
