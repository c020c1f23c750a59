/* What the AVX2 overlay of q8.h calls of its other file. */
#ifndef KERNEL_X86_Q8_BATCH_H
#define KERNEL_X86_Q8_BATCH_H

#include "kernel/q8.h"

/* A q8_multiply_fn for batches. */
void q8_multiply_batch_avx2(const uint8_t *panels, size_t rows, size_t columns, const uint8_t *x,
                            size_t batch, float *y, size_t y_stride);

#endif
