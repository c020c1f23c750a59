/* Batches of so few activation rows that their weights are not unpacked into a panel. */
#ifndef KERNEL_X86_FIXED_FEW_AVX2_H
#define KERNEL_X86_FIXED_FEW_AVX2_H

#include "kernel/fixed.h"

enum { FIXED_FEW_AVX2 = FIXED_TILE_ROWS };

/* Batches of up to so many rows are multiplied faster so. */
static inline size_t fixed_few_limit(unsigned digits)
{
    return digits == 3 ? 3 : FIXED_FEW_AVX2;
}

/* fixed_table.quantise_tile of such a batch, which is one tile. */
void fixed_few_quantise_avx2(const float *const rows[], size_t count, fixed_columns columns,
                             unsigned digits, uint8_t *tile);

/* And fixed_table.multiply. */
void fixed_few_multiply_avx2(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                             size_t columns, fixed_batch batch, unsigned digits, fixed_ahead ahead,
                             float *y, size_t y_stride);

#endif
