/* The sketch's kernels in plain C: what every other level must equal, bit for bit. */
#include "kernel/sketch.h"

#include "kernel/sketch_build_body.h"

static void product(const uint8_t *plane, const uint8_t *multipliers, size_t rows,
                    const sketch_vector *x, int64_t *sums)
{
    size_t half = x->groups * HALF;
    for (size_t r = 0; r < rows; r++) {
        int64_t total = 0;
        for (size_t g = 0; g < x->groups; g++) {
            const uint8_t *codes = plane + r * half + g * HALF;
            int32_t digits[2];
            for (size_t d = 0; d < 2; d++) {
                const int8_t *first = x->digits + 2 * d * half + g * HALF;
                const int8_t *second = first + half;
                digits[d] = -8 * x->sums[d * x->groups + g];
                for (size_t j = 0; j < HALF; j++)
                    digits[d] += (codes[j] & 15) * first[j] + (codes[j] >> 4) * second[j];
            }
            total += (int64_t)multipliers[r * x->groups + g] * (256 * digits[0] + digits[1]);
        }
        sums[r] = total;
    }
}

void sketch_overlay_plain(sketch_table *table)
{
    table->product = product;
    table->build = build_row;
}
