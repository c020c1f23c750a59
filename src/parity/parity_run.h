/*
 * A comparison in the making: what replaying a dump (parity.c) and comparing two of them
 * (parity_dumps.c) have in common. Rows come in any order of stages, and within a stage by
 * ascending position.
 */
#ifndef PARITY_PARITY_RUN_H
#define PARITY_PARITY_RUN_H

#include "parity/compare.h"
#include "parity/logit_statistics.h"
#include "parity/reference.h"
#include "parity/tolerance.h"

/* The report comes first, so that who frees it finds the whole. */
typedef struct parity_run {
    gptoss_parity_report report;
    const gptoss_reference *reference;
    tolerances limits;
    stage_comparison *comparisons; /* [report.stage_count] in order of computation */
    uint32_t *index;               /* [layers, GPTOSS_STAGE_COUNT] into them, + 1; 0: none */
    double *reference_numbers;     /* [widest] a piece, decoded */
    double *candidate_numbers;     /* [widest] */
    logit_statistics logits;
    size_t flip_room;
    gptoss_status status; /* of what cannot return one: the first failure stays */
    gptoss_error *error;
} parity_run;

/* One stage of one layer of the candidate, wherever its numbers lie. */
typedef struct candidate_stage {
    const gptoss_reference *dump; /* NULL: of the model */
    const void *data;
    dtype type;
    size_t pieces;           /* of a row */
    size_t stride;           /* numbers from a piece to the next */
    const uint32_t *order;   /* [rows * pieces] which piece lies where; NULL: in order */
    const uint32_t *experts; /* [rows, chosen] that the pieces belong to; NULL: not known */
    size_t chosen;
} candidate_stage;

/*
 * Prepares to compare a dump with a candidate of a type: all stages that the options ask for and
 * the dump has, and `other` has, unless that is NULL. `layers` is how many the model has. Free it
 * with gptoss_parity_free(&run->report).
 */
gptoss_status parity_run_open(const gptoss_reference *reference, const gptoss_reference *other,
                              const gptoss_parity_options *options, dtype candidate,
                              uint32_t layers, parity_run **out, gptoss_error *error);

/* The comparison of a stage; NULL when it is not to be compared. */
stage_comparison *parity_run_stage(const parity_run *run, gptoss_stage stage, uint32_t layer);

/*
 * Compares a row of the reference with one of the candidate: pieces, and routing weights, by the
 * experts they belong to where both sides tell, leaving out those that only one has. NaN and
 * infinity in a dump are a failure, those of the model a result. Not for GPTOSS_STAGE_EXPERTS.
 */
void parity_run_row(parity_run *run, stage_comparison *c, size_t row,
                    const candidate_stage *candidate, size_t candidate_row);

/* How a row's experts compare. */
typedef enum flip_kind {
    FLIP_NONE,    /* the same set, or the reference does not tell */
    FLIP_EXCUSED, /* another one, by a near tie of the reference's router */
    FLIP_TRUE,
} flip_kind;

/* Compares the experts of a row and records a flip. `experts` [chosen] are the candidate's. */
flip_kind parity_run_experts(parity_run *run, uint32_t layer, size_t row, const uint32_t *experts);

/* Fills in the rest of the report. */
void parity_run_end(parity_run *run);

/* Keeps the first failure. */
void parity_run_fail(parity_run *run, gptoss_status status);

#endif
