/* Fixed-point products with AVX-512 VNNI: four products of bytes and their sum in an instruction.
 */
#include <immintrin.h>

#include "kernel/fixed.h"
#include "kernel/x86/fixed_factor_product.h"
#include "kernel/x86/fixed_split_avx512.h"

#include "kernel/x86/fixed_dot_body.h"
#include "kernel/x86/fixed_unpack_body.h"

#include "kernel/x86/fixed_bytes_vnni_body.h"

static void dot_rows_twice(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                           const uint8_t *x, size_t columns, unsigned digits, float *y)
{
    dot_rows_ahead(blocks, scales, rows, x, columns, digits, AHEAD_TWICE, y);
}

static void quantise_tile(const float *const rows[], size_t count, size_t batch,
                          fixed_columns columns, unsigned digits, uint8_t *tile)
{
    if (digits == 2 && batch > FIXED_FEW)
        fixed_pairs_quantise(rows, count, columns, tile);
    else
        fixed_quantise_tile_avx512(rows, count, batch, columns, digits, tile);
}

void fixed_overlay_vnni(fixed_table *table)
{
    table->quantise_tile = quantise_tile;
    table->dot_rows = dot_rows_twice;
    table->multiply = multiply;
}
