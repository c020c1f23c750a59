/* The rows of gptoss parity about single stages: measures in columns, and layers x stages. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "parity.h"

/* ---- worst first ----------------------------------------------------------------------------- */

/* Shares order stages; those without a limit and those not compared come last. */
static double rank_of(const gptoss_parity_stage *of)
{
    double share = parity_tightest(of).share;
    if (of->rows == 0)
        return -2.0;
    return isnan(share) ? -1.0 : share;
}

static int compare_ranks(const void *a, const void *b)
{
    const gptoss_parity_stage *first = *(const gptoss_parity_stage *const *)a;
    const gptoss_parity_stage *second = *(const gptoss_parity_stage *const *)b;
    double difference = rank_of(second) - rank_of(first);
    if (difference > 0.0 || difference < 0.0)
        return difference > 0.0 ? 1 : -1;
    return first < second ? -1 : first > second; /* in order of computation */
}

/* The stage at the layer where it is worst; NULL when it was not compared. */
static const gptoss_parity_stage *worst_layer(const gptoss_parity_report *report,
                                              gptoss_stage stage)
{
    const gptoss_parity_stage *worst = NULL;
    for (size_t i = 0; i < report->stage_count; i++)
        if (report->stages[i].stage == stage &&
            (worst == NULL || rank_of(&report->stages[i]) > rank_of(worst)))
            worst = &report->stages[i];
    return worst;
}

/* ---- measures in columns --------------------------------------------------------------------- */

/* "17/40", or "17/2/40" for expert slot 2. */
static const char *format_place(const gptoss_parity_stage *of, const gptoss_parity_place *at,
                                char text[PARITY_NUMBER])
{
    if (gptoss_stage_per_expert(of->stage))
        snprintf(text, PARITY_NUMBER, "%" PRIu32 "/%" PRIu32 "/%" PRIu32, at->token, at->piece,
                 at->column);
    else
        snprintf(text, PARITY_NUMBER, "%" PRIu32 "/%" PRIu32, at->token, at->column);
    return text;
}

static const char *format_percent(double share, char text[PARITY_NUMBER])
{
    double percent = 100.0 * share;
    if (percent < 100.0 && percent > 99.99)
        percent = 99.99; /* 100 is said of all only */
    snprintf(text, PARITY_NUMBER, percent < 100.0 ? "%.2f" : "%.0f", percent);
    return text;
}

/* How far the cosine is from 1, without the roundings of its own computation. */
static const char *format_angle(double cosine, char text[PARITY_NUMBER])
{
    double distance = 1.0 - cosine;
    return parity_number(fabs(distance) < 1e-15 ? 0.0 : distance, text);
}

static void print_measures_head(FILE *to)
{
    fprintf(to, "%-18s %5s %6s %-10s %6s %7s %7s %5s %5s %6s %5s of limit\n", "stage", "layer",
            "|diff|", "at", "error", "nmse", "1-cos", "ulp", "equal", "peak", "used");
}

static void print_measures(const gptoss_parity_stage *of, FILE *to)
{
    char layer[PARITY_NUMBER] = "";
    char difference[PARITY_NUMBER], place[PARITY_NUMBER], error[PARITY_NUMBER];
    char nmse[PARITY_NUMBER], angle[PARITY_NUMBER], ulp[PARITY_NUMBER], equal[PARITY_NUMBER];
    char peak[PARITY_NUMBER], share[PARITY_NUMBER];
    parity_measure tightest = parity_tightest(of);
    if (gptoss_stage_per_layer(of->stage))
        snprintf(layer, sizeof layer, "%" PRIu32, of->layer);
    if (of->rows == 0) {
        fprintf(to, "%-18s %5s no row was compared\n", gptoss_stage_name(of->stage), layer);
        return;
    }
    if (of->stage == GPTOSS_STAGE_EXPERTS) {
        fprintf(to, "%-18s %5s %" PRIu64 " of %zu rows choose other experts%s\n",
                gptoss_stage_name(of->stage), layer, of->rows_flipped, of->rows,
                of->pass ? "" : "  OUT");
        return;
    }
    fprintf(to, "%-18s %5s %6s %-10s %6s %7s %7s %5s %5s %6s %5s %-6s%s\n",
            gptoss_stage_name(of->stage), layer, parity_number(of->max_difference, difference),
            format_place(of, &of->furthest, place), parity_number(of->max_error, error),
            parity_number(of->nmse, nmse), format_angle(of->cosine, angle),
            parity_number(of->max_ulp, ulp), format_percent(of->bit_equal, equal),
            parity_number(fmax(of->peak_reference, of->peak_candidate), peak),
            parity_number(tightest.share, share), tightest.name, of->pass ? "ok" : "OUT");
}

