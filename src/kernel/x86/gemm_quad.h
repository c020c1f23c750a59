/* Turning four rows, with SSE: for the kernels of gemm_body.h. */
#ifndef KERNEL_X86_GEMM_QUAD_H
#define KERNEL_X86_GEMM_QUAD_H

#include <immintrin.h>
#include <stddef.h>

/* a to d [4]: columns k to k + 3 of four rows. */
static inline void quad_turn(const float *const *rows, size_t k, float *a, float *b, float *c,
                             float *d)
{
    __m128 first = _mm_loadu_ps(rows[0] + k);
    __m128 second = _mm_loadu_ps(rows[1] + k);
    __m128 third = _mm_loadu_ps(rows[2] + k);
    __m128 fourth = _mm_loadu_ps(rows[3] + k);
    _MM_TRANSPOSE4_PS(first, second, third, fourth);
    _mm_store_ps(a, first);
    _mm_store_ps(b, second);
    _mm_store_ps(c, third);
    _mm_store_ps(d, fourth);
}

#endif
