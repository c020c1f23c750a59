/* Products of 8-bit weights in plain C: what every other level must equal, bit for bit. */
#include "kernel/q8_pack_body.h"

/* sum of q * N over a group for row r of a panel's group. */
static int32_t dot_group(const uint8_t *group, size_t r, const uint8_t *digits)
{
    int32_t sum = 0;
    for (size_t i = 0; i < FIXED_GROUP; i++) {
        int32_t q = group[i / 4 * Q8_QUAD_BYTES + 4 * r + i % 4] - 128;
        sum += q * (int8_t)digits[i / 16 * 64 + i % 16];
    }
    return sum;
}

static float multiply_one(const uint8_t *panel, size_t r, size_t groups, const uint8_t *x)
{
    float sums[FIXED_GROUPS] = {0};
    for (size_t g = 0; g < groups; g++) {
        const uint8_t *group = panel + g * Q8_GROUP_BYTES;
        const uint8_t *block = x + g / FIXED_GROUPS * fixed_block_bytes(1);
        size_t place = g % FIXED_GROUPS;
        uint16_t scale;
        float half_scale;
        memcpy(&scale, group + 8 * Q8_QUAD_BYTES + 2 * r, sizeof scale);
        memcpy(&half_scale, block + FIXED_COLUMNS + offsetof(fixed_tail, half_scale) + 4 * place,
               sizeof half_scale);
        float total = (float)dot_group(group, r, block + 16 * place);
        sums[place] = fmaf(total, bf16_to_float(scale) * half_scale, sums[place]);
    }
    return ((sums[0] + sums[1]) + sums[2]) + sums[3];
}

static void multiply(const uint8_t *panels, size_t rows, size_t columns, const uint8_t *x,
                     size_t batch, float *y, size_t y_stride)
{
    size_t groups = columns / FIXED_GROUP;
    for (size_t b = 0; b < batch; b++)
        for (size_t r = 0; r < rows; r++)
            y[b * y_stride + r] =
                multiply_one(panels + r / Q8_PANEL_ROWS * groups * Q8_GROUP_BYTES,
                             r % Q8_PANEL_ROWS, groups, x + b * fixed_row_bytes(columns, 1));
}

void q8_overlay_plain(q8_table *table)
{
    *table = (q8_table){pack, multiply};
}
