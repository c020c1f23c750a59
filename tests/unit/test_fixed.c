/* Experts by fixed-point digits: near the exact products at every precision, and neither threads
 * nor batch mates change a bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "op/fixed.h"
#include "routed.h"

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
    void *scratch = aligned_alloc(64, op_fixed_bytes());
    fixed_rows rows = {c->x, c->by_source ? c->route.source : NULL, IN, c->digits};
    op_fixed_prepare(self, &c->route, rows, c->prepared);
    op_fixed_grouped_linear(self, &c->route, &c->weights, NUMBER_BF16, c->bias, c->prepared,
                            c->digits, c->y, scratch);
    free(scratch);
}

static float y[ROWS * TOP * OUT];
static float other[ROWS * TOP * OUT];

static fixed_case make_case(size_t rows, bool by_source, unsigned digits)
{
    fixed_case c = {experts,
                    route_rows(rows),
                    bias,
                    x,
                    by_source,
                    digits,
                    aligned_alloc(64, rows * TOP * fixed_row_bytes(IN, digits)),
                    y};
    return c;
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

/* ---- with their activation ------------------------------------------------------------------- */

/* Narrow experts of the same numbers, with more rows than a block of z takes. */
enum { GATED_IN = 32, GATED_OUT = 448, GATED = GATED_OUT / 2 };

static const matrix_stack gates = {
    {blocks, scales, GATED_OUT, GATED_IN, NUMBER_MXFP4, false, NULL, 0}, EXPERTS};
static uint8_t gates_bias[EXPERTS * GATED_OUT * 2];

typedef struct gated_case {
    routing route;
    unsigned digits;
    bool at_once;
    uint8_t *prepared;
    uint8_t *z;
} gated_case;

static void run_gated(const team *self, void *user)
{
    static float h[ROWS * TOP * GATED_OUT];
    static float z[ROWS * TOP * GATED];
    const gated_case *c = user;
    const swiglu_shape shape = {1.702F, 7.0F};
    fixed_rows rows = {x, c->route.source, GATED_IN, c->digits};
    void *scratch = aligned_alloc(64, op_fixed_gated_bytes());
    op_fixed_prepare(self, &c->route, rows, c->prepared);
    if (c->at_once) {
        op_fixed_gated(self, &c->route, &gates, NUMBER_BF16, gates_bias, c->prepared, c->digits,
                       shape, c->z, scratch);
    } else {
        op_fixed_grouped_linear(self, &c->route, &gates, NUMBER_BF16, gates_bias, c->prepared,
                                c->digits, h, scratch);
        op_swiglu(self, h, c->route.rows * TOP, GATED, shape.alpha, shape.limit, z);
        op_fixed_prepare(self, &c->route, (fixed_rows){z, NULL, GATED, c->digits}, c->z);
    }
    free(scratch);
}

static void check_gated(unsigned digits)
{
    size_t row_bytes = fixed_row_bytes(GATED, digits);
    size_t in_bytes = (size_t)ROWS * TOP * fixed_row_bytes(GATED_IN, digits);
    gated_case after = {.digits = digits,
                        .prepared = aligned_alloc(64, in_bytes),
                        .z = aligned_alloc(64, ROWS * TOP * row_bytes)};
    gated_case at_once = after;
    at_once.at_once = true;
    at_once.z = aligned_alloc(64, ROWS * TOP * row_bytes);
    for (size_t rows = 1; rows <= ROWS; rows = rows < 5 ? rows + 1 : 26 * (rows / 26 + 1)) {
        after.route = at_once.route = route_rows(rows);
        memset(after.z, 0xff, rows * TOP * row_bytes);
        parallel_run(1, run_gated, &after);
        for (uint32_t threads = 1; threads <= 4; threads++) {
            memset(at_once.z, 0xff, rows * TOP * row_bytes);
            parallel_run(threads, run_gated, &at_once);
            CHECK(memcmp(after.z, at_once.z, rows * TOP * row_bytes) == 0,
                  "%u digits, %zu rows, %u threads", digits, rows, threads);
        }
    }
    free(after.prepared);
    free(after.z);
    free(at_once.z);
}

int main(void)
{
    make_inputs();
    for (size_t i = 0; i < (size_t)EXPERTS * GATED_OUT; i++) {
        uint16_t value = bf16_from_float((float)random_unit(3, 0, i));
        memcpy(gates_bias + 2 * i, &value, sizeof value);
    }
    for (unsigned digits = 1; digits <= FIXED_MAX_DIGITS; digits++) {
        check_case(true, digits);
        check_case(false, digits);
        check_gated(digits);
    }
    return test_result();
}
