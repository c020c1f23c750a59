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
#define GEMM_OVERLAY gemm_overlay_body
static void gemm_overlay_body(gemm_table *table);
#include "kernel/gemm_body.h"

/* ---- arranging, 16 rows at a time ------------------------------------------------------------ */

/* Columns k to k + 3 of 16 rows, a column to a vector. Masked loads, which read nothing but what
 * they take, need no unit that shuffles. */
INLINE void turn_columns(const float *const *rows, size_t k, __m512 columns[4])
{
    __m512 four[4]; /* rows i, i + 4, i + 8, i + 12 */
    UNROLL(4)
    for (size_t i = 0; i < 4; i++) {
        __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(rows[i] + k));
        v = _mm512_mask_loadu_ps(v, 0x00f0, rows[i + 4] + k - 4);
        v = _mm512_mask_loadu_ps(v, 0x0f00, rows[i + 8] + k - 8);
        four[i] = _mm512_mask_loadu_ps(v, 0xf000, rows[i + 12] + k - 12);
    }
    __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(four[0], four[1]));
    __m512d b = _mm512_castps_pd(_mm512_unpacklo_ps(four[2], four[3]));
    __m512d c = _mm512_castps_pd(_mm512_unpackhi_ps(four[0], four[1]));
    __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(four[2], four[3]));
    columns[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
    columns[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    columns[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
    columns[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
}

/* Whole steps of 16 rows. */
static void arrange_steps(const float *const *rows, size_t steps, size_t width, size_t apart,
                          float *to)
{
    static const uint8_t place[] = {0, 4, 2, 6, 1, 5, 3, 7}; /* of column 4 i, bits reversed */
    for (size_t k = 0; k < steps * GEMM_CLASSES; k += GEMM_CLASSES, to += width) {
        UNROLL(8)
        for (size_t i = 0; i < 8; i++) {
            float *at = to + place[i] * apart;
            __m512 columns[4];
            turn_columns(rows, k + 4 * i, columns);
            _mm512_storeu_ps(at, columns[0]);
            _mm512_storeu_ps(at + 16 * apart, columns[1]);
            _mm512_storeu_ps(at + 8 * apart, columns[2]);
            _mm512_storeu_ps(at + 24 * apart, columns[3]);
        }
    }
}

/* Rows that 16 do not divide, and columns that no step divides, are arranged four at a time. */
static void arrange_many(const float *const *rows, size_t count, size_t n, size_t width,
                         float *sliver)
{
    size_t apart = GEMM_COLUMNS(n) / GEMM_CLASSES * width;
    for (; count >= PART && width % PART == 0 && n % GEMM_CLASSES == 0; count -= PART) {
        arrange_steps(rows, n / GEMM_CLASSES, width, apart, sliver);
        rows += PART;
        sliver += PART;
    }
    if (count > 0)
        arrange(rows, count, n, width, sliver);
}

void gemm_overlay_avx512(gemm_table *table)
{
    gemm_overlay_body(table);
    table->arrange = arrange_many;
}
