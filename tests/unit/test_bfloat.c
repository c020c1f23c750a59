/* Products of bfloat16 numbers: near the exact ones, the same for BF16 and packed matrices, and
 * neither threads nor batch mates change a bit, nor does the activation beside them. */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "kernel/kernel.h"
#include "op/bfloat.h"
#include "routed.h"

/* ---- experts --------------------------------------------------------------------------------- */

static float y[ROWS * TOP * OUT];
static float other[ROWS * TOP * OUT];
static uint16_t *rounded;

/* One batch through one matrix of each expert. */
typedef struct expert_case {
    routing route;
    bool by_source;
    float *y;
} expert_case;

static void run_experts(const team *self, void *user)
{
    const expert_case *c = user;
    void *scratch = aligned_alloc(64, op_bfloat_bytes(IN));
    op_bfloat_prepare(self, &c->route, (bfloat_rows){x, c->by_source ? c->route.source : NULL, IN},
                      rounded);
    op_bfloat_grouped_linear(self, &c->route, &experts, NUMBER_BF16, bias, rounded, c->y, scratch);
    free(scratch);
}

static void check_experts(bool by_source)
{
    static float whole[ROWS * TOP * OUT]; /* by assignment */
    expert_case c = {route_rows(ROWS), by_source, y};
    parallel_run(1, run_experts, &c);
    for (size_t a = 0; a < (size_t)ROWS * TOP; a++) {
        const float *row = x + (by_source ? a / TOP : place[a]) * IN;
        double worst = 0.0;
        for (size_t r = 0; r < OUT; r++)
            worst = fmax(worst, fabs(y[place[a] * OUT + r] - exact(expert[a], r, row)));
        CHECK(worst > 1e-5 && worst <= 0.1, "assignment %zu: off by %g", a, worst);
        memcpy(whole + a * OUT, y + place[a] * OUT, OUT * sizeof *y);
    }
    c.y = other;
    for (uint32_t threads = 2; threads <= 7; threads++) {
        memset(other, 0xff, sizeof other);
        parallel_run(threads, run_experts, &c);
        CHECK(memcmp(y, other, sizeof y) == 0, "%u threads", threads);
    }
    for (size_t rows = 1; by_source && rows < 12; rows++) { /* else its place decides its input */
        c.route = route_rows(rows);
        parallel_run(2, run_experts, &c);
        for (size_t a = rows == 1 ? TOP : 0; a < rows * TOP; a++)
            CHECK(memcmp(whole + a * OUT, other + place[a] * OUT, OUT * sizeof *y) == 0,
                  "%zu rows, assignment %zu", rows, a);
    }
}

/* ---- experts, with their activation ---------------------------------------------------------- */

/* Narrow experts of the same numbers, with more rows than a block of z takes. */
enum { GATED_IN = 32, GATED_OUT = 480, GATED = GATED_OUT / 2 };

static const matrix_stack gates = {
    {blocks, scales, GATED_OUT, GATED_IN, NUMBER_MXFP4, false, NULL, 0}, EXPERTS};
static uint8_t gates_bias[EXPERTS * GATED_OUT * 2];

typedef struct gated_case {
    routing route;
    bool at_once;
    uint16_t *z;
} gated_case;

static void run_gated(const team *self, void *user)
{
    static float h[ROWS * TOP * GATED_OUT];
    static float z[ROWS * TOP * GATED];
    const gated_case *c = user;
    const swiglu_shape shape = {1.702F, 7.0F};
    size_t bytes = op_bfloat_bytes(GATED_IN);
    size_t gated_bytes = op_bfloat_gated_bytes(c->route.rows);
    void *scratch = aligned_alloc(64, gated_bytes > bytes ? gated_bytes : bytes);
    op_bfloat_prepare(self, &c->route, (bfloat_rows){x, c->route.source, GATED_IN}, rounded);
    if (c->at_once) {
        op_bfloat_gated(self, &c->route, &gates, NUMBER_BF16, gates_bias, rounded, shape, c->z,
                        scratch);
    } else {
        op_bfloat_grouped_linear(self, &c->route, &gates, NUMBER_BF16, gates_bias, rounded, h,
                                 scratch);
        op_swiglu(self, h, c->route.rows * TOP, GATED, shape.alpha, shape.limit, z);
        op_bfloat_prepare(self, &c->route, (bfloat_rows){z, NULL, GATED}, c->z);
    }
    free(scratch);
}

static void check_gated(void)
{
    size_t row_bytes = op_bfloat_row_bytes(GATED);
    gated_case after = {.z = aligned_alloc(64, op_bfloat_rows_bytes(ROWS * TOP, GATED))};
    gated_case at_once = {.at_once = true,
                          .z = aligned_alloc(64, op_bfloat_rows_bytes(ROWS * TOP, GATED))};
    for (size_t i = 0; i < (size_t)EXPERTS * GATED_OUT; i++) {
        uint16_t value = bf16_from_float((float)random_unit(3, 0, i));
        memcpy(gates_bias + 2 * i, &value, sizeof value);
    }
    for (size_t rows = 1; rows <= ROWS; rows = rows < 5 ? rows + 1 : 26 * (rows / 26 + 1)) {
        after.route = at_once.route = route_rows(rows);
        parallel_run(1, run_gated, &after);
        for (uint32_t threads = 1; threads <= 4; threads++) {
            memset(at_once.z, 0xff, rows * TOP * row_bytes);
            parallel_run(threads, run_gated, &at_once);
            CHECK(memcmp(after.z, at_once.z, rows * TOP * row_bytes) == 0, "%zu rows, %u threads",
                  rows, threads);
        }
    }
    free(after.z);
    free(at_once.z);
}

