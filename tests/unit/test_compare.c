/* parity/compare and parity/logit_statistics: every figure against numbers worked out by hand. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "parity/compare.h"
#include "parity/logit_statistics.h"

static const gptoss_parity_limits no_limits = {NAN, NAN, NAN, NAN, NAN};

static bool is_near(double value, double expected)
{
    return fabs(value - expected) <= 1e-14 * fabs(expected);
}

static stage_comparison begin(dtype type, gptoss_parity_limits limits)
{
    stage_comparison c;
    CHECK(compare_begin(&c, GPTOSS_STAGE_Q, 3, type, &limits, 16, NULL) == GPTOSS_OK, "begin");
    return c;
}

/* A row of one piece. */
static void add_row(stage_comparison *c, uint32_t token, const double *reference,
                    const double *candidate, size_t columns)
{
    double r[1024];
    double q[1024];
    memcpy(r, reference, columns * sizeof *r);
    memcpy(q, candidate, columns * sizeof *q);
    compare_row_begin(c, token);
    compare_piece(c, 0, r, q, columns);
    compare_row_end(c);
}

/* ---- figures --------------------------------------------------------------------------------- */

static void test_metrics(void)
{
    static const double r0[] = {3, -4, 0, 0}; /* rms 2.5 */
    static const double c0[] = {3, -4.5, 0.25, 0};
    static const double r1[] = {8, 8, 8, 8}; /* rms 8 */
    static const double c1[] = {8, 8, 8, 6};
    stage_comparison c = begin(DTYPE_F32, no_limits);
    add_row(&c, 5, r0, c0, 4);
    add_row(&c, 9, r1, c1, 4);
    compare_end(&c);
    const gptoss_parity_stage *s = &c.result;
    CHECK(s->stage == GPTOSS_STAGE_Q && s->layer == 3 && s->rows == 2 && s->values == 8, "counts");
    CHECK(is_near(s->max_error, 2.0 / 16), "max_error %g", s->max_error);
    CHECK(s->worst.token == 9 && s->worst.column == 3 && s->worst.reference == 8 &&
              s->worst.candidate == 6,
          "its place");
    CHECK(s->max_difference == 2 && s->furthest.token == 9, "max_difference");
    CHECK(s->max_ulp == 0.25 * 0x1p30 && s->worst_ulp.token == 5 && s->worst_ulp.column == 2,
          "max_ulp, at a zero: in units at rms / 256: %g", s->max_ulp);
    CHECK(is_near(s->nmse, (0.25 + 0.0625 + 4) / (25 + 256)), "nmse %g", s->nmse);
    double norms = sqrt(25.0 + 256) * sqrt(9 + 20.25 + 0.0625 + 3 * 64 + 36);
    CHECK(is_near(s->cosine, (9 + 18 + 3 * 64 + 48) / norms), "cosine %g", s->cosine);
    CHECK(s->bit_equal == 5.0 / 8, "bit_equal %g", s->bit_equal);
    CHECK(s->peak_reference == 8 && s->peak_candidate == 8, "peaks");
    CHECK(s->tokens[0] == 5 && s->tokens[1] == 9, "tokens");
    CHECK(s->row_errors[0] == (float)(0.25 / 2.5) && s->row_errors[1] == 0.125F, "row errors %g",
          (double)s->row_errors[0]);
    CHECK(s->pass && s->rows_outside == 0 && s->not_finite == 0, "no limit, no failure");
    compare_free(&c);
}

