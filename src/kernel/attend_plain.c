/* Attention in plain C. */
#include <math.h>

#include "kernel/attend.h"
#include "kernel/vec_plain.h"

#define ATTEND_QUERIES 1
#define ATTEND_VECS    1
#define ATTEND_OVERLAY attend_overlay_plain
#include "kernel/attend_body.h"
