/* parity/tolerance: the defaults, the file that overrides them, and its faults. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "parity/tolerance.h"
#include "scratch.h"

static tolerances load(const char *text, dtype reference, dtype candidate)
{
    tolerances t;
    gptoss_error error = {0};
    if (text != NULL)
        scratch_write(scratch_path("t.json"), text);
    CHECK(tolerances_load(text == NULL ? NULL : scratch_path("t.json"), reference, candidate, 24, 0,
                          &t, &error) == GPTOSS_OK,
          "%s", error.message);
    return t;
}

static double max_error(const tolerances *t, gptoss_stage stage, uint32_t layer)
{
    return tolerances_of(t, stage, layer, false).max_error;
}

/* Whatever the numbers are: they scale with the type, chained ones grow with the layer. */
static void test_defaults(void)
{
    tolerances fine = load(NULL, DTYPE_F32, DTYPE_F32);
    tolerances coarse = load(NULL, DTYPE_BF16, DTYPE_F32);
    tolerances other = load(NULL, DTYPE_F32, DTYPE_BF16);
    for (unsigned i = 0; i < GPTOSS_STAGE_COUNT; i++) {
        gptoss_stage stage = (gptoss_stage)i;
        gptoss_parity_limits limits = tolerances_of(&fine, stage, 3, false);
        CHECK(isnan(limits.max_difference) && isnan(limits.max_ulp) && isnan(limits.nmse) &&
                  isnan(limits.bit_equal),
              "%s has other limits", gptoss_stage_name(stage));
        if (stage == GPTOSS_STAGE_EXPERTS) {
            CHECK(isnan(limits.max_error), "experts are judged otherwise");
            continue;
        }
        CHECK(limits.max_error > 0, "%s has no limit", gptoss_stage_name(stage));
        CHECK(max_error(&coarse, stage, 3) > limits.max_error * 4096 &&
                  max_error(&other, stage, 3) == max_error(&coarse, stage, 3),
              "%s: the coarser type counts", gptoss_stage_name(stage));
        double isolated = tolerances_of(&fine, stage, 0, true).max_error;
        CHECK(isolated == tolerances_of(&fine, stage, 23, true).max_error &&
                  isolated <= max_error(&fine, stage, 0),
              "%s: isolated", gptoss_stage_name(stage));
        if (gptoss_stage_per_layer(stage))
            CHECK(max_error(&fine, stage, 23) > max_error(&fine, stage, 0), "%s: deep",
                  gptoss_stage_name(stage));
    }
    tolerances longer = fine;
    longer.tokens = 1000;
    CHECK(max_error(&longer, GPTOSS_STAGE_Q_ROTARY, 0) > max_error(&fine, GPTOSS_STAGE_Q_ROTARY, 0),
          "angles grow with the position");
    CHECK(max_error(&fine, GPTOSS_STAGE_LOGITS, 0) > max_error(&fine, GPTOSS_STAGE_EMBEDDING, 0),
          "logits lie behind all layers");
    CHECK(tolerances_margin(&fine) == 1e-4 && tolerances_margin(&coarse) > 1e-3, "margins");
}

