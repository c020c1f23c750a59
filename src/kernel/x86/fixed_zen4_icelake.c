/* The fixed-point products for Zen 4, which has Ice Lake's instructions and scales floats in units
 * of their own, beside its products. */
#include <immintrin.h>

#include "kernel/fixed.h"
#include "kernel/x86/fixed_factor_exponent.h"
#include "kernel/x86/fixed_split_vbmi.h"

#include "kernel/x86/fixed_dot_body.h"
#include "kernel/x86/fixed_unpack_body.h"

#include "kernel/x86/fixed_bytes_vnni_body.h"

static void dot_rows_twice(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                           const uint8_t *x, size_t columns, unsigned digits, float *y)
{
    dot_rows_ahead(blocks, scales, rows, x, columns, digits, AHEAD_TWICE, y);
}

void fixed_overlay_zen4(fixed_table *table)
{
    table->dot_rows = dot_rows_twice;
    table->multiply = multiply;
}
