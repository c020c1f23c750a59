/* Operations against double precision, and that threads and batch mates change no bit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/random.h"
#include "check.h"
#include "kernel/kernel.h"
#include "op/op.h"

static uint64_t drawn;

static float number(void)
{
    return (float)(2.0 * random_unit(7, 0, drawn++) - 1.0);
}

static void fill(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = number();
}

/* ---- linear ---------------------------------------------------------------------------------- */

enum { OUT = 101, IN = 96, BATCH = 100, GROUPS = (OUT + 3) / 4 };

typedef struct linear_case {
    matrix weights;
    const float *bias;
    const float *x;
    float *y;
    size_t batch;
} linear_case;

static void run_linear(const team *self, void *user)
{
    const linear_case *c = user;
    static _Alignas(64) float shared[(BATCH + 3) * IN];
    _Alignas(64) float own[OP_PANEL_FLOATS(IN)];
    linear_map map = {&c->weights, c->bias, c->y};
    op_linear_maps(self, &map, 1, c->x, c->batch, OUT, (product_space){shared, own});
}

static matrix shaped(matrix form)
{
    form.rows = OUT;
    form.columns = IN;
    return form;
}

static void pack(const uint8_t *bf16, uint8_t *packed, dense_group *groups)
{
    size_t used = 0;
    for (size_t g = 0; g < GROUPS; g++) {
        size_t rows = OUT - 4 * g < 4 ? OUT - 4 * g : 4;
        groups[g].line = (uint32_t)(used / DENSE_LINE);
        used += dense_pack_group(&kernel()->dense, bf16 + 8 * g * IN, rows, IN, packed + used,
                                 &groups[g]);
    }
}

/* The same matrix in every format and orientation gives the same bits, near the exact sums. */
static void check_linear(void)
{
    static float exact[OUT * IN];
    static uint8_t f32[4 * OUT * IN];
    static uint8_t f32_turned[4 * OUT * IN];
    static uint8_t bf16[2 * OUT * IN];
    static uint8_t f16_turned[2 * OUT * IN];
    static uint8_t blocks[OUT * IN / 2];
    static uint8_t scales[OUT * IN / 32];
    float bias[OUT];
    float x[BATCH * IN];
    float y[BATCH * OUT];
    for (size_t i = 0; i < sizeof scales; i++)
        scales[i] = (uint8_t)(124 + i % 5);
    for (size_t i = 0; i < OUT * IN; i++) {
        unsigned code = (unsigned)random_bits(3, 0, i) & 15U;
        exact[i] = fp4_to_float(code) * e8m0_to_float(scales[i / 32]);
        blocks[i / 2] = (uint8_t)(i % 2 == 0 ? code : blocks[i / 2] | code << 4);
        uint16_t b = bf16_from_float(exact[i]);
        uint16_t h = f16_from_float(exact[i]);
        size_t turned = i % IN * OUT + i / IN;
        memcpy(f32 + 4 * i, &exact[i], 4);
        memcpy(f32_turned + 4 * turned, &exact[i], 4);
        memcpy(bf16 + 2 * i, &b, 2);
        memcpy(f16_turned + 2 * turned, &h, 2);
    }
    fill(bias, OUT);
    fill(x, BATCH * IN);
    uint8_t *packed = aligned_alloc(DENSE_LINE, GROUPS * dense_group_room(IN));
    dense_group groups[GROUPS];
    pack(bf16, packed, groups);
    const matrix forms[] = {
        {.data = f32, .format = NUMBER_F32},
        {.data = f32_turned, .format = NUMBER_F32, .transposed = true},
        {.data = bf16, .format = NUMBER_BF16},
        {.data = f16_turned, .format = NUMBER_F16, .transposed = true},
        {.data = packed, .format = NUMBER_BF16_PACKED, .groups = groups},
        {.data = blocks, .scales = scales, .format = NUMBER_MXFP4},
    };
    for (size_t form = 0; form < sizeof forms / sizeof *forms; form++) {
        for (uint32_t threads = 1; threads <= 9;
             threads += threads < 4 ? 1 : 5) { /* more than units */
            float again[BATCH * OUT];
            bool first = form == 0 && threads == 1;
            linear_case c = {shaped(forms[form]), bias, x, first ? y : again, BATCH};
            parallel_run(threads, run_linear, &c);
            if (!first)
                CHECK(memcmp(y, again, sizeof y) == 0, "form %zu, %u threads", form, threads);
        }
        float alone[OUT];
        linear_case c = {shaped(forms[form]), bias, x + 2 * IN, alone, 1};
        parallel_run(1, run_linear, &c);
        CHECK(memcmp(alone, y + 2 * OUT, sizeof alone) == 0, "form %zu, a row alone", form);
    }
    for (size_t b = 0; b < BATCH; b++) {
        for (size_t r = 0; r < OUT; r++) {
            double sum = bias[r];
            for (size_t k = 0; k < IN; k++)
                sum += (double)exact[r * IN + k] * x[b * IN + k];
            CHECK(fabs(sum - y[b * OUT + r]) < 2e-5, "row %zu of %zu", r, b);
        }
    }
    float row[3 * IN]; /* not from the beginning of a group */
    matrix of_packed = shaped(forms[4]);
    matrix_decode(&of_packed, 6, 3, row);
    CHECK(memcmp(row, exact + 6 * IN, sizeof row) == 0, "decoding packed rows");
    free(packed);
}