static void test_file(void)
{
    tolerances t = load("{\"stages\": {\"logits\": {\"max_error\": 2, \"nmse\": null},"
                        " \"*\": {\"max_error\": 1e-5, \"nmse\": 0.25, \"max_ulp\": 3},"
                        " \"q\": {\"bit_equal\": 0.5, \"max_difference\": 0, \"max_error\": null}},"
                        " \"router_margin\": 0.5}",
                        DTYPE_F32, DTYPE_F32);
    gptoss_parity_limits logits = tolerances_of(&t, GPTOSS_STAGE_LOGITS, 0, false);
    gptoss_parity_limits q = tolerances_of(&t, GPTOSS_STAGE_Q, 5, false);
    gptoss_parity_limits k = tolerances_of(&t, GPTOSS_STAGE_K, 5, false);
    gptoss_parity_limits experts = tolerances_of(&t, GPTOSS_STAGE_EXPERTS, 5, false);
    CHECK(logits.max_error == 2 && isnan(logits.nmse) && logits.max_ulp == 3, "its own and *");
    CHECK(q.bit_equal == 0.5 && q.max_difference == 0 && isnan(q.max_error) && q.nmse == 0.25, "q");
    CHECK(k.max_error == 1e-5 && isnan(k.bit_equal) && k.max_ulp == 3, "* alone");
    CHECK(isnan(experts.max_error) && isnan(experts.max_ulp), "* leaves the experts out");
    CHECK(tolerances_margin(&t) == 0.5, "margin");

    t = load("{\"stages\": {\"q\": {\"max_ulp\": 1}}}", DTYPE_F32, DTYPE_F32);
    CHECK(tolerances_of(&t, GPTOSS_STAGE_Q, 0, false).max_error > 0, "defaults stay");
    load("{}", DTYPE_F32, DTYPE_F32);
}

static void test_faults(void)
{
    static const struct {
        const char *text;
        const char *sentence;
    } faults[] = {
        {"[]", "is no file of tolerances: expected an object"},
        {"{", "t.json"},
        {"{\"stage\": {}}", "unknown entry \"stage\": expected \"stages\" or \"router_margin\""},
        {"{\"stages\": 1}", "\"stages\" is not an object"},
        {"{\"stages\": {\"Q\": {}}}", "there is no stage \"Q\""},
        {"{\"stages\": {\"q\": 1e-5}}", "stage \"q\" is not an object of limits"},
        {"{\"stages\": {\"*\": 1e-5}}", "stage \"*\" is not an object of limits"},
        {"{\"stages\": {\"q\": {\"error\": 1}}}", "\"error\" of q is no limit: expected max_error"},
        {"{\"stages\": {\"q\": {\"nmse\": \"1\"}}}", "\"nmse\" of q is not a number"},
        {"{\"stages\": {\"q\": {\"nmse\": -1}}}", "\"nmse\" of q is -1: expected a number from 0"},
        {"{\"stages\": {\"*\": {\"bit_equal\": 2}}}",
         "\"bit_equal\" of * is 2: expected a number from 0 to 1"},
        {"{\"stages\": {\"experts\": {}}}", "stage \"experts\" has no limits: \"router_margin\""},
        {"{\"stages\": {\"q\": {}, \"q\": {}}}", "\"q\" stands twice in stages"},
        {"{\"stages\": {\"*\": {}, \"*\": {}}}", "\"*\" stands twice in stages"},
        {"{\"stages\": {}, \"stages\": {}}", "\"stages\" stands twice in the file"},
        {"{\"stages\": {\"q\": {\"nmse\": 1, \"nmse\": 1}}}", "\"nmse\" stands twice in q"},
        {"{\"router_margin\": null}", "\"router_margin\" is not a number"},
        {"{\"router_margin\": -1}", "\"router_margin\" of the file is -1"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        tolerances t;
        gptoss_error error = {0};
        scratch_write(scratch_path("t.json"), faults[i].text);
        gptoss_status status =
            tolerances_load(scratch_path("t.json"), DTYPE_F32, DTYPE_F32, 1, 0, &t, &error);
        CHECK(status == GPTOSS_FORMAT, "%s: status %d", faults[i].text, status);
        CHECK(strstr(error.message, faults[i].sentence) != NULL &&
                  strstr(error.message, "t.json") != NULL,
              "%s: %s", faults[i].text, error.message);
    }
    tolerances t;
    CHECK(tolerances_load(scratch_path("none"), DTYPE_F32, DTYPE_F32, 1, 0, &t, NULL) == GPTOSS_IO,
          "a file that is not there");
}

int main(void)
{
    scratch_begin();
    test_defaults();
    test_file();
    test_faults();
    return test_result();
}
