/* The dense kernels in plain C: what every other level must equal, bit for bit. */
#include <math.h>

#include "base/number.h"
#include "kernel/dense.h"

typedef struct part {
    float lane[16];
} part;
#define PART 16

static inline part part_load(const float *from)
{
    part result;
    for (size_t l = 0; l < PART; l++)
        result.lane[l] = from[l];
    return result;
}
static inline void part_store(float *to, part a)
{
    for (size_t l = 0; l < PART; l++)
        to[l] = a.lane[l];
}
static inline part part_zero(void)
{
    return (part){{0}};
}
static inline part part_fma(part a, part b, part c)
{
    part result;
    for (size_t l = 0; l < PART; l++)
        result.lane[l] = fmaf(a.lane[l], b.lane[l], c.lane[l]);
    return result;
}
static inline part part_from_bf16(const uint8_t *in)
{
    part result;
    for (size_t l = 0; l < PART; l++)
        result.lane[l] = bf16_to_float((uint16_t)(in[2 * l] | in[2 * l + 1] << 8));
    return result;
}

static inline float part_fold(const part *sums)
{
    part all;
    for (size_t l = 0; l < PART; l++)
        all.lane[l] = sums[0].lane[l] + sums[1].lane[l];
    for (size_t width = PART / 2; width > 0; width /= 2)
        for (size_t l = 0; l < width; l++)
            all.lane[l] += all.lane[l + width];
    return all.lane[0];
}

typedef const uint8_t *place_table;

static inline place_table table_load(const uint8_t *table)
{
    return table;
}

static inline void block_unpack(const uint8_t *low, const uint8_t *pairs, place_table table,
                                part *out)
{
    for (size_t byte = 0; byte < DENSE_BLOCK_COLUMNS; byte++) {
        unsigned place = (unsigned)pairs[byte % 32] >> (byte / 32 * 4) & 15U;
        size_t quarter = byte / 8 % 2 * 2 + byte % 2; /* see the drawing in dense.h */
        out[quarter].lane[byte / 16 * 4 + byte % 8 / 2] =
            bf16_to_float((uint16_t)(low[byte] | table[place] << 8));
    }
}

#define INLINE        static inline
#define UNROLL(n)     /* structures of 16 floats stay in memory anyway */
#define DENSE_OVERLAY dense_overlay_body
static void dense_overlay_body(dense_kernels *table, cpu_fetching fetching);
#include "kernel/dense_body.h"

void dense_overlay_plain(dense_kernels *table)
{
    dense_overlay_body(table, false);
    table->pack = dense_pack_plain;
}