static void test_ulp(void)
{
    static const struct {
        dtype type;
        double reference;
        double candidate;
        double ulp;
        double equal;
    } cases[] = {
        {DTYPE_F32, 1.0, 1.0 + 0x1p-23, 1, 0},
        {DTYPE_F32, 1.0, 1.0 - 0x1p-24, 0.5, 0},
        {DTYPE_F32, 1024.0, 1024.0 + 3 * 0x1p-13, 3, 0},
        {DTYPE_F32, 0x1p-140, 0x1p-140 + 0x1p-149, 1, 0},
        {DTYPE_F32, 0.0, -0.0, 0, 1},
        {DTYPE_BF16, 1.0, 1.0 + 0x1p-7, 1, 0},
        {DTYPE_BF16, 1.0, 1.0 + 0x1p-9, 0.25, 1}, /* rounds to the reference */
        {DTYPE_BF16, -96.0, -97.0, 2, 0},
        {DTYPE_F16, 2048.0, 2050.0, 1, 0},
        {DTYPE_F64, 1.0, 1.0 + 0x1p-52, 1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stage_comparison c = begin(cases[i].type, no_limits);
        add_row(&c, 0, &cases[i].reference, &cases[i].candidate, 1);
        compare_end(&c);
        CHECK(c.result.max_ulp == cases[i].ulp, "case %zu: %g ulp", i, c.result.max_ulp);
        CHECK(c.result.bit_equal == cases[i].equal, "case %zu: %g equal", i, c.result.bit_equal);
        compare_free(&c);
    }
}

/* The sums and maxima of a long piece do not depend on how it falls into spans. */
static void test_spans(void)
{
    static double r[1000];
    static double q[1000];
    for (size_t columns = 1; columns <= 1000; columns += columns < 10 ? 1 : 37) {
        double squares = 0;
        double largest = 0;
        for (size_t i = 0; i < columns; i++) {
            r[i] = (double)((i * 37) % 101) - 50;
            q[i] = r[i] + (double)((i * 53) % 97) / 128;
            squares += r[i] * r[i];
        }
        double rms = sqrt(squares / (double)columns);
        for (size_t i = 0; i < columns && rms > 0; i++)
            largest = fmax(largest, (q[i] - r[i]) / (rms + fabs(r[i])));
        stage_comparison c = begin(DTYPE_F32, no_limits);
        add_row(&c, 0, r, q, columns);
        compare_end(&c);
        CHECK(is_near(c.result.max_error, largest), "%zu columns: %g", columns, c.result.max_error);
        size_t at = c.result.worst.column;
        CHECK(largest == 0 ||
                  (c.result.worst.reference == r[at] && c.result.worst.candidate == q[at]),
              "place %zu", at);
        CHECK(c.result.values == columns, "%zu values", columns);
        compare_free(&c);
    }
}

static void test_zeros(void)
{
    static const double zeros[4] = {0};
    static const double tiny[4] = {0, 0, 0x1p-130, 0};
    stage_comparison c = begin(DTYPE_F32, no_limits);
    add_row(&c, 0, zeros, zeros, 4);
    compare_end(&c);
    CHECK(c.result.max_error == 0 && c.result.nmse == 0 && c.result.cosine == 1, "zeros agree");
    compare_free(&c);
    c = begin(DTYPE_F32, no_limits);
    add_row(&c, 0, zeros, tiny, 4);
    compare_end(&c);
    CHECK(c.result.max_error == 0x1p-4, "relative to the smallest normal float: %g",
          c.result.max_error);
    CHECK(c.result.nmse == INFINITY && c.result.cosine == 0, "and to nothing");
    compare_free(&c);
    c = begin(DTYPE_F32, no_limits);
    compare_end(&c);
    CHECK(c.result.pass && c.result.rows == 0 && c.result.bit_equal == 1, "no rows");
    compare_free(&c);
}

/* Doubles whose squares are beyond a double. */
static void test_huge(void)
{
    static const double r[2] = {3e300, -4e300};
    static const double q[2] = {3e300, -3e300};
    stage_comparison c = begin(DTYPE_F64, no_limits);
    add_row(&c, 0, r, q, 2);
    compare_end(&c);
    double rms = 1e300 * sqrt(12.5);
    CHECK(is_near(c.result.max_error, 1e300 / (rms + 4e300)), "%g", c.result.max_error);
    compare_free(&c);
    c = begin(DTYPE_F64, (gptoss_parity_limits){NAN, NAN, NAN, 0.5, NAN});
    add_row(&c, 0, r, q, 2);
    compare_end(&c);
    CHECK(!c.result.pass, "an nmse that is not a number is beyond every limit");
    compare_free(&c);
}

static void test_not_finite(void)
{
    static const double r[] = {1, NAN, 2, INFINITY, 4};
    static const double q[] = {1, 7, NAN, INFINITY, 5};
    static const double fine[] = {1, 1, 1, 1, 1};
    stage_comparison c = begin(DTYPE_F32, no_limits);
    add_row(&c, 2, fine, fine, 5);
    add_row(&c, 3, r, q, 5);
    add_row(&c, 4, fine, fine, 5);
    compare_end(&c);
    CHECK(c.result.not_finite == 3 && c.result.values == 15, "%ju not finite",
          (uintmax_t)c.result.not_finite);
    CHECK(c.result.rows_outside == 1 && c.result.first_outside == 3 && !c.result.pass, "outside");
    CHECK(isinf(c.result.row_errors[1]) && c.result.row_errors[2] == 0, "row errors");
    CHECK(c.result.max_difference == 1 && c.result.bit_equal == 11.0 / 15, "the others count");
    CHECK(c.result.peak_candidate == 5 && c.result.peak_reference == 4, "peaks of finite numbers");
    CHECK(compare_departure(&c) == 3, "departure");
    compare_free(&c);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void test_limits(void)
{
    static const double r[] = {2, 2};
    static const double q[] = {2, 2.5}; /* error 0.125, difference 0.5, nmse 0.03125, half equal */
    static const struct {
        gptoss_parity_limits limits;
        bool pass;
        size_t outside;
    } cases[] = {
        {{0.125, 0.5, 0x1p21, 0.03125, 0.5}, true, 0}, {{0.12, NAN, NAN, NAN, NAN}, false, 1},
        {{NAN, 0.49, NAN, NAN, NAN}, false, 1},        {{NAN, NAN, 0x1p20, NAN, NAN}, false, 1},
        {{NAN, NAN, NAN, 0.031, NAN}, false, 0},       {{NAN, NAN, NAN, NAN, 0.51}, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        stage_comparison c = begin(DTYPE_F32, cases[i].limits);
        add_row(&c, 7, r, q, 2);
        compare_end(&c);
        CHECK(c.result.pass == cases[i].pass && c.result.rows_outside == cases[i].outside,
              "case %zu", i);
        CHECK(compare_departure(&c) == 7, "case %zu", i);
        compare_free(&c);
    }
}

static void test_single_numbers(void)
{
    stage_comparison c = begin(DTYPE_F32, no_limits);
    compare_row_begin(&c, 1);
    compare_number(&c, 2, 4.0, 1.0, 2.0);
    compare_number(&c, 0, 4.0, 1.0, NAN);
    compare_row_end(&c);
    compare_row_begin(&c, 2);
    compare_experts(&c, 4, 1, true);
    compare_row_end(&c);
    compare_row_begin(&c, 3);
    compare_experts(&c, 4, 2, false);
    compare_row_end(&c);
    compare_end(&c);
    CHECK(c.result.not_finite == 1 && c.result.values == 10, "%ju values",
          (uintmax_t)c.result.values);
    CHECK(c.result.furthest.column == 2 && c.result.rows_flipped == 2, "places, flips");
    CHECK(c.result.max_error == 0.5 && c.result.worst.token == 3, "half of the experts");
    CHECK(c.result.rows_outside == 2 && c.result.row_errors[1] == 0.25F, "one flip is excused");
    compare_free(&c);
}

/* ---- logits ---------------------------------------------------------------------------------- */

static void test_logits(void)
{
    static const double r0[] = {1, 2, 3, 4, 5, 6};
    static const double q0[] = {2, 3, 4, 5, 6, 7}; /* the same distribution */
    static const double r1[] = {0, 0, 700, -700, 0, 1};
    static const double q1[] = {0, 0, -700, 700, 0, 1};
    static const double r2[] = {7, 7.0625, 0, 0, 0, 0};
    static const double q2[] = {7.125, 7, 0, 0, 0, 0};
    static const double bad[] = {0, NAN, 0, 0, 0, 0};
    gptoss_parity_report report = {0};
    logit_statistics s = {0};
    logit_statistics_row(&s, &report, 10, DTYPE_BF16, r0, q0, 6, NULL);
    CHECK(report.logits.kl_max < 1e-15, "%g", report.logits.kl_max);
    logit_statistics_row(&s, &report, 11, DTYPE_BF16, r2, q2, 6, NULL);
    double zr = exp(7) + exp(7.0625) + 4;
    double zq = exp(7.125) + exp(7) + 4;
    double expected = (exp(7) * -0.125 + exp(7.0625) * 0.0625) / zr + log(zq) - log(zr);
    CHECK(fabs(report.logits.kl_max - expected) < 1e-14 && report.logits.kl_max_token == 11, "%g",
          report.logits.kl_max - expected);
    logit_statistics_row(&s, &report, 12, DTYPE_BF16, r1, q1, 6, NULL);
    CHECK(is_near(report.logits.kl_max, 1400) && report.logits.kl_max_token == 12, "far apart: %g",
          report.logits.kl_max);
    logit_statistics_row(&s, &report, 13, DTYPE_BF16, bad, q0, 6, NULL);
    logit_statistics_row(&s, &report, 14, DTYPE_BF16, q0, bad, 6, NULL);
    logit_statistics_end(&s, &report);
    CHECK(report.logits.rows == 3, "rows that are not finite are left out");
    CHECK(is_near(report.logits.kl_mean, (1400 + expected) / 3), "mean");
    CHECK(is_near(report.logits.top1, 1.0 / 3), "top-1");
    /* Of r1 and q1, the five likeliest are all but 3 and all but 2; ties go to the lower id. */
    CHECK(is_near(report.logits.top_k, (1 + 1 + 4.0 / 5) / 3), "top-k %g", report.logits.top_k);
    CHECK(report.logits.disagreement_count == 2, "disagreements");
    const gptoss_parity_top *top = report.logits.disagreements;
    CHECK(top[0].token == 11 && top[0].reference == 1 && top[0].candidate == 0 &&
              top[0].margin == 0.0625 && top[0].ulp == 2,
          "margin %g, %g ulp", top[0].margin, top[0].ulp);
    CHECK(top[1].margin == 1400, "margin %g", top[1].margin);
    free(report.logits.disagreements);
}

int main(void)
{
    test_metrics();
    test_ulp();
    test_spans();
    test_zeros();
    test_huge();
    test_not_finite();
    test_limits();
    test_single_numbers();
    test_logits();
    return test_result();
}
