/* Attention with AVX-512 F, BW, DQ and VL. */
#include <math.h>

#include "kernel/attend.h"
#include "kernel/x86/vec_avx512.h"

#define ATTEND_QUERIES 8
#define ATTEND_VECS    2
#define ATTEND_OVERLAY attend_overlay_avx512
#include "kernel/attend_body.h"
