/*
 * The kernels, written once over a vector of 16 floats and compiled once per instruction set.
 *
 * The including file first includes one of vec_plain.h, x86/vec_avx2.h and x86/vec_avx512.h, which
 * define, as static inline functions,
 *     vec                       16 floats
 *     vec_load, vec_store       from and to unaligned floats
 *     vec_load_pairs            16 pairs, to a vector of firsts and one of seconds
 *     vec_set                   one float in all lanes
 *     vec_add, vec_sub, vec_mul, vec_div, vec_fma(a, b, c) = a * b + c rounded once
 *     vec_min(a, b) = a < b ? a : b,  vec_max(a, b) = a > b ? a : b   (the second if one is NaN)
 *     vec_round                 to the nearest whole number, ties to even
 *     vec_power_of_two          2^n for whole n in [-126, 127]
 *     vec_power_of_low_bits     2^(n - 127), n in [1, 254] being the lowest bits of a float
 *     vec_zero_below(x, limit, value) = x < limit ? 0 : value
 *     vec_from_bf16, vec_from_f16   16 numbers of two bytes
 *     vec_low_bf16, vec_high_bf16   halves of 16 words of four bytes
 *     vec_from_fp4              16 bytes to 32 E2M1 values in two vectors, low nibble first
 *     vec_fold                  s[l] += s[l + 8], + 4, + 2, + 1; returns s[0]
 *     vec_fold_max              s[l] = max(s[l], s[l + 8]), ... likewise
 *     INLINE, UNROLL(n)         how hard to insist that tiles stay in registers
 * then math.h and kernel/kernel.h, and defines BODY_OVERLAY, the name of the function that fills
 * the table. Because every step is rounded the same way at every level, so are the results.
 */

#include <string.h>

#include "base/number.h"

#define LANES 16

/* ---- decoding -------------------------------------------------------------------------------- */

static void decode_bf16(const uint8_t *in, size_t n, float *out)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vec_store(out + i, vec_from_bf16(in + 2 * i));
    for (; i < n; i++)
        out[i] = bf16_to_float((uint16_t)(in[2 * i] | in[2 * i + 1] << 8));
}

static void decode_f16(const uint8_t *in, size_t n, float *out)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vec_store(out + i, vec_from_f16(in + 2 * i));
    for (; i < n; i++)
        out[i] = f16_to_float((uint16_t)(in[2 * i] | in[2 * i + 1] << 8));
}

static void decode_mxfp4(const uint8_t *blocks, const uint8_t *scales, size_t n, float *out)
{
    for (size_t group = 0; group < n / 32; group++) {
        vec low;
        vec high;
        vec scale = vec_set(e8m0_to_float(scales[group]));
        vec_from_fp4(blocks + 16 * group, &low, &high);
        vec_store(out + 32 * group, vec_mul(low, scale));
        vec_store(out + 32 * group + LANES, vec_mul(high, scale));
    }
}

/* ---- dot products ---------------------------------------------------------------------------- */

/* The canonical dot products of `rows` by `batch` pairs; both are constants after inlining, so that
 * the partial sums stay in registers. */
INLINE void dot_tile(const float *w, size_t rows, const float *x, size_t batch, size_t n, float *y,
                     size_t y_stride)
{
    vec sums[KERNEL_PANEL_ROWS][2][2];
    UNROLL(4)
    for (size_t r = 0; r < rows; r++) {
        UNROLL(2)
        for (size_t b = 0; b < batch; b++)
            sums[r][b][0] = sums[r][b][1] = vec_set(0.0F);
    }

    size_t k = 0;
    for (; k + 2 * LANES <= n; k += 2 * LANES) {
        UNROLL(2)
        for (size_t half = 0; half < 2; half++) {
            vec xs[2];
            UNROLL(2)
            for (size_t b = 0; b < batch; b++)
                xs[b] = vec_load(x + b * n + k + half * LANES);
            UNROLL(4)
            for (size_t r = 0; r < rows; r++) {
                vec ws = vec_load(w + r * n + k + half * LANES);
                UNROLL(2)
                for (size_t b = 0; b < batch; b++)
                    sums[r][b][half] = vec_fma(ws, xs[b], sums[r][b][half]);
            }
        }
    }
    size_t rest = n - k;
    UNROLL(4)
    for (size_t r = 0; r < rows; r++) {
        UNROLL(2)
        for (size_t b = 0; b < batch; b++) {
            if (rest > 0) { /* the last elements, padded with zeros */
                float wt[2 * LANES] = {0};
                float xt[2 * LANES] = {0};
                memcpy(wt, w + r * n + k, rest * sizeof *wt);
                memcpy(xt, x + b * n + k, rest * sizeof *xt);
                sums[r][b][0] = vec_fma(vec_load(wt), vec_load(xt), sums[r][b][0]);
                sums[r][b][1] = vec_fma(vec_load(wt + LANES), vec_load(xt + LANES), sums[r][b][1]);
            }
            y[b * y_stride + r] = vec_fold(vec_add(sums[r][b][0], sums[r][b][1]));
        }
    }
}