/* Experts with no, one and many rows, read by place and by index: the products of each row alone.
 */
enum { STACK = 4, PLACES = 33 };

typedef struct grouped_case {
    matrix_stack weights;
    routing route;
    const uint8_t *bias;
    const uint32_t *index;
    const float *x;
    float *y;
} grouped_case;

static void run_grouped(const team *self, void *user)
{
    const grouped_case *c = user;
    static _Alignas(64) float shared[2 * PLACES * IN];
    _Alignas(64) float own[OP_PANEL_FLOATS(IN)];
    op_grouped_linear(self, &c->route, &c->weights, NUMBER_F32, c->bias, c->x, c->index, c->y,
                      (product_space){shared, own});
}

static void check_grouped(void)
{
    static float stack[STACK * OUT * IN];
    static float bias[STACK * OUT];
    static float x[PLACES * IN];
    static float y[PLACES * OUT];
    uint32_t start[STACK + 1] = {0, 1, 1, 20, PLACES};
    uint32_t index[PLACES];
    fill(stack, STACK * OUT * IN);
    fill(bias, STACK * OUT);
    fill(x, PLACES * IN);
    for (uint32_t place = 0; place < PLACES; place++)
        index[place] = place * 7 % PLACES;
    matrix first = shaped((matrix){.data = (const uint8_t *)stack, .format = NUMBER_F32});
    grouped_case c = {.weights = {first, STACK},
                      .route = {.rows = PLACES, .top = 1, .experts = STACK, .start = start},
                      .bias = (const uint8_t *)bias,
                      .x = x,
                      .y = y};
    for (uint32_t run = 0; run < 6; run++) {
        c.index = run % 2 == 0 ? NULL : index;
        parallel_run(1 + run / 2, run_grouped, &c);
        for (uint32_t place = 0, expert = 0; place < PLACES; place++) {
            float alone[OUT];
            while (place >= start[expert + 1])
                expert++;
            matrix one = matrix_stack_at(&c.weights, expert);
            const float *row = x + (run % 2 == 0 ? place : index[place]) * IN;
            linear_case l = {one, bias + expert * OUT, row, alone, 1};
            parallel_run(1, run_linear, &l);
            CHECK(memcmp(alone, y + place * OUT, sizeof alone) == 0, "run %u, place %u", run,
                  place);
        }
    }
}

/* ---- routing --------------------------------------------------------------------------------- */

enum { ROWS = 3, EXPERTS = 6, TOP = 2 };

typedef struct route_case {
    const float *logits;
    routing route;
} route_case;

static void run_route(const team *self, void *user)
{
    route_case *c = user;
    op_choose(self, c->logits, &c->route);
    op_assign(self, c->logits, &c->route);
}

static void check_routing(void)
{
    const float logits[ROWS * EXPERTS] = {0,  1,  5,  2,  5,  1,  /* a tie: 2 before 4 */
                                          -9, -8, -7, -6, -5, -4, /* 5, 4 */
                                          3,  3,  3,  3,  3,  3}; /* 0, 1 */
    const uint32_t expected[ROWS * TOP] = {2, 4, 5, 4, 0, 1};
    uint32_t expert[ROWS * TOP];
    uint32_t place[ROWS * TOP];
    uint32_t source[ROWS * TOP];
    uint32_t start[EXPERTS + 1];
    float weight[ROWS * TOP];
    route_case c = {logits, {ROWS, TOP, EXPERTS, expert, weight, place, source, start}};
    for (uint32_t threads = 1; threads <= 3; threads++) {
        parallel_run(threads, run_route, &c);
        CHECK(memcmp(expert, expected, sizeof expected) == 0, "%u threads", threads);
        CHECK(weight[0] == 0.5F && weight[1] == 0.5F, "equal logits, equal weights");
        CHECK(fabs(weight[2] - 1.0 / (1.0 + exp(-1.0))) < 1e-6, "softmax over the chosen");
        for (size_t a = 0; a < ROWS * TOP; a++) {
            CHECK(source[place[a]] == a / TOP, "assignment %zu", a);
            CHECK(place[a] >= start[expert[a]] && place[a] < start[expert[a] + 1],
                  "assignment %zu lies with its expert", a);
        }
        CHECK(start[0] == 0 && start[EXPERTS] == ROWS * TOP, "all are placed");
    }
}

int main(void)
{
    check_linear();
    check_grouped();
    check_routing();
    return test_result();
}
