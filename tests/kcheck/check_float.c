/* The kernels on floats: decoding, dot products, norms, exponentials. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "harness.h"

static void check_decode16(const subject *s)
{
    static const size_t lengths[] = {1, 7, 15, 16, 17, 33, 64, 65536};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        size_t n = lengths[l];
        guarded in = guard(2 * n);
        guarded out = guard(n * sizeof(float));
        float *expected = malloc(n * sizeof *expected);
        uint8_t *bytes = in.end_aligned;
        fill_bytes(bytes, 2 * n);
        for (size_t i = 0; n == 65536 && i < n; i++) { /* every number there is */
            bytes[2 * i] = (uint8_t)i;
            bytes[2 * i + 1] = (uint8_t)(i >> 8);
        }
        const kernel_table *table = s->other == NULL ? s->plain : s->other;
        for (size_t i = 0; i < n; i++)
            expected[i] = bf16_to_float((uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8));
        table->decode_bf16(bytes, n, out.end_aligned);
        check(same_bits(out.end_aligned, expected, n), "decode_bf16", s->level, "value", n);
        for (size_t i = 0; i < n; i++) {
            uint16_t half = (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
            int exponent = half >> 10 & 31;
            double mantissa = (half & 1023) + (exponent > 0 ? 1024 : 0);
            double value = ldexp(mantissa, (exponent > 0 ? exponent : 1) - 25);
            if (exponent == 31)
                value = (half & 1023) != 0 ? (double)NAN : (double)INFINITY;
            expected[i] = (float)(half >> 15 ? -value : value);
        }
        table->decode_f16(bytes, n, out.end_aligned);
        check(same_numbers(out.end_aligned, expected, n), "decode_f16", s->level, "value", n);
        free(expected);
        unguard(&in);
        unguard(&out);
    }
}

/* All codes under all scales. */
static void check_mxfp4(const subject *s)
{
    static const double values[8] = {0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0};
    size_t n = (size_t)32 * 256;
    guarded blocks = guard(n / 2);
    guarded scales = guard(n / 32);
    guarded out = guard(n * sizeof(float));
    float *expected = malloc(n * sizeof *expected);
    uint8_t *codes = blocks.end_aligned;
    uint8_t *exponents = scales.end_aligned;
    for (size_t i = 0; i < n / 2; i++)
        codes[i] = (uint8_t)(i * 17 + i / 16 * 5);
    for (size_t i = 0; i < n / 32; i++)
        exponents[i] = (uint8_t)i;
    for (size_t i = 0; i < n; i++) {
        unsigned code = codes[i / 2] >> (i % 2 * 4) & 15U;
        double value = values[code & 7U] * (code & 8U ? -1.0 : 1.0);
        double scale = exponents[i / 32] == 255 ? (double)NAN : ldexp(1.0, exponents[i / 32] - 127);
        expected[i] = (float)(value * scale);
    }
    (s->other == NULL ? s->plain : s->other)->decode_mxfp4(codes, exponents, n, out.end_aligned);
    check(same_numbers(out.end_aligned, expected, n), "decode_mxfp4", s->level, "value", n);
    free(expected);
    unguard(&blocks);
    unguard(&scales);
    unguard(&out);
}

static void check_dot(const subject *s)
{
    static const size_t lengths[] = {1, 3, 16, 31, 32, 33, 64, 95, 256, 2880, 4096, 4111};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        size_t n = lengths[l];
        for (size_t rows = 1; rows <= 9; rows += 2) {
            for (size_t batch = 1; batch <= 5; batch += 2) {
                guarded w = guard(rows * n * sizeof(float));
                guarded x = guard(batch * n * sizeof(float));
                float y[2][64];
                fill_normal(w.end_aligned, rows * n);
                fill_normal(x.end_aligned, batch * n);
                s->plain->dot_panel(w.end_aligned, rows, x.end_aligned, batch, n, y[0], 11);
                if (s->other != NULL)
                    s->other->dot_panel(w.end_aligned, rows, x.end_aligned, batch, n, y[1], 11);
                for (size_t b = 0; b < batch; b++) {
                    for (size_t r = 0; r < rows; r++) {
                        const float *wr = (const float *)w.end_aligned + r * n;
                        const float *xb = (const float *)x.end_aligned + b * n;
                        double sum = 0.0;
                        double size = 0.0;
                        for (size_t k = 0; k < n; k++) {
                            sum += (double)wr[k] * xb[k];
                            size += fabs((double)wr[k] * xb[k]);
                        }
                        float got = y[0][b * 11 + r];
                        if (s->other != NULL)
                            check(same_bits(&got, &y[1][b * 11 + r], 1), "dot_panel", s->level,
                                  "bits", n);
                        else
                            check(fabs(got - sum) <= 1e-6 * size, "dot_panel", s->level, "error",
                                  n);
                    }
                }
                unguard(&w);
                unguard(&x);
            }
        }
    }
}