static void print_worst(const parity_run *of, FILE *to)
{
    const gptoss_parity_report *report = of->report;
    const gptoss_parity_stage **ranked =
        console_resize(NULL, report->stage_count, sizeof(const gptoss_parity_stage *));
    for (size_t i = 0; i < report->stage_count; i++)
        ranked[i] = &report->stages[i];
    qsort(ranked, report->stage_count, sizeof(const gptoss_parity_stage *), compare_ranks);
    size_t count = report->stage_count;
    if (of->given->worst > 0 && (uint64_t)of->given->worst < count)
        count = (size_t)of->given->worst;
    for (size_t i = 0; i < count; i++)
        print_measures(ranked[i], to);
    free(ranked);
}

/* ---- layers x stages ------------------------------------------------------------------------- */

/* Four columns wide, so that a layer's 19 stages fit a line of 100. */
static const char *const short_names[GPTOSS_STAGE_COUNT] = {
    "emb",  "norm", "q",    "k",  "v",   "qrot", "krot", "sink", "attn", "aout", "ares",
    "norm", "rout", "expt", "wt", "g_u", "act",  "eout", "comb", "res",  "norm", "lgts",
};

/* At most four characters: 0, 1e-5, 0.31, 1.4, 35, 2e4, flip, inf; "-" without a limit. */
static const char *format_share(const gptoss_parity_stage *of, char text[PARITY_NUMBER])
{
    double share = parity_tightest(of).share;
    char exponent[PARITY_NUMBER];
    if (of->rows == 0)
        return ".";
    if (of->stage == GPTOSS_STAGE_EXPERTS)
        return of->pass ? of->rows_flipped > 0 ? "tie" : "0" : "flip";
    if (isnan(share))
        return "-";
    if (isinf(share))
        return "inf";
    if (share == 0.0)
        return "0";
    if (share >= 0.00995 && share < 999.5) {
        snprintf(text, PARITY_NUMBER, "%.*f", share < 0.995 ? 2 : share < 9.95 ? 1 : 0, share);
        return text;
    }
    snprintf(exponent, sizeof exponent, "%.0e", share);
    const char *power = strchr(exponent, 'e') + 1;
    snprintf(text, PARITY_NUMBER, "%ce%d", exponent[0], atoi(power));
    return text;
}

static void print_matrix(const gptoss_parity_report *report, FILE *to)
{
    bool present[GPTOSS_STAGE_COUNT] = {false};
    for (size_t i = 0; i < report->stage_count; i++)
        present[report->stages[i].stage] = gptoss_stage_per_layer(report->stages[i].stage);
    fprintf(to, "layer");
    for (int stage = 0; stage < GPTOSS_STAGE_COUNT; stage++)
        if (present[stage])
            fprintf(to, " %4s", short_names[stage]);
    fputc('\n', to);
    for (size_t i = 0; i < report->stage_count;) {
        if (!gptoss_stage_per_layer(report->stages[i].stage)) {
            i++;
            continue;
        }
        uint32_t layer = report->stages[i].layer;
        fprintf(to, "%5" PRIu32, layer);
        for (int stage = 0; stage < GPTOSS_STAGE_COUNT; stage++) {
            char text[PARITY_NUMBER];
            const gptoss_parity_stage *next = &report->stages[i];
            bool here = i < report->stage_count && (int)next->stage == stage &&
                        next->layer == layer && gptoss_stage_per_layer(next->stage);
            if (present[stage])
                fprintf(to, " %4s", here ? format_share(next, text) : ".");
            i += here;
        }
        fputc('\n', to);
    }
}

void parity_print_stages(const parity_run *of, FILE *to)
{
    const gptoss_parity_report *report = of->report;
    bool layered = false;
    for (size_t i = 0; i < report->stage_count; i++)
        layered = layered || gptoss_stage_per_layer(report->stages[i].stage);
    print_measures_head(to);
    if (of->given->given[FLAG_WORST]) {
        print_worst(of, to);
    } else {
        for (int stage = 0; stage < GPTOSS_STAGE_COUNT; stage++) {
            const gptoss_parity_stage *worst = worst_layer(report, (gptoss_stage)stage);
            if (worst != NULL)
                print_measures(worst, to);
        }
    }
    if (layered) {
        fprintf(to, "\nused of the limit, above 1 is outside; . was not compared\n");
        print_matrix(report, to);
    }
}
