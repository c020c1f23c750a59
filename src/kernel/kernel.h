/*
 * The arithmetic: pure single-threaded functions behind one table. They never allocate, fail, log
 * or start threads.
 *
 * Every kernel is EXACT: it gives the same bits at every instruction-set level, because all levels
 * compile the same canonical order of operations (kernel/body.h) from the same elementary steps,
 * each rounded once as IEEE 754 says: add, subtract, multiply, divide, square root, fused
 * multiply-add.
 *
 * The canonical dot product of x and w over n elements: 32 partial sums, element k goes to sum
 * k mod 32 by fused multiply-add in ascending k, starting from +0; then the sums are folded in
 * halves, s[l] += s[l + 16], + 8, + 4, + 2, + 1. Sums of squares and of exponentials are folded
 * alike.
 */
#ifndef KERNEL_KERNEL_H
#define KERNEL_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "kernel/attend.h"
#include "kernel/bfloat.h"
#include "kernel/dense.h"
#include "kernel/fixed.h"
#include "kernel/gemm.h"
#include "kernel/probe.h"
#include "kernel/q8.h"
#include "kernel/sketch.h"

/* Weight rows that dot_panel works on at once; panels are best multiples of it. */
#define KERNEL_PANEL_ROWS 4

/* Decodes n BF16 or F16 numbers. `in` needs no alignment. */
typedef void (*kernel_decode16_fn)(const uint8_t *in, size_t n, float *out);

/* Decodes n MXFP4 numbers, n a multiple of 32: blocks [n/32, 16], scales [n/32]. The low nibble
 * comes first. Source: OCP Microscaling Formats 1.0; gpt_oss/torch/weights.py for the order. */
typedef void (*kernel_decode_mxfp4_fn)(const uint8_t *blocks, const uint8_t *scales, size_t n,
                                       float *out);

/*
 * y[b * y_stride + r] = canonical dot of w[r * n ...] and x[b * n ...]
 * for r < rows, b < batch; w [rows, n], x [batch, n].
 */
typedef void (*kernel_dot_panel_fn)(const float *w, size_t rows, const float *x, size_t batch,
                                    size_t n, float *y, size_t y_stride);

/*
 * y[r] = canonical dot of x and row r of a matrix that is decoded on the way: the same bits as
 * decoding and dot_panel, without the panel. w [rows, n] numbers; MXFP4 has w [rows, n/32, 16] and
 * scales [rows, n/32], other formats ignore `scales`.
 */
typedef void (*kernel_dot_rows_fn)(const uint8_t *w, const uint8_t *scales, size_t rows,
                                   const float *x, size_t n, float *y);

/* y_i = x_i / sqrt(mean(x^2) + eps) * w_i over n elements. Returns the sum of squares, which is not
 * finite when an x is not. Source: docs/MODEL.md. */
typedef float (*kernel_rms_norm_fn)(const float *x, const float *w, size_t n, float eps, float *y);

/* Rotates the pairs (x[d], x[d + half]) by the angles whose cosines and sines are given. [2 * half]
 */
typedef void (*kernel_rotate_fn)(float *x, const float *cosine, const float *sine, size_t half);

/* z_i = g * sigmoid(alpha * g) * (u + 1), g = min(h[2i], limit), u = clamp(h[2i+1], -limit, limit).
 * h [2 * n], z [n]. */
typedef void (*kernel_swiglu_fn)(const float *h, size_t n, float alpha, float limit, float *z);

/* y_i = fma(a, x_i, y_i) over n elements. */
typedef void (*kernel_axpy_fn)(float a, const float *x, size_t n, float *y);

/* y_i = exp(x_i), relative error below 2^-22 where it is a normal number; underflows gradually,
 * overflows to infinity, NaN for NaN. */
typedef void (*kernel_exp_fn)(const float *x, size_t n, float *y);

typedef struct kernel_table {
    kernel_decode16_fn decode_bf16;
    kernel_decode16_fn decode_f16;
    kernel_decode_mxfp4_fn decode_mxfp4;
    kernel_dot_panel_fn dot_panel;
    kernel_dot_rows_fn dot_rows_f16;
    kernel_dot_rows_fn dot_rows_mxfp4;
    kernel_rms_norm_fn rms_norm;
    kernel_rotate_fn rotate;
    kernel_swiglu_fn swiglu;
    kernel_axpy_fn axpy;
    kernel_exp_fn exp;
    dense_kernels dense;  /* BF16 rows, packed rows */
    gemm_table gemm;      /* many rows by many rows */
    fixed_table fixed;    /* MXFP4 weights with fixed-point activations */
    sketch_table sketch;  /* coarse copies of matrices */
    q8_table q8;          /* weights and activations in 8 bits */
    bfloat_tables bfloat; /* weights with activations rounded to bfloat16 */
    probe_table probe;    /* what the machine can do */
    attend_table attend;  /* attention over blocks of keys */
} kernel_table;

/* The table for a processor: plain C in every slot, then over it each overlay whose instructions
 * the processor has, lowest first. Instructions that this build does not use change nothing. */
void kernel_table_init(kernel_table *table, cpu_features has);

/* The table of this machine, made on first use. */
const kernel_table *kernel(void);

/* The overlays, lowest level first. */
void kernel_overlay_plain(kernel_table *table);
void kernel_overlay_avx2(kernel_table *table);
void kernel_overlay_avx512(kernel_table *table);

#endif
