/* Experts by fixed-point digits: near the exact products at every precision, and neither threads
 * nor batch mates change a bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/random.h"
#include "check.h"
#include "op/fixed.h"

enum { ROWS = 130, EXPERTS = 5, TOP = 2, IN = 224, OUT = 75 };

/* One batch through one matrix of each expert. */
typedef struct fixed_case {
    matrix_stack weights;
    routing route;
    const uint8_t *bias; /* BF16 [EXPERTS, OUT] */
    const float *x;
    bool by_source;
    unsigned digits;
    uint8_t *prepared;
    float *y;
} fixed_case;

static void run_fixed(const team *self, void *user)
{
    const fixed_case *c = user;
    void *scratch = aligned_alloc(64, op_fixed_bytes(IN));
    fixed_rows rows = {c->x, c->by_source ? c->route.source : NULL, IN, c->digits};
    op_fixed_prepare(self, &c->route, rows, c->prepared);
    op_fixed_grouped_linear(self, &c->route, &c->weights, NUMBER_BF16, c->bias, c->prepared,
                            c->digits, c->y, scratch);
    free(scratch);
}

static uint8_t blocks[EXPERTS * OUT * IN / 2];
static uint8_t scales[EXPERTS * OUT * IN / 32];
static uint8_t bias[EXPERTS * OUT * 2];
static float x[ROWS * TOP * IN];
static uint32_t expert[ROWS * TOP];
static uint32_t place[ROWS * TOP];
static uint32_t source[ROWS * TOP];
static uint32_t start[EXPERTS + 1];
static float y[ROWS * TOP * OUT];
static float other[ROWS * TOP * OUT];

static void make_inputs(void)
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
static routing route_rows(size_t rows)
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

static fixed_case make_case(size_t rows, bool by_source, unsigned digits)
{
    fixed_case c = {{{blocks, scales, OUT, IN, NUMBER_MXFP4, false, NULL, 0}, EXPERTS},
                    route_rows(rows),
                    bias,
                    x,
                    by_source,
                    digits,
                    aligned_alloc(64, rows * TOP * fixed_row_bytes(IN, digits)),
                    y};
    return c;
}

static double exact(size_t e, size_t r, const float *row)
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

/* Whether y is near the products; each precision has its limit, of a size of about 10. */
static void check_near(const fixed_case *c)
{
    static const double limits[FIXED_MAX_DIGITS] = {0.2, 1e-3, 1e-5};
    for (size_t a = 0; a < c->route.rows * TOP; a++) {
        const float *row = x + (c->by_source ? a / TOP : place[a]) * IN;
        double worst = 0.0;
        for (size_t r = 0; r < OUT; r++)
            worst = fmax(worst, fabs(y[place[a] * OUT + r] - exact(expert[a], r, row)));
        CHECK(worst <= limits[c->digits - 1], "%u digits: off by %g", c->digits, worst);
    }
}

/* The first rows alone: other batches for every expert. */
static void check_mates(bool by_source, unsigned digits)
{
    static float whole[ROWS * TOP * OUT]; /* by assignment */
    for (size_t a = 0; a < (size_t)ROWS * TOP; a++)
        memcpy(whole + a * OUT, y + place[a] * OUT, OUT * sizeof *y);
    if (!by_source) /* then a row's input depends on its place */
        return;
    for (size_t rows = 1; rows < 12; rows++) {
        fixed_case c = make_case(rows, by_source, digits);
        parallel_run(2, run_fixed, &c);
        for (size_t a = rows == 1 ? TOP : 0; a < rows * TOP; a++)
            CHECK(memcmp(whole + a * OUT, y + place[a] * OUT, OUT * sizeof *y) == 0,
                  "%u digits, %zu rows, assignment %zu", digits, rows, a);
        free(c.prepared);
    }
}

static void check_case(bool by_source, unsigned digits)
{
    fixed_case c = make_case(ROWS, by_source, digits);
    parallel_run(1, run_fixed, &c);
    check_near(&c);
    c.y = other;
    for (uint32_t threads = 2; threads <= 7; threads++) {
        memset(other, 0xff, sizeof other);
        parallel_run(threads, run_fixed, &c);
        CHECK(memcmp(y, other, sizeof y) == 0, "%u digits, %u threads", digits, threads);
    }
    free(c.prepared);
    check_mates(by_source, digits);
}

int main(void)
{
    make_inputs();
    for (unsigned digits = 1; digits <= FIXED_MAX_DIGITS; digits++) {
        check_case(true, digits);
        check_case(false, digits);
    }
    return test_result();
}
