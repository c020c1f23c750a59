/* Attention with AVX2, FMA and F16C. */
#include <math.h>

#include "kernel/attend.h"
#include "kernel/x86/vec_avx2.h"

#define ATTEND_QUERIES 4
#define ATTEND_VECS    1
#define ATTEND_OVERLAY attend_overlay_avx2
#include "kernel/attend_body.h"
