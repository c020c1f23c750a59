#include "parity/compare.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* Numbers compared at a time: the work arrays stay in the first-level cache. */
enum { SPAN = 256, LANES = 4 };

/* Below this part of a piece's rms, numbers are what is left of a sum that has cancelled: the order
 * of its terms moves them by many of their own units. */
#define SMALL 0x1p-8

/* What errors are relative to in a piece of zeros: the smallest normal float. */
#define SMALLEST_SCALE 0x1p-126

/* ---- a span of numbers ----------------------------------------------------------------------- */

/* Only NaN and infinity times zero are not zero. */
bool compare_finite(const double *values, size_t count)
{
    double sums[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            sums[lane] += values[i + lane] * 0.0;
    for (; i < count; i++)
        sums[0] += values[i] * 0.0;
    return sums[0] + sums[1] + sums[2] + sums[3] == 0.0;
}

static double largest(const double *values, size_t count)
{
    double most[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            most[lane] = values[i + lane] > most[lane] ? values[i + lane] : most[lane];
    for (; i < count; i++)
        most[0] = values[i] > most[0] ? values[i] : most[0];
    most[0] = most[1] > most[0] ? most[1] : most[0];
    most[2] = most[3] > most[2] ? most[3] : most[2];
    return most[2] > most[0] ? most[2] : most[0];
}

static double dot(const double *a, const double *b, size_t count)
{
    double sums[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            sums[lane] += a[i + lane] * b[i + lane];
    for (; i < count; i++)
        sums[0] += a[i] * b[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

static size_t place_of(const double *values, size_t count, double value)
{
    size_t i = 0;
    while (i + 1 < count && values[i] != value)
        i++;
    return i;
}

double compare_rms(const double *values, size_t count)
{
    double sum = dot(values, values, count);
    if (sum <= DBL_MAX && sum >= DBL_MIN)
        return sqrt(sum / (double)count);
    /* Not finite, or squares beyond a double: by the largest finite number. */
    double peak = 0;
    for (size_t i = 0; i < count; i++)
        if (isfinite(values[i]) && fabs(values[i]) > peak)
            peak = fabs(values[i]);
    sum = 0;
    for (size_t i = 0; i < count && peak > 0; i++)
        if (isfinite(values[i]))
            sum += (values[i] / peak) * (values[i] / peak);
    return peak * sqrt(sum / (double)count);
}

/* ---- one stage ------------------------------------------------------------------------------- */

/* A span on its way: where it lies, and what is known of each pair. */
typedef struct span {
    uint32_t piece;
    uint32_t column;
    double rms;
    const double *reference;
    const double *candidate;
    size_t count;
} span;

static gptoss_parity_place place_in(const stage_comparison *c, const span *s, size_t at)
{
    return (gptoss_parity_place){c->result.tokens[c->result.rows], s->piece,
                                 s->column + (uint32_t)at, s->reference[at], s->candidate[at]};
}

/* Takes pairs that are not finite out of the comparison by making both zero. */
static void take_out(stage_comparison *c, const span *s, double *reference, double *candidate)
{
    for (size_t i = 0; i < s->count; i++) {
        if (isfinite(reference[i]) && isfinite(candidate[i]))
            continue;
        c->result.not_finite++;
        if (!isinf(c->row_error))
            c->error_place = place_in(c, s, i);
        c->row_error = INFINITY;
        c->row_outside = true;
        c->equal--; /* will be counted as equal zeros */
        reference[i] = 0;
        candidate[i] = 0;
    }
}

static void count_equal(stage_comparison *c, const span *s)
{
    double rounded[SPAN];
    size_t equal = 0;
    float_type_round(c->type, s->candidate, s->count, rounded);
    for (size_t i = 0; i < s->count; i++)
        equal += rounded[i] == s->reference[i];
    c->equal += equal;
}

/* Raises *row and *stage to the largest of `values`, and notes the places. */
static void raise(const stage_comparison *c, const span *s, const double *values, double *row,
                  gptoss_parity_place *row_place, double *stage, gptoss_parity_place *stage_place)
{
    double most = largest(values, s->count);
    if (!(most > *row || most > *stage))
        return;
    gptoss_parity_place place = place_in(c, s, place_of(values, s->count, most));
    if (most > *row) {
        *row = most;
        *row_place = place;
    }
    if (most > *stage) {
        *stage = most;
        *stage_place = place;
    }
}

static void compare_span(stage_comparison *c, const span *s)
{
    gptoss_parity_stage *result = &c->result;
    double difference[SPAN];
    double magnitude[SPAN];
    double work[SPAN];
    double peak;
    for (size_t i = 0; i < s->count; i++) {
        difference[i] = fabs(s->candidate[i] - s->reference[i]);
        magnitude[i] = fabs(s->reference[i]);
        work[i] = difference[i] / (s->rms + magnitude[i]);
    }
    raise(c, s, work, &c->row_error, &c->error_place, &result->max_error, &result->worst);
    raise(c, s, difference, &c->row_difference, &c->difference_place, &result->max_difference,
          &result->furthest);
    float_type_inverse_spacings(c->type, s->reference, s->count, SMALL * s->rms, work);
    for (size_t i = 0; i < s->count; i++)
        work[i] *= difference[i];
    raise(c, s, work, &c->row_ulp, &c->ulp_place, &result->max_ulp, &result->worst_ulp);
    peak = largest(magnitude, s->count);
    result->peak_reference = peak > result->peak_reference ? peak : result->peak_reference;
    for (size_t i = 0; i < s->count; i++)
        magnitude[i] = fabs(s->candidate[i]);
    peak = largest(magnitude, s->count);
    result->peak_candidate = peak > result->peak_candidate ? peak : result->peak_candidate;
    c->squares_reference += dot(s->reference, s->reference, s->count);
    c->squares_candidate += dot(s->candidate, s->candidate, s->count);
    c->squares_difference += dot(difference, difference, s->count);
    c->products += dot(s->candidate, s->reference, s->count);
    count_equal(c, s);
    result->values += s->count;
}

void compare_piece(stage_comparison *c, uint32_t piece, double *reference, double *candidate,
                   size_t columns)
{
    double rms = compare_rms(reference, columns);
    rms = rms > SMALLEST_SCALE ? rms : SMALLEST_SCALE;
    for (size_t column = 0; column < columns; column += SPAN) {
        size_t count = columns - column < SPAN ? columns - column : SPAN;
        span s = {piece, (uint32_t)column, rms, reference + column, candidate + column, count};
        if (!compare_finite(s.reference, count) || !compare_finite(s.candidate, count))
            take_out(c, &s, reference + column, candidate + column);
        compare_span(c, &s);
    }
}

void compare_number(stage_comparison *c, uint32_t column, double rms, double reference,
                    double candidate)
{
    rms = rms > SMALLEST_SCALE ? rms : SMALLEST_SCALE;
    span s = {0, column, rms, &reference, &candidate, 1};
    take_out(c, &s, &reference, &candidate);
    compare_span(c, &s);
}

void compare_experts(stage_comparison *c, size_t count, size_t differing, bool excused)
{
    c->result.values += count;
    c->equal += count - differing;
    c->result.rows_flipped += differing > 0;
    c->row_error = (double)differing / (double)count;
    if (c->row_error > c->result.max_error) {
        c->result.max_error = c->row_error;
        c->result.worst = (gptoss_parity_place){.token = c->result.tokens[c->result.rows]};
    }
    c->row_outside = differing > 0 && !excused;
}

/* ---- rows ------------------------------------------------------------------------------------ */

gptoss_status compare_begin(stage_comparison *c, gptoss_stage stage, uint32_t layer, dtype type,
                            const gptoss_parity_limits *limits, size_t capacity,
                            gptoss_error *error)
{
    *c = (stage_comparison){.type = type, .capacity = capacity};
    c->result = (gptoss_parity_stage){.stage = stage, .layer = layer, .limits = *limits};
    c->tokens = calloc(capacity, sizeof *c->tokens);
    c->row_errors = calloc(capacity, sizeof *c->row_errors);
    c->result.tokens = c->tokens;
    c->result.row_errors = c->row_errors;
    if (c->tokens == NULL || c->row_errors == NULL)
        return fail_memory(error, gptoss_stage_name(stage),
                           capacity * (sizeof *c->tokens + sizeof *c->row_errors));
    return GPTOSS_OK;
}

void compare_free(stage_comparison *c)
{
    free(c->tokens);
    free(c->row_errors);
    *c = (stage_comparison){0};
}

void compare_row_begin(stage_comparison *c, uint32_t token)
{
    c->tokens[c->result.rows] = token;
    c->row_error = 0;
    c->row_difference = 0;
    c->row_ulp = 0;
    c->error_place = (gptoss_parity_place){.token = token};
    c->difference_place = c->error_place;
    c->ulp_place = c->error_place;
    c->row_outside = false;
}

/* No limit is NAN, which nothing is beyond. A value that is NAN itself is beyond every limit. */
static bool beyond(double value, double limit)
{
    return !isnan(limit) && !(value <= limit);
}

void compare_row_end(stage_comparison *c)
{
    gptoss_parity_stage *result = &c->result;
    const gptoss_parity_limits *limits = &result->limits;
    bool by_error = c->row_outside || beyond(c->row_error, limits->max_error);
    bool by_difference = beyond(c->row_difference, limits->max_difference);
    bool outside = by_error || by_difference || beyond(c->row_ulp, limits->max_ulp);
    if (outside && result->rows_outside++ == 0) {
        result->first_outside = c->tokens[result->rows];
        result->outside = by_error        ? c->error_place
                          : by_difference ? c->difference_place
                                          : c->ulp_place;
    }
    c->row_errors[result->rows] = (float)c->row_error;
    result->rows++;
}

/* ---- the end --------------------------------------------------------------------------------- */

void compare_end(stage_comparison *c)
{
    gptoss_parity_stage *result = &c->result;
    double norms = sqrt(c->squares_reference) * sqrt(c->squares_candidate);
    bool same = c->squares_difference == 0;
    result->nmse = same ? 0 : c->squares_difference / c->squares_reference;
    result->cosine = norms > 0 ? c->products / norms : same;
    result->bit_equal = result->values > 0 ? (double)c->equal / (double)result->values : 1;
    result->pass =
        result->rows_outside == 0 && !beyond(result->nmse, result->limits.nmse) &&
        (isnan(result->limits.bit_equal) || result->bit_equal >= result->limits.bit_equal);
}

uint32_t compare_departure(const stage_comparison *c)
{
    return c->result.rows_outside > 0 ? c->result.first_outside : c->result.worst.token;
}
