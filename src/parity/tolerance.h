/* What the numbers of a stage may differ by: defaults, and a file that overrides them. */
#ifndef PARITY_TOLERANCE_H
#define PARITY_TOLERANCE_H

#include "parity/float_type.h"

/* The limits of a stage, in the order of gptoss_parity_limits. */
typedef enum tolerance_kind {
    TOLERANCE_MAX_ERROR,
    TOLERANCE_MAX_DIFFERENCE,
    TOLERANCE_MAX_ULP,
    TOLERANCE_NMSE,
    TOLERANCE_BIT_EQUAL,
    TOLERANCE_COUNT
} tolerance_kind;

/* What the limits depend on besides the stage. */
typedef struct tolerances {
    double roundoff; /* of the coarsest type that the numbers of either side have been in */
    bool coarse;     /* that type is coarser than F32 */
    uint32_t layers; /* the number of layers, for the stages behind them */
    size_t tokens;   /* of the run */
    /* The overriding file's: NAN in a given entry removes the limit. */
    bool given[GPTOSS_STAGE_COUNT][TOLERANCE_COUNT];
    double value[GPTOSS_STAGE_COUNT][TOLERANCE_COUNT];
    bool margin_given;
    double margin;
} tolerances;

/*
 * Fills in the defaults for a run of `tokens` with numbers of these types and reads the JSON file
 * at `path`, unless that is NULL:
 *
 *     {"stages": {"*": {"max_error": 1e-5, "nmse": null}, "logits": {"bit_equal": 0.999}},
 *      "router_margin": 1e-4}
 *
 * "*" is for all stages; a stage's own entry overrides it key by key; null removes a limit. What
 * the file has besides is refused.
 */
gptoss_status tolerances_load(const char *path, dtype reference, dtype candidate, uint32_t layers,
                              size_t tokens, tolerances *out, gptoss_error *error);

/* Of a stage that is given the reference's own input, or else of one that inherits differences. All
 * NAN for GPTOSS_STAGE_EXPERTS, which the router's margin judges. */
gptoss_parity_limits tolerances_of(const tolerances *t, gptoss_stage stage, uint32_t layer,
                                   bool isolated);

/* How near a tie of the router must be for a flip to be excused: difference of logits. */
double tolerances_margin(const tolerances *t);

#endif
