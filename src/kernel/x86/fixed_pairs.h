/* Functions that the AVX-512 overlays of fixed.h call of one another. */
#ifndef KERNEL_X86_FIXED_PAIRS_H
#define KERNEL_X86_FIXED_PAIRS_H

#include "kernel/fixed.h"

/* A fixed_quantise_tile_fn: prepared rows one after another. */
void fixed_quantise_tile_avx512(const float *const rows[], size_t count, size_t batch,
                                fixed_columns columns, unsigned digits, uint8_t *tile);

/* `multiply` for two digits with VNNI, and the tiles that it takes. */
void fixed_pairs_quantise(const float *const rows[], size_t count, fixed_columns columns,
                          uint8_t *tile);
void fixed_pairs_multiply(const uint8_t *blocks, const uint8_t *scales, size_t rows, size_t columns,
                          fixed_batch batch, void *scratch, fixed_ahead ahead, float *y,
                          size_t y_stride);

#endif
