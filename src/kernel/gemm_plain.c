/* Products of float matrices in plain C: what every other level must equal, bit for bit. */
#include <math.h>

#include "kernel/gemm.h"

typedef float part;
#define PART 1

static inline part part_load(const float *from)
{
    return *from;
}
static inline void part_store(float *to, part a)
{
    *to = a;
}
static inline part part_zero(void)
{
    return 0.0F;
}
static inline part part_add(part a, part b)
{
    return a + b;
}
static inline part part_spread(float a)
{
    return a;
}
static inline part part_fma(part a, part b, part c)
{
    return fmaf(a, b, c);
}
static inline void quad_turn(const float *const *rows, size_t k, float *a, float *b, float *c,
                             float *d)
{
    for (size_t r = 0; r < GEMM_QUAD; r++) {
        a[r] = rows[r][k];
        b[r] = rows[r][k + 1];
        c[r] = rows[r][k + 2];
        d[r] = rows[r][k + 3];
    }
}

#define TILE_PARTS  1
#define TILE_TOKENS 12
#define TILE_FEW    4
#define TILE_KEPT   1
#define TILE_STEPS  1
#define TILE_AHEAD  0
#define READ_AGAIN()
#define INLINE       static inline
#define UNROLL(n)    /* the compiler knows */
#define GEMM_OVERLAY gemm_overlay_plain
#include "kernel/gemm_body.h"
