#include "parity/tolerance.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/json.h"

/* ---- defaults -------------------------------------------------------------------------------- */

/*
 * The default limit of max_error in units of the roundoff of the coarsest type involved (2^-24 for
 * float32, 2^-11 for float16, 2^-8 for bfloat16), several times what the official
 * implementations differ by among themselves; docs/PARITY.md has those figures.
 *
 * Isolated, a stage has only its own roundings and the order of its sums: float32 sums of thousands
 * of terms are off by tens of units, values that are rounded to a coarser type by one or two, and
 * by more where float32 is compared with a reference that rounds inside the stage. Chained, it
 * inherits the differences of all stages before, which grow with the depth: the limit of layer l is
 * units * (1 + l / 4).
 *
 * Rotary angles are products of position and frequency, and the frequencies of implementations
 * that compute them in float32 differ by a unit or two, PyTorch's own on different processors among
 * them. So what is rotated is allowed `angle` units of float32 more for each token.
 */
typedef struct unit_row {
    struct {
        double isolated;
        double chained;
    } fine, coarse; /* float32 and finer; the others */
    double angle;
} unit_row;

static const unit_row units[GPTOSS_STAGE_COUNT] = {
    [GPTOSS_STAGE_EMBEDDING] = {{1, 1}, {1, 1}, 0},
    [GPTOSS_STAGE_ATTENTION_NORM] = {{32, 384}, {4, 48}, 0},
    [GPTOSS_STAGE_Q] = {{192, 384}, {4, 48}, 0},
    [GPTOSS_STAGE_K] = {{192, 384}, {4, 48}, 0},
    [GPTOSS_STAGE_V] = {{192, 384}, {4, 48}, 0},
    [GPTOSS_STAGE_Q_ROTARY] = {{64, 384}, {12, 48}, 8},
    [GPTOSS_STAGE_K_ROTARY] = {{64, 384}, {12, 48}, 8},
    [GPTOSS_STAGE_SINK_MASS] = {{64, 384}, {12, 48}, 2},
    [GPTOSS_STAGE_ATTENTION] = {{512, 1536}, {32, 192}, 4},
    [GPTOSS_STAGE_ATTENTION_OUT] = {{192, 768}, {8, 96}, 2},
    [GPTOSS_STAGE_ATTENTION_RESIDUAL] = {{8, 384}, {4, 48}, 0},
    [GPTOSS_STAGE_MLP_NORM] = {{32, 384}, {4, 64}, 0},
    [GPTOSS_STAGE_ROUTER] = {{192, 384}, {4, 48}, 0},
    /* ids have no roundings: the router's margin judges them */
    [GPTOSS_STAGE_EXPERTS] = {{0, 0}, {0, 0}, 0},
    [GPTOSS_STAGE_ROUTING_WEIGHTS] = {{16, 192}, {4, 24}, 0},
    [GPTOSS_STAGE_GATE_UP] = {{192, 512}, {8, 64}, 0},
    [GPTOSS_STAGE_ACTIVATED] = {{32, 1024}, {12, 128}, 0},
    [GPTOSS_STAGE_EXPERT_OUT] = {{192, 768}, {8, 96}, 0},
    [GPTOSS_STAGE_COMBINED] = {{32, 768}, {8, 96}, 0},
    [GPTOSS_STAGE_RESIDUAL] = {{8, 384}, {4, 64}, 0},
    [GPTOSS_STAGE_FINAL_NORM] = {{32, 384}, {4, 64}, 0},
    [GPTOSS_STAGE_LOGITS] = {{256, 512}, {8, 64}, 0},
};

/* Router logits lie within a few units of zero; bfloat16 ones of that size are 2^-6 apart. */
#define MARGIN_FINE   1e-4
#define MARGIN_COARSE 0.0625

