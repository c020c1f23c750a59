/* Products of float matrices with AVX-512 F. */
#include "kernel/gemm.h"
#include "kernel/x86/gemm_quad.h"
#include "kernel/x86/part_avx512.h"

/* Held in a register: the compiler would load it again for each use. */
static inline part part_spread(float a)
{
    part all = _mm512_set1_ps(a);
    __asm__("" : "+v"(all));
    return all;
}

#define TILE_PARTS  2
#define TILE_TOKENS 12
#define TILE_FEW    4
#define TILE_KEPT   2
#define TILE_STEPS  1
#define TILE_AHEAD  24
#define READ_AGAIN()
#define PRAGMA(text) _Pragma(#text)
#define INLINE       static inline __attribute__((always_inline))
#define UNROLL(n)    PRAGMA(GCC unroll n)
#define GEMM_OVERLAY gemm_overlay_avx512
#include "kernel/gemm_body.h"