/* ---- dense ----------------------------------------------------------------------------------- */

enum { DENSE_OUT = 101, DENSE_IN = 450, DENSE_ROWS = 107, STRIDE = 2 * DENSE_OUT + 3 };

static uint8_t numbers[DENSE_OUT * DENSE_IN * 2];
static float dense_x[DENSE_ROWS * DENSE_IN];
static float dense_bias[DENSE_OUT];

typedef struct dense_case {
    linear_map maps[2];
    size_t batch;
} dense_case;

static void run_dense(const team *self, void *user)
{
    const dense_case *c = user;
    void *scratch = aligned_alloc(64, op_bfloat_bytes(DENSE_IN));
    op_bfloat_round(self, dense_x, c->batch, DENSE_IN, rounded);
    op_bfloat_linear_maps(self, c->maps, 2, rounded, c->batch, STRIDE, scratch);
    free(scratch);
}

/* The same numbers in 12 bits. */
static matrix pack(uint8_t *data, dense_group groups[(DENSE_OUT + 3) / 4])
{
    size_t used = 0;
    for (size_t row = 0; row < DENSE_OUT; row += 4) {
        groups[row / 4].line = (uint32_t)(used / DENSE_LINE);
        used += dense_pack_group(&kernel()->dense, numbers + 2 * row * DENSE_IN,
                                 DENSE_OUT - row < 4 ? DENSE_OUT - row : 4, DENSE_IN, data + used,
                                 &groups[row / 4]);
    }
    return (matrix){data, NULL, DENSE_OUT, DENSE_IN, NUMBER_BF16_PACKED, false, groups, used};
}

static void check_dense(void)
{
    static float one[DENSE_ROWS * STRIDE];
    static float many[DENSE_ROWS * STRIDE];
    dense_group groups[(DENSE_OUT + 3) / 4];
    uint8_t *data = aligned_alloc(64, dense_group_room(DENSE_IN) * ((DENSE_OUT + 3) / 4));
    matrix packed = pack(data, groups);
    matrix stored = {numbers, NULL, DENSE_OUT, DENSE_IN, NUMBER_BF16, false, NULL, 0};
    dense_case c = {{{&stored, dense_bias, one}, {&packed, dense_bias, one + DENSE_OUT}},
                    DENSE_ROWS};
    parallel_run(1, run_dense, &c);
    for (size_t b = 0; b < DENSE_ROWS; b++) {
        const float *row = one + b * STRIDE;
        CHECK(memcmp(row, row + DENSE_OUT, DENSE_OUT * sizeof *row) == 0, "row %zu: packed", b);
        for (size_t r = 0; r < DENSE_OUT; r++) {
            double sum = (double)dense_bias[r];
            for (size_t k = 0; k < DENSE_IN; k++) {
                uint16_t w;
                memcpy(&w, numbers + 2 * (r * DENSE_IN + k), sizeof w);
                sum += (double)bf16_to_float(w) * (double)dense_x[b * DENSE_IN + k];
            }
            CHECK(fabs(sum - (double)row[r]) < 0.15, "row %zu, output %zu: off by %g", b, r,
                  sum - (double)row[r]);
        }
    }
    for (uint32_t threads = 1; threads <= 5; threads++) {
        c.batch = threads == 1 ? 1 : DENSE_ROWS - threads;
        c.maps[0].y = many;
        c.maps[1].y = many + DENSE_OUT;
        memset(many, 0, sizeof many);
        parallel_run(threads, run_dense, &c);
        for (size_t b = 0; b < c.batch; b++)
            CHECK(memcmp(one + b * STRIDE, many + b * STRIDE, 2 * DENSE_OUT * sizeof *one) == 0,
                  "row %zu of %zu, %u threads", b, c.batch, threads);
    }
    free(data);
}

int main(void)
{
    rounded = aligned_alloc(64, op_bfloat_rows_bytes(ROWS * TOP, IN) +
                                    op_bfloat_rows_bytes(DENSE_ROWS, DENSE_IN));
    make_inputs();
    for (size_t i = 0; i < sizeof dense_x / sizeof *dense_x; i++)
        dense_x[i] = (float)(2.0 * random_unit(2, 0, i) - 1.0);
    for (size_t i = 0; i < DENSE_OUT; i++)
        dense_bias[i] = (float)random_unit(2, 1, i);
    for (size_t i = 0; i < (size_t)DENSE_OUT * DENSE_IN; i++) {
        uint16_t value = bf16_from_float((float)(2.0 * random_unit(2, 2, i) - 1.0));
        memcpy(numbers + 2 * i, &value, sizeof value);
    }
    check_experts(true);
    check_experts(false);
    check_gated();
    check_dense();
    free(rounded);
    return test_result();
}
