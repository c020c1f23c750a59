/* Products of float matrices with AVX-512 F. */
#include <immintrin.h>

#include "kernel/gemm.h"
#include "kernel/x86/gemm_quad.h"

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
/* Held in a register: the compiler would load it again for each use. */
static inline part part_spread(float a)
{
    part all = _mm512_set1_ps(a);
    __asm__("" : "+v"(all));
    return all;
}
static inline part part_fma(part a, part b, part c)
{
    return _mm512_fmadd_ps(a, b, c);
}

#define TILE_PARTS   2
#define TILE_TOKENS  12
#define PRAGMA(text) _Pragma(#text)
#define INLINE       static inline __attribute__((always_inline))
#define UNROLL(n)    PRAGMA(GCC unroll n)
#define GEMM_OVERLAY gemm_overlay_avx512
#include "kernel/gemm_body.h"