static void dot_panel(const float *w, size_t rows, const float *x, size_t batch, size_t n, float *y,
                      size_t y_stride)
{
    size_t r = 0;
    for (; r + KERNEL_PANEL_ROWS <= rows; r += KERNEL_PANEL_ROWS) {
        size_t b = 0;
        for (; b + 2 <= batch; b += 2)
            dot_tile(w + r * n, KERNEL_PANEL_ROWS, x + b * n, 2, n, y + b * y_stride + r, y_stride);
        if (b < batch)
            dot_tile(w + r * n, KERNEL_PANEL_ROWS, x + b * n, 1, n, y + b * y_stride + r, y_stride);
    }
    for (; r < rows; r++)
        for (size_t b = 0; b < batch; b++)
            dot_tile(w + r * n, 1, x + b * n, 1, n, y + b * y_stride + r, y_stride);
}

/* Decodes 32 numbers that lie at w. */
typedef void (*load32_fn)(const uint8_t *w, const uint8_t *scale, vec *low, vec *high);

INLINE void load32_mxfp4(const uint8_t *w, const uint8_t *scale, vec *low, vec *high)
{
    vec factor = vec_set(e8m0_to_float(*scale));
    vec_from_fp4(w, low, high);
    *low = vec_mul(*low, factor);
    *high = vec_mul(*high, factor);
}

INLINE void load32_f16(const uint8_t *w, const uint8_t *scale, vec *low, vec *high)
{
    (void)scale;
    *low = vec_from_f16(w);
    *high = vec_from_f16(w + 2 * LANES);
}

/* How the rows of a matrix lie in memory. */
typedef struct row_layout {
    load32_fn load32;
    size_t bytes32; /* bytes of 32 numbers */
    size_t bytes;   /* of a row */
    size_t scales;  /* of a row */
} row_layout;

/* The canonical dot products of x and `rows` rows at once; a constant after inlining. */
INLINE void dot_rows_tile(row_layout layout, const uint8_t *w, const uint8_t *scales, size_t rows,
                          const float *x, size_t n, float *y)
{
    vec sums[KERNEL_PANEL_ROWS][2];
    vec low;
    vec high;
    UNROLL(4)
    for (size_t r = 0; r < rows; r++)
        sums[r][0] = sums[r][1] = vec_set(0.0F);
    size_t whole = n / (2 * LANES);
    for (size_t i = 0; i < whole; i++) {
        vec x_low = vec_load(x + i * 2 * LANES);
        vec x_high = vec_load(x + i * 2 * LANES + LANES);
        UNROLL(4)
        for (size_t r = 0; r < rows; r++) {
            layout.load32(w + r * layout.bytes + i * layout.bytes32, scales + r * layout.scales + i,
                          &low, &high);
            sums[r][0] = vec_fma(low, x_low, sums[r][0]);
            sums[r][1] = vec_fma(high, x_high, sums[r][1]);
        }
    }
    size_t rest = n - whole * 2 * LANES;
    UNROLL(4)
    for (size_t r = 0; r < rows; r++) {
        if (rest > 0) { /* the last elements, padded with zeros; never of MXFP4 */
            float xt[2 * LANES] = {0};
            uint8_t wt[4 * LANES] = {0};
            memcpy(xt, x + n - rest, rest * sizeof *xt);
            memcpy(wt, w + r * layout.bytes + whole * layout.bytes32, 2 * rest);
            layout.load32(wt, scales, &low, &high);
            sums[r][0] = vec_fma(low, vec_load(xt), sums[r][0]);
            sums[r][1] = vec_fma(high, vec_load(xt + LANES), sums[r][1]);
        }
        y[r] = vec_fold(vec_add(sums[r][0], sums[r][1]));
    }
}

INLINE void dot_rows(row_layout layout, const uint8_t *w, const uint8_t *scales, size_t rows,
                     const float *x, size_t n, float *y)
{
    size_t r = 0;
    for (; r + KERNEL_PANEL_ROWS <= rows; r += KERNEL_PANEL_ROWS)
        dot_rows_tile(layout, w + r * layout.bytes, scales + r * layout.scales, KERNEL_PANEL_ROWS,
                      x, n, y + r);
    for (; r < rows; r++)
        dot_rows_tile(layout, w + r * layout.bytes, scales + r * layout.scales, 1, x, n, y + r);
}

static void dot_rows_f16(const uint8_t *w, const uint8_t *scales, size_t rows, const float *x,
                         size_t n, float *y)
{
    (void)scales;
    dot_rows((row_layout){load32_f16, 64, 2 * n, 0}, w, w, rows, x, n, y);
}

static void dot_rows_mxfp4(const uint8_t *w, const uint8_t *scales, size_t rows, const float *x,
                           size_t n, float *y)
{
    dot_rows((row_layout){load32_mxfp4, 16, n / 2, n / 32}, w, scales, rows, x, n, y);
}

