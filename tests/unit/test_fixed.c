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
    void *scratch = aligned_alloc(64, op_fixed_bytes(IN));
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

int main(void)
{
    make_inputs();
    for (unsigned digits = 1; digits <= FIXED_MAX_DIGITS; digits++) {
        check_case(true, digits);
        check_case(false, digits);
    }
    return test_result();
}
