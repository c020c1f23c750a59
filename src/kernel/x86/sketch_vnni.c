/* The sketch's product with AVX-512 VNNI. */
#include "kernel/sketch.h"

#include <immintrin.h>
#include <string.h>

/* A lane's centred products are at most 8 * 8 * 128 and fit in 16 bits, so that the product of
 * words, whose upper ones are zero among the multipliers, takes them whole. */
static inline __m512i digit(__m512i low, __m512i high, __m512i first, __m512i second,
                            __m512i centre, __m512i multipliers, __m512i sum)
{
    __m512i lanes = _mm512_dpbusd_epi32(centre, low, first);
    lanes = _mm512_dpbusd_epi32(lanes, high, second);
    return _mm512_dpwssd_epi32(sum, lanes, multipliers);
}

#include "kernel/x86/sketch_groups_avx512_body.h"

#include "kernel/x86/sketch_product_body.h"

static void product(const sketch_rows *rows, const sketch_vector *x, int64_t *sums)
{
    product_ahead(rows, x, AHEAD_ONCE, sums);
}

static void product_twice(const sketch_rows *rows, const sketch_vector *x, int64_t *sums)
{
    product_ahead(rows, x, AHEAD_TWICE, sums);
}

void sketch_overlay_vnni(sketch_table *table, cpu_fetching fetching)
{
    table->product = fetching == CPU_FETCHES_ONCE ? product : product_twice;
}