static double default_error(const tolerances *t, gptoss_stage stage, uint32_t layer, bool isolated)
{
    const unit_row *row = &units[stage];
    uint32_t depth = stage >= GPTOSS_STAGE_FINAL_NORM ? t->layers : layer;
    double angle = row->angle * (double)t->tokens * float_type_roundoff(DTYPE_F32);
    if (isolated)
        return (t->coarse ? row->coarse.isolated : row->fine.isolated) * t->roundoff + angle;
    double chained = t->coarse ? row->coarse.chained : row->fine.chained;
    return chained * (1 + depth / 4.0) * t->roundoff + angle;
}

gptoss_parity_limits tolerances_of(const tolerances *t, gptoss_stage stage, uint32_t layer,
                                   bool isolated)
{
    double limits[TOLERANCE_COUNT] = {NAN, NAN, NAN, NAN, NAN};
    if (stage != GPTOSS_STAGE_EXPERTS)
        limits[TOLERANCE_MAX_ERROR] = default_error(t, stage, layer, isolated);
    for (unsigned kind = 0; kind < TOLERANCE_COUNT; kind++)
        if (t->given[stage][kind])
            limits[kind] = t->value[stage][kind];
    return (gptoss_parity_limits){.max_error = limits[TOLERANCE_MAX_ERROR],
                                  .max_difference = limits[TOLERANCE_MAX_DIFFERENCE],
                                  .max_ulp = limits[TOLERANCE_MAX_ULP],
                                  .nmse = limits[TOLERANCE_NMSE],
                                  .bit_equal = limits[TOLERANCE_BIT_EQUAL]};
}

double tolerances_margin(const tolerances *t)
{
    if (t->margin_given)
        return t->margin;
    return t->coarse ? MARGIN_COARSE : MARGIN_FINE;
}

/* ---- the file -------------------------------------------------------------------------------- */

static const char *const kinds[TOLERANCE_COUNT] = {
    [TOLERANCE_MAX_ERROR] = "max_error", [TOLERANCE_MAX_DIFFERENCE] = "max_difference",
    [TOLERANCE_MAX_ULP] = "max_ulp",     [TOLERANCE_NMSE] = "nmse",
    [TOLERANCE_BIT_EQUAL] = "bit_equal",
};

/* A number from 0 to `most`, or null, which becomes NAN. */
static gptoss_status read_limit(const json_value *value, const char *path, const char *where,
                                double most, double *out, gptoss_error *error)
{
    *out = NAN;
    if (json_is_null(value))
        return GPTOSS_OK;
    if (!json_is_number(value))
        return fail(error, GPTOSS_FORMAT, "%s: \"%s\" of %s is not a number, nor null for no limit",
                    path, json_name(value), where);
    *out = json_number(value);
    if (!(*out >= 0 && *out <= most))
        return fail(error, GPTOSS_FORMAT, "%s: \"%s\" of %s is %g: expected a number from 0%s",
                    path, json_name(value), where, *out, most == 1 ? " to 1" : " on");
    return GPTOSS_OK;
}

/* An object's first and only member of its name. Unknown names end a walk, so that not many of
 * these linear searches are made. */
static gptoss_status check_once(const json_value *object, const json_value *item, const char *path,
                                const char *where, gptoss_error *error)
{
    if (json_member(object, json_name(item)) == item) /* which is the last of its name */
        return GPTOSS_OK;
    return fail(error, GPTOSS_FORMAT, "%s: \"%.64s\" stands twice in %s", path, json_name(item),
                where);
}

static gptoss_status read_stage(const json_value *object, const char *path, bool given[],
                                double value[], gptoss_error *error)
{
    const char *name = json_name(object);
    if (!json_is_object(object))
        return fail(error, GPTOSS_FORMAT,
                    "%s: stage \"%s\" is not an object of limits such as {\"max_error\": 1e-5}",
                    path, name);
    gptoss_status status = GPTOSS_OK;
    const json_value *item = json_first(object);
    for (; item != NULL && status == GPTOSS_OK; item = json_next(item)) {
        unsigned kind = 0;
        while (kind < TOLERANCE_COUNT && strcmp(json_name(item), kinds[kind]) != 0)
            kind++;
        if (kind == TOLERANCE_COUNT)
            return fail(error, GPTOSS_FORMAT,
                        "%s: \"%.64s\" of %s is no limit: expected max_error, max_difference, "
                        "max_ulp, nmse or bit_equal",
                        path, json_name(item), name);
        given[kind] = true;
        status = check_once(object, item, path, name, error);
        if (status == GPTOSS_OK)
            status = read_limit(item, path, name, kind == TOLERANCE_BIT_EQUAL ? 1 : DBL_MAX,
                                &value[kind], error);
    }
    return status;
}

