/* Products of float matrices with AVX2 and FMA. */
#include "kernel/gemm.h"
#include "kernel/x86/gemm_quad.h"
#include "kernel/x86/part_avx2.h"

/* Held in a register: the compiler would load it again for each use. */
static inline part part_spread(float a)
{
    part all = _mm256_set1_ps(a);
    __asm__("" : "+x"(all));
    return all;
}

#define TILE_PARTS   4
#define TILE_TOKENS  3
#define TILE_FEW     2
#define TILE_KEPT    3
#define TILE_STEPS   2
#define TILE_AHEAD   0
#define READ_AGAIN() __asm__ volatile("" ::: "memory")
#define PRAGMA(text) _Pragma(#text)
#define INLINE       static inline __attribute__((always_inline))
#define UNROLL(n)    PRAGMA(GCC unroll n)
#define GEMM_OVERLAY gemm_overlay_avx2
#include "kernel/gemm_body.h"