/* ---- element by element ---------------------------------------------------------------------- */

/*
 * exp(x) = 2^n * exp(r), n = round(x / ln 2), |r| <= ln 2 / 2, where the Taylor polynomial of
 * degree 7 errs by less than 2^-27. ln 2 is subtracted in two parts, the first with 15 bits so that
 * its product with n is exact. 2^n is applied in two halves, so that results may underflow
 * gradually.
 */
INLINE vec vec_exp(vec x)
{
    static const float taylor[] = {1.0F / 720, 1.0F / 120, 1.0F / 24, 1.0F / 6, 0.5F, 1.0F, 1.0F};
    x = vec_min(vec_set(89.0F), vec_max(vec_set(-104.0F), x)); /* a NaN passes */
    vec n = vec_round(vec_mul(x, vec_set(0x1.715476p+0F)));
    vec r = vec_fma(n, vec_set(-0x1.62e4p-1F), x);
    r = vec_fma(n, vec_set(-0x1.7f7d1cp-20F), r);
    vec p = vec_set(1.0F / 5040);
    UNROLL(8)
    for (size_t i = 0; i < sizeof taylor / sizeof *taylor; i++)
        p = vec_fma(p, r, vec_set(taylor[i]));
    vec half = vec_round(vec_mul(n, vec_set(0.5F)));
    p = vec_mul(p, vec_power_of_two(half));
    return vec_mul(p, vec_power_of_two(vec_sub(n, half)));
}

static void exp_array(const float *x, size_t n, float *y)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vec_store(y + i, vec_exp(vec_load(x + i)));
    if (i < n) {
        float rest[LANES] = {0};
        memcpy(rest, x + i, (n - i) * sizeof *rest);
        vec_store(rest, vec_exp(vec_load(rest)));
        memcpy(y + i, rest, (n - i) * sizeof *rest);
    }
}

static float rms_norm(const float *x, const float *w, size_t n, float eps, float *y)
{
    float square_sum;
    dot_tile(x, 1, x, 1, n, &square_sum, 0);
    float inverse = 1.0F / sqrtf(square_sum / (float)n + eps);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vec_store(y + i, vec_mul(vec_mul(vec_load(x + i), vec_set(inverse)), vec_load(w + i)));
    for (; i < n; i++)
        y[i] = x[i] * inverse * w[i];
    return square_sum;
}

static void rotate(float *x, const float *cosine, const float *sine, size_t half)
{
    size_t d = 0;
    for (; d + LANES <= half; d += LANES) {
        vec a = vec_load(x + d);
        vec b = vec_load(x + half + d);
        vec c = vec_load(cosine + d);
        vec s = vec_load(sine + d);
        vec_store(x + d, vec_sub(vec_mul(a, c), vec_mul(b, s)));
        vec_store(x + half + d, vec_add(vec_mul(b, c), vec_mul(a, s)));
    }
    for (; d < half; d++) {
        float a = x[d];
        float b = x[half + d];
        x[d] = a * cosine[d] - b * sine[d];
        x[half + d] = b * cosine[d] + a * sine[d];
    }
}

static void axpy(float a, const float *x, size_t n, float *y)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vec_store(y + i, vec_fma(vec_set(a), vec_load(x + i), vec_load(y + i)));
    for (; i < n; i++)
        y[i] = fmaf(a, x[i], y[i]);
}

/* 16 gates and ups that lie in turns at h. */
INLINE vec swiglu_16(const float *h, float alpha, float limit)
{
    vec gate;
    vec up;
    vec top = vec_set(limit);
    vec_load_pairs(h, &gate, &up);
    gate = vec_min(top, gate);
    up = vec_min(top, vec_max(vec_set(-limit), up));
    vec decay = vec_exp(vec_mul(vec_set(-alpha), gate));
    vec sigmoid = vec_div(vec_set(1.0F), vec_add(vec_set(1.0F), decay));
    return vec_mul(vec_mul(gate, sigmoid), vec_add(up, vec_set(1.0F)));
}

static void swiglu(const float *h, size_t n, float alpha, float limit, float *z)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vec_store(z + i, swiglu_16(h + 2 * i, alpha, limit));
    if (i < n) {
        float rest[2 * LANES] = {0};
        memcpy(rest, h + 2 * i, 2 * (n - i) * sizeof *rest);
        vec_store(rest, swiglu_16(rest, alpha, limit));
        memcpy(z + i, rest, (n - i) * sizeof *z);
    }
}

void BODY_OVERLAY(kernel_table *table)
{
    table->decode_bf16 = decode_bf16;
    table->decode_f16 = decode_f16;
    table->decode_mxfp4 = decode_mxfp4;
    table->dot_panel = dot_panel;
    table->dot_rows_f16 = dot_rows_f16;
    table->dot_rows_mxfp4 = dot_rows_mxfp4;
    table->rms_norm = rms_norm;
    table->rotate = rotate;
    table->swiglu = swiglu;
    table->axpy = axpy;
    table->exp = exp_array;
}
