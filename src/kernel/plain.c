/* The kernels in plain C: what every other level must equal, bit for bit. */
#include <math.h>

#include "kernel/kernel.h"
#include "kernel/vec_plain.h"

#define BODY_OVERLAY kernel_overlay_plain
#include "kernel/body.h"
