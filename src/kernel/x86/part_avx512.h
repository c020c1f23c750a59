/* A vector of floats with AVX-512, for the kernels of dense_body.h and gemm_body.h. */
#ifndef KERNEL_X86_PART_AVX512_H
#define KERNEL_X86_PART_AVX512_H

#include <immintrin.h>

typedef __m512 part;
#define PART 16

static inline part part_load(const float *from)
{
    return _mm512_loadu_ps(from);
}
static inline void part_store(float *to, part a)
{
    _mm512_storeu_ps(to, a);
}
static inline part part_zero(void)
{
    return _mm512_setzero_ps();
}
static inline part part_add(part a, part b)
{
    return _mm512_add_ps(a, b);
}
static inline part part_fma(part a, part b, part c)
{
    return _mm512_fmadd_ps(a, b, c);
}

#endif
