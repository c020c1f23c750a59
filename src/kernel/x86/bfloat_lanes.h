/*
 * What the kernels of lanes (bfloat.h) share. VDPBF16PS adds the products of the odd and then of
 * the even numbers of 16 lanes, each addition rounded.
 */
#ifndef KERNEL_X86_BFLOAT_LANES_H
#define KERNEL_X86_BFLOAT_LANES_H

#include "kernel/x86/bfloat_steps.h"

INLINE __m512 take(__m512 sums, __m512i w, __m512i x)
{
    return _mm512_dpbf16_ps(sums, (__m512bh)w, (__m512bh)x);
}

/* Rows of MXFP4 as they are stored. */
typedef struct coded_rows {
    const uint8_t *blocks;
    const uint8_t *scales;
    size_t groups; /* of a row */
} coded_rows;

INLINE coded_rows rows_from(coded_rows rows, size_t first)
{
    rows.blocks += first * rows.groups * 16;
    rows.scales += first * rows.groups;
    return rows;
}

/* The products of four rows, from the sums of their lanes. */
INLINE __m128 fold_four(const __m512 a[4])
{
    __m512 first = _mm512_add_ps(_mm512_unpacklo_ps(a[0], a[1]), _mm512_unpackhi_ps(a[0], a[1]));
    __m512 second = _mm512_add_ps(_mm512_unpacklo_ps(a[2], a[3]), _mm512_unpackhi_ps(a[2], a[3]));
    __m512d low = _mm512_unpacklo_pd(_mm512_castps_pd(first), _mm512_castps_pd(second));
    __m512d high = _mm512_unpackhi_pd(_mm512_castps_pd(first), _mm512_castps_pd(second));
    __m512 s = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
    return _mm_add_ps(_mm_add_ps(_mm512_castps512_ps128(s), _mm512_extractf32x4_ps(s, 1)),
                      _mm_add_ps(_mm512_extractf32x4_ps(s, 2), _mm512_extractf32x4_ps(s, 3)));
}

/* Activation rows that MXFP4 rows meet as they are read, without a panel. */
#define BFLOAT_FEW 4

/* bfloat_table.multiply_mxfp4 of lanes for 2 to BFLOAT_FEW activation rows. Returns false, and has
 * done nothing, for other numbers of them, an odd number of weight rows, and scales that vectors do
 * not serve. */
bool bfloat_multiply_few_bf16(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                              size_t columns, const uint16_t *x, size_t count, bfloat_ahead ahead,
                              float *y, size_t y_stride);

#endif
