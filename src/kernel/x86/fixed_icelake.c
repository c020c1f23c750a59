/* The fixed-point kernels that gain from VBMI beside VNNI, which Ice Lake and Zen 4 brought. */
#include <immintrin.h>

#include "kernel/fixed.h"
#include "kernel/x86/fixed_factor_product.h"
#include "kernel/x86/fixed_split_vbmi.h"

#define CODED_AHEAD ((distance){0, 12288})
#include "kernel/x86/fixed_dot_body.h"
#include "kernel/x86/fixed_unpack_body.h"

#include "kernel/x86/fixed_bytes_vnni_body.h"

void fixed_overlay_icelake(fixed_table *table)
{
    table->dot_rows = dot_rows;
    table->multiply = multiply;
}