/* The kernels that decode on the way equal decoding first, at the same level. */
static void check_dot_rows(const subject *s)
{
    static const size_t lengths[] = {32, 64, 96, 2880, 1, 31, 33, 77};
    const kernel_table *table = s->other == NULL ? s->plain : s->other;
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        for (size_t rows = 1; rows <= 9; rows++) {
            size_t n = lengths[l];
            guarded w = guard(rows * n * 2);
            guarded codes = guard(rows * n / 2);
            guarded scales = guard(rows * n / 32);
            guarded x = guard(n * sizeof(float));
            float *panel = malloc(rows * n * sizeof *panel);
            float y[2][9];
            uint8_t *ws = w.end_aligned;
            fill_bytes(codes.end_aligned, rows * n / 2);
            for (size_t i = 0; i < rows * n / 32; i++)
                ((uint8_t *)scales.end_aligned)[i] = (uint8_t)(120 + i % 9);
            fill_normal(x.end_aligned, n);
            for (size_t i = 0; i < rows * n; i++) { /* valid both as BF16 and as F16 */
                ws[2 * i] = (uint8_t)draw();
                ws[2 * i + 1] = (uint8_t)(0x38 + draw() % 8);
            }
            table->decode_f16(ws, rows * n, panel);
            table->dot_panel(panel, rows, x.end_aligned, 1, n, y[0], 0);
            table->dot_rows_f16(ws, NULL, rows, x.end_aligned, n, y[1]);
            check(same_bits(y[0], y[1], rows), "dot_rows_f16", s->level, "bits", n);
            if (n % 32 == 0) {
                table->decode_mxfp4(codes.end_aligned, scales.end_aligned, rows * n, panel);
                table->dot_panel(panel, rows, x.end_aligned, 1, n, y[0], 0);
                table->dot_rows_mxfp4(codes.end_aligned, scales.end_aligned, rows, x.end_aligned, n,
                                      y[1]);
                check(same_bits(y[0], y[1], rows), "dot_rows_mxfp4", s->level, "bits", n);
            }
            free(panel);
            unguard(&w);
            unguard(&codes);
            unguard(&scales);
            unguard(&x);
        }
    }
}

static void check_rms_norm(const subject *s)
{
    static const size_t lengths[] = {1, 15, 16, 33, 64, 2880, 2881};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        size_t n = lengths[l];
        guarded x = guard(n * sizeof(float));
        guarded w = guard(n * sizeof(float));
        float *y[2] = {malloc(n * sizeof(float)), malloc(n * sizeof(float))};
        const float *xs = x.end_aligned;
        const float *ws = w.end_aligned;
        double squares = 0.0;
        fill_normal(x.end_aligned, n);
        fill_normal(w.end_aligned, n);
        for (size_t i = 0; i < n; i++)
            squares += (double)xs[i] * xs[i];
        s->plain->rms_norm(xs, ws, n, 1e-5F, y[0]);
        if (s->other != NULL) {
            s->other->rms_norm(xs, ws, n, 1e-5F, y[1]);
            check(same_bits(y[0], y[1], n), "rms_norm", s->level, "bits", n);
        }
        for (size_t i = 0; s->other == NULL && i < n; i++) {
            double exact = xs[i] / sqrt(squares / (double)n + 1e-5) * ws[i];
            check(fabs(y[0][i] - exact) <= 1e-6 * fabs(exact), "rms_norm", s->level, "error", n);
        }
        free(y[0]);
        free(y[1]);
        unguard(&x);
        unguard(&w);
    }
}

static void check_exp(const subject *s)
{
    enum { N = 40003 };
    static float x[N];
    static float y[2][N];
    for (size_t i = 0; i < N; i++)
        x[i] = -110.0F + 210.0F * (float)i / N;
    x[0] = -INFINITY;
    x[1] = INFINITY;
    x[2] = NAN;
    x[3] = 0.0F;
    s->plain->exp(x, N, y[0]);
    if (s->other != NULL) {
        s->other->exp(x, N, y[1]);
        check(same_numbers(y[0], y[1], N), "exp", s->level, "bits", N);
        return;
    }
    check(isnan(y[0][2]) && y[0][3] == 1.0F && y[0][1] == INFINITY && y[0][0] == 0.0F, "exp",
          s->level, "special", N);
    for (size_t i = 3; i < N; i++) {
        double exact = exp(x[i]);
        if (exact < 1.1754943508222875e-38)
            check(fabs(y[0][i] - exact) <= 0x1p-148, "exp", s->level, "underflow", i);
        else if (exact < 3.4028234e38)
            check(fabs(y[0][i] - exact) <= 0x1p-22 * exact, "exp", s->level, "error", i);
        else
            check(y[0][i] == INFINITY, "exp", s->level, "overflow", i);
    }
}

