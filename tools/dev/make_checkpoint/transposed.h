/* Random MXFP4 experts, decoded and transposed as the unquantised layout has them. */
#ifndef MAKE_CHECKPOINT_TRANSPOSED_H
#define MAKE_CHECKPOINT_TRANSPOSED_H

#include "checkpoint/random_weights.h"

/*
 * Decodes group `group` of rows first .. first + rows - 1 (of `groups` groups each) and writes it
 * transposed: out[column][row], for the first `columns` (at most 32) of the group's columns.
 */
void mx_fill_transposed(const mx_matrix *matrix, uint64_t first, uint32_t rows, uint32_t group,
                        uint32_t groups, uint32_t columns, dtype type, void *out);

#endif
