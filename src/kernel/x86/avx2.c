/* The kernels with AVX2, FMA and F16C. */
#include <math.h>

#include "kernel/kernel.h"
#include "kernel/x86/vec_avx2.h"

#define BODY_OVERLAY kernel_overlay_avx2
#include "kernel/body.h"
