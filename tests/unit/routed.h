/* Random experts in MXFP4 and batches of rows that are routed to them unevenly. */
#ifndef UNIT_ROUTED_H
#define UNIT_ROUTED_H

#include <stdint.h>
#include <string.h>

#include "base/number.h"
#include "base/random.h"
#include "op/op.h"

enum { ROWS = 130, EXPERTS = 5, TOP = 2, IN = 224, OUT = 75 };

static uint8_t blocks[EXPERTS * OUT * IN / 2];
static uint8_t scales[EXPERTS * OUT * IN / 32];
static uint8_t bias[EXPERTS * OUT * 2];
static float x[ROWS * TOP * IN];
static uint32_t expert[ROWS * TOP];
static uint32_t place[ROWS * TOP];
static uint32_t source[ROWS * TOP];
static uint32_t start[EXPERTS + 1];

static inline void make_inputs(void)
{
    for (size_t i = 0; i < sizeof blocks; i++)
        blocks[i] = (uint8_t)random_bits(1, 0, i);
    for (size_t i = 0; i < sizeof scales; i++)
        scales[i] = (uint8_t)(122 + i % 5);
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = (float)(2.0 * random_unit(1, 1, i) - 1.0);
    for (size_t i = 0; i < (size_t)EXPERTS * OUT; i++) {
        uint16_t value = bf16_from_float((float)random_unit(1, 2, i));
        memcpy(bias + 2 * i, &value, sizeof value);
    }
}

/* Routes `rows` rows: expert 0 gets one, expert 1 none, expert 2 nearly all, the others the rest.
 */
static inline routing route_rows(size_t rows)
{
    routing route = {rows, TOP, EXPERTS, expert, NULL, place, source, start};
    size_t next = 0;
    for (size_t a = 0; a < rows * TOP; a++)
        expert[a] = (uint32_t)(a == 0 ? 0 : a % TOP == 0 || rows == 1 ? 2 : 3 + a / TOP % 2);
    for (uint32_t e = 0; e < EXPERTS; e++) {
        start[e] = (uint32_t)next;
        for (size_t a = 0; a < rows * TOP; a++) {
            if (expert[a] != e)
                continue;
            place[a] = (uint32_t)next;
            source[next++] = (uint32_t)(a / TOP);
        }
    }
    start[EXPERTS] = (uint32_t)next;
    return route;
}

static const matrix_stack experts = {{blocks, scales, OUT, IN, NUMBER_MXFP4, false, NULL, 0},
                                     EXPERTS};

/* The product of row r of expert e and a row of activations, with its bias. */
static inline double exact(size_t e, size_t r, const float *row)
{
    double sum =
        bf16_to_float((uint16_t)(bias[2 * (e * OUT + r)] | bias[2 * (e * OUT + r) + 1] << 8));
    for (size_t k = 0; k < IN; k++) {
        size_t at = (e * OUT + r) * IN + k;
        double w = fp4_to_float((unsigned)blocks[at / 2] >> at % 2 * 4);
        sum += w * (double)e8m0_to_float(scales[at / 32]) * (double)row[k];
    }
    return sum;
}

#endif
