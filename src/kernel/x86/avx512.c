/* The kernels with AVX-512 F, BW, DQ and VL. */
#include <math.h>

#include "kernel/kernel.h"
#include "kernel/x86/vec_avx512.h"

#define BODY_OVERLAY kernel_overlay_avx512
#include "kernel/body.h"