static void check_elementwise(const subject *s)
{
    static const size_t lengths[] = {1, 5, 16, 24, 32, 45, 2880};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        size_t n = lengths[l];
        guarded h = guard(2 * n * sizeof(float));
        float *hs = h.end_aligned;
        float *c = malloc(n * sizeof *c);
        float *sn = malloc(n * sizeof *sn);
        float *y[2] = {malloc(2 * n * sizeof(float)), malloc(2 * n * sizeof(float))};
        fill_normal(hs, 2 * n);
        for (size_t i = 0; i < 2 * n; i++)
            hs[i] *= 5.0F; /* past the limit of 7 now and then */
        for (size_t i = 0; i < n; i++) {
            c[i] = (float)cos((double)i);
            sn[i] = (float)sin((double)i);
        }
        for (int t = 0; t < (s->other == NULL ? 1 : 2); t++)
            (t == 0 ? s->plain : s->other)->swiglu(hs, n, 1.702F, 7.0F, y[t]);
        if (s->other != NULL)
            check(same_bits(y[0], y[1], n), "swiglu", s->level, "bits", n);
        for (size_t i = 0; s->other == NULL && i < n; i++) {
            double g = fmin(hs[2 * i], 7.0);
            double u = fmax(fmin(hs[2 * i + 1], 7.0), -7.0);
            double exact = g / (1.0 + exp(-(double)1.702F * g)) * (u + 1.0);
            check(fabs(y[0][i] - exact) <= 2e-6 * (fabs(exact) + 1e-3), "swiglu", s->level, "error",
                  n);
        }
        for (int t = 0; t < (s->other == NULL ? 1 : 2); t++) {
            const kernel_table *table = t == 0 ? s->plain : s->other;
            memcpy(y[t], hs, 2 * n * sizeof(float));
            table->rotate(y[t], c, sn, n);
            table->axpy(0.37F, hs, 2 * n, y[t]);
        }
        if (s->other != NULL)
            check(same_bits(y[0], y[1], 2 * n), "rotate, axpy", s->level, "bits", n);
        for (size_t i = 0; s->other == NULL && i < n; i++) {
            double low = (double)hs[i] * c[i] - (double)hs[i + n] * sn[i] + (double)0.37F * hs[i];
            check(fabs(y[0][i] - low) <= 1e-5, "rotate, axpy", s->level, "error", n);
        }
        free(c);
        free(sn);
        free(y[0]);
        free(y[1]);
        unguard(&h);
    }
}

void check_float(const subject *s)
{
    check_decode16(s);
    check_mxfp4(s);
    check_dot(s);
    check_dot_rows(s);
    check_rms_norm(s);
    check_exp(s);
    check_elementwise(s);
}

void bench_float(const kernel_table *table)
{
    enum { N = 2880, ROWS = 16, BATCH = 32, PANEL = N * ROWS };
    static float w[PANEL];
    static float x[BATCH * N];
    static float y[BATCH * ROWS];
    static uint8_t bytes[2 * PANEL];
    static uint8_t scales[PANEL / 32];
    static float out[PANEL];
    fill_normal(w, PANEL);
    fill_normal(x, BATCH * N);
    fill_bytes(bytes, 2 * PANEL);
    memset(scales, 120, sizeof scales);
    BENCH("decode_bf16", PANEL, "G numbers/s", table->decode_bf16(bytes, PANEL, out));
    BENCH("decode_mxfp4", PANEL, "G numbers/s", table->decode_mxfp4(bytes, scales, PANEL, out));
    BENCH("dot_panel x1", 2.0 * PANEL, "GFLOP/s", table->dot_panel(w, ROWS, x, 1, N, y, ROWS));
    BENCH("dot_panel x32", 2.0 * PANEL * BATCH, "GFLOP/s",
          table->dot_panel(w, ROWS, x, BATCH, N, y, ROWS));
    BENCH("dot_rows_mxfp4", PANEL, "G numbers/s",
          table->dot_rows_mxfp4(bytes, scales, ROWS, x, N, y));
    BENCH("exp", N, "G numbers/s", table->exp(x, N, out));
    BENCH("rms_norm", N, "G numbers/s", table->rms_norm(x, w, N, 1e-5F, out));
}
