/*
 * Comparing one stage of one layer, row by row. For a piece of n numbers r of the reference and
 * c of the candidate, with rms = sqrt(sum r^2 / n):
 *
 *     error      |c - r| / (rms + |r|): to the number where it is large, else to its piece
 *
 *     difference |c - r|
 *
 *     ulp        |c - r| / spacing of the reference's type at |r|, or at rms / 256 below that
 *
 *     nmse       sum (c - r)^2 / sum r^2 over all rows
 *
 *     cosine     sum c r / sqrt(sum c^2 sum r^2) over all rows
 *
 *     bit_equal  share of c that, rounded to the reference's type, equal r; -0 equals +0
 *
 * Where either number is not finite the pair is counted and takes no further part; its row's error
 * is infinite.
 */
#ifndef PARITY_COMPARE_H
#define PARITY_COMPARE_H

#include "parity/float_type.h"

typedef struct stage_comparison {
    gptoss_parity_stage result;
    dtype type;        /* of the reference's numbers */
    uint32_t *tokens;  /* [capacity] */
    float *row_errors; /* [capacity] */
    size_t capacity;
    double squares_reference;
    double squares_candidate;
    double squares_difference;
    double products;
    uint64_t equal;
    /* The row under way. */
    double row_error;
    double row_difference;
    double row_ulp;
    gptoss_parity_place error_place;
    gptoss_parity_place difference_place;
    gptoss_parity_place ulp_place;
    bool row_outside; /* whatever the limits are */
} stage_comparison;

/* A comparison of at most `capacity` rows. `name` names it when memory is short. */
gptoss_status compare_begin(stage_comparison *c, gptoss_stage stage, uint32_t layer, dtype type,
                            const gptoss_parity_limits *limits, size_t capacity,
                            gptoss_error *error);

/* Accepts a zeroed one. */
void compare_free(stage_comparison *c);

/* The next row, at a position beyond those before; its pieces or columns, in any order; its end. */
void compare_row_begin(stage_comparison *c, uint32_t token);

/* All numbers of a piece. `reference` and `candidate` are decoded ones and may be changed. */
void compare_piece(stage_comparison *c, uint32_t piece, double *reference, double *candidate,
                   size_t columns);

/* One number of a piece whose root mean square the caller knows. */
void compare_number(stage_comparison *c, uint32_t column, double rms, double reference,
                    double candidate);

/* A set of experts: `differing` of the reference's `count` ids are not among the candidate's. The
 * row's error is that share. The row is outside unless it is `excused`. */
void compare_experts(stage_comparison *c, size_t count, size_t differing, bool excused);

void compare_row_end(stage_comparison *c);

/* Fills in what is known only at the end, and whether the stage passes. */
void compare_end(stage_comparison *c);

/* The position that a stage beyond its limits departs at. */
uint32_t compare_departure(const stage_comparison *c);

/* Whether all of `count` numbers are finite. */
bool compare_finite(const double *values, size_t count);

/* The root mean square of the finite ones of `count` numbers; does not overflow. */
double compare_rms(const double *values, size_t count);

#endif