/* The entry "*" goes to all stages first, wherever in the file it stands. */
static gptoss_status read_stages(const json_value *object, const char *path, tolerances *out,
                                 gptoss_error *error)
{
    if (!json_is_object(object))
        return fail(error, GPTOSS_FORMAT, "%s: \"stages\" is not an object", path);
    gptoss_status status = GPTOSS_OK;
    const json_value *all = json_member(object, "*");
    if (all != NULL)
        for (unsigned stage = 0; stage < GPTOSS_STAGE_COUNT && status == GPTOSS_OK; stage++)
            if (stage != GPTOSS_STAGE_EXPERTS)
                status = read_stage(all, path, out->given[stage], out->value[stage], error);
    const json_value *item = json_first(object);
    for (; item != NULL && status == GPTOSS_OK; item = json_next(item)) {
        gptoss_stage stage = gptoss_stage_named(json_name(item));
        status = check_once(object, item, path, "stages", error);
        if (item == all || status != GPTOSS_OK)
            continue;
        if (stage == GPTOSS_STAGE_COUNT)
            return fail(error, GPTOSS_FORMAT, "%s: there is no stage \"%.64s\"", path,
                        json_name(item));
        if (stage == GPTOSS_STAGE_EXPERTS)
            return fail(error, GPTOSS_FORMAT,
                        "%s: stage \"experts\" has no limits: \"router_margin\" judges it", path);
        status = read_stage(item, path, out->given[stage], out->value[stage], error);
    }
    return status;
}

static gptoss_status read_margin(const json_value *value, const char *path, tolerances *out,
                                 gptoss_error *error)
{
    out->margin_given = true;
    if (!json_is_number(value))
        return fail(error, GPTOSS_FORMAT, "%s: \"router_margin\" is not a number", path);
    return read_limit(value, path, "the file", DBL_MAX, &out->margin, error);
}

static gptoss_status read_file(const json_value *document, const char *path, tolerances *out,
                               gptoss_error *error)
{
    if (!json_is_object(document))
        return fail(error, GPTOSS_FORMAT,
                    "%s is no file of tolerances: expected an object with \"stages\"", path);
    gptoss_status status = GPTOSS_OK;
    const json_value *item = json_first(document);
    for (; item != NULL && status == GPTOSS_OK; item = json_next(item)) {
        status = check_once(document, item, path, "the file", error);
        if (status != GPTOSS_OK)
            continue;
        if (strcmp(json_name(item), "stages") == 0)
            status = read_stages(item, path, out, error);
        else if (strcmp(json_name(item), "router_margin") == 0)
            status = read_margin(item, path, out, error);
        else
            status = fail(error, GPTOSS_FORMAT,
                          "%s: unknown entry \"%.64s\": expected \"stages\" or \"router_margin\"",
                          path, json_name(item));
    }
    return status;
}

gptoss_status tolerances_load(const char *path, dtype reference, dtype candidate, uint32_t layers,
                              size_t tokens, tolerances *out, gptoss_error *error)
{
    double roundoff = float_type_roundoff(float_type_coarser(reference, candidate));
    *out = (tolerances){.roundoff = roundoff,
                        .coarse = roundoff > float_type_roundoff(DTYPE_F32),
                        .layers = layers,
                        .tokens = tokens};
    if (path == NULL)
        return GPTOSS_OK;
    json_value *document;
    gptoss_status status = json_parse_file(path, &document, error);
    if (status != GPTOSS_OK)
        return status;
    status = read_file(document, path, out, error);
    json_free(document);
    return status;
}
