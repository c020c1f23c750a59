/* The fixed-point products for Zen 4, which has Ice Lake's instructions and scales floats in units
 * of their own, beside its products. */
#include <immintrin.h>

#include "kernel/fixed.h"
#include "kernel/x86/fixed_factor_exponent.h"
#include "kernel/x86/fixed_split_vbmi.h"

#define CODED_AHEAD AHEAD_ZEN4
#include "kernel/x86/fixed_dot_body.h"
#include "kernel/x86/fixed_unpack_body.h"

#include "kernel/x86/fixed_bytes_vnni_body.h"

void fixed_overlay_zen4(fixed_table *table)
{
    table->dot_rows = dot_rows;
    table->multiply = multiply;
}
