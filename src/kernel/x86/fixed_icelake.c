/* The fixed-point kernels that gain from VBMI beside VNNI, which Ice Lake and Zen 4 brought. */
#include <immintrin.h>

#include "kernel/fixed.h"
#include "kernel/x86/fixed_factor_product.h"
#include "kernel/x86/fixed_split_vbmi.h"

#include "kernel/x86/fixed_dot_body.h"
#include "kernel/x86/fixed_unpack_body.h"

#include "kernel/x86/fixed_bytes_vnni_body.h"

static void dot_rows(const uint8_t *blocks, const uint8_t *scales, size_t rows, const uint8_t *x,
                     size_t columns, unsigned digits, float *y)
{
    dot_rows_ahead(blocks, scales, rows, x, columns, digits, AHEAD_ONCE, y);
}

static void dot_rows_twice(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                           const uint8_t *x, size_t columns, unsigned digits, float *y)
{
    dot_rows_ahead(blocks, scales, rows, x, columns, digits, AHEAD_TWICE, y);
}

void fixed_overlay_icelake(fixed_table *table, cpu_fetching fetching)
{
    table->dot_rows = fetching == CPU_FETCHES_ONCE ? dot_rows : dot_rows_twice;
    table->multiply = multiply;
}
