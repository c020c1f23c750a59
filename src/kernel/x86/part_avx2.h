/* A vector of floats with AVX2 and FMA, for the kernels of dense_body.h and gemm_body.h. */
#ifndef KERNEL_X86_PART_AVX2_H
#define KERNEL_X86_PART_AVX2_H

#include <immintrin.h>

typedef __m256 part;
#define PART 8

static inline part part_load(const float *from)
{
    return _mm256_loadu_ps(from);
}
static inline void part_store(float *to, part a)
{
    _mm256_storeu_ps(to, a);
}
static inline part part_zero(void)
{
    return _mm256_setzero_ps();
}
static inline part part_add(part a, part b)
{
    return _mm256_add_ps(a, b);
}
static inline part part_fma(part a, part b, part c)
{
    return _mm256_fmadd_ps(a, b, c);
}

#endif
