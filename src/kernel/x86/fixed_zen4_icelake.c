/* The fixed-point products of batches for processors that have Ice Lake's instructions and scale
 * floats beside their products, which Zen 4 does. */
#include <immintrin.h>

#include "kernel/fixed.h"
#include "kernel/x86/fixed_factor_exponent.h"
#include "kernel/x86/fixed_split_vbmi.h"

#include "kernel/x86/fixed_unpack_body.h"

#include "kernel/x86/fixed_bytes_vnni_body.h"

void fixed_overlay_zen4(fixed_table *table)
{
    table->multiply = multiply;
}
