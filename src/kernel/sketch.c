/* The sketch's kernels in plain C: what every other level must equal, bit for bit. */
#include "kernel/sketch.h"

#include "kernel/sketch_build_body.h"

static void product(const sketch_rows *rows, const sketch_vector *x, int64_t *sums)
{
    size_t half = x->groups * HALF;
    for (size_t i = 0; i < rows->count; i++) {
        int64_t total = 0;
        for (size_t g = 0; g < x->groups; g++) {
            const uint8_t *codes = rows->plane + rows->ids[i] * half + g * HALF;
            int32_t product = 0;
            for (size_t d = 0; d < x->count; d++) {
                const int8_t *first = x->digits + 2 * d * half + g * HALF;
                const int8_t *second = first + half;
                product *= 256;
                for (size_t j = 0; j < HALF; j++)
                    product += ((codes[j] & 15) - 8) * first[j] + ((codes[j] >> 4) - 8) * second[j];
            }
            total += (int64_t)rows->multipliers[rows->ids[i] * x->groups + g] * product;
        }
        sums[i] = total;
    }
}

void sketch_overlay_plain(sketch_table *table)
{
    table->product = product;
    table->build = build_row;
}
