/* gptoss parity for people. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "console.h"
#include "parity.h"

#define FLOAT16_LARGEST 65504.0
#define MOST_LISTED     10

/* ---- what was compared ----------------------------------------------------------------------- */

/* Metadata comes from strangers: control characters are not for a terminal, long texts for nobody.
 */
static void print_foreign(const char *text, FILE *to)
{
    size_t length = strnlen(text, 60);
    bool cut = text[length] != '\0';
    while (cut && length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
        length--; /* not within a character */
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        bool c1 = i > 0 && byte < 0xa0 && (unsigned char)text[i - 1] == 0xc2;
        fputc(byte < 0x20 || byte == 0x7f || c1 ? '?' : byte, to);
    }
    fprintf(to, "%s", cut ? "..." : "");
}

static void print_source(const char *role, const parity_source *of, FILE *to)
{
    const char *facts[] = {of->producer, of->dtype, of->numerics, of->precision};
    fprintf(to, "%-10s ", role);
    for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
        if (facts[i] == NULL)
            continue;
        print_foreign(facts[i], to);
        fprintf(to, ", ");
    }
    fprintf(to, "%s\n", of->path);
}

static void print_compared(const parity_run *of, FILE *to)
{
    const char *mode = of->given->candidate != NULL ? "dump against dump"
                       : of->report->isolated ? "isolated: each stage from the reference's input"
                                              : "chained: end to end";
    char tokens[CONSOLE_NUMBER];
    print_source("reference", &of->reference, to);
    print_source("candidate", &of->candidate, to);
    fprintf(to, "compared   %s, %s tokens%s\n", mode, format_count(of->tokens, tokens),
            of->prompt.checked && !of->prompt.departed ? ", which the tokenizer gives too" : "");
}

/* ---- router ---------------------------------------------------------------------------------- */

static void print_more(size_t count, FILE *to)
{
    if (count > MOST_LISTED)
        fprintf(to, "  and %zu more\n", count - MOST_LISTED);
}

static void print_flip(const gptoss_parity_flip *of, FILE *to)
{
    char margin[PARITY_NUMBER];
    fprintf(to, "  layer %" PRIu32 ", token %" PRIu32 ": margin %s%s\n", of->layer, of->token,
            isnan(of->margin) ? "unknown" : parity_number(of->margin, margin),
            of->excused ? ", excused" : "  OUT");
}

/* Those that are not excused come first. */
static void print_flips(const gptoss_parity_report *report, FILE *to)
{
    size_t listed = 0;
    for (int excused = 0; excused < 2; excused++)
        for (size_t i = 0; i < report->flip_count && listed < MOST_LISTED; i++)
            if (report->flips[i].excused == (excused == 1)) {
                print_flip(&report->flips[i], to);
                listed++;
            }
    print_more(report->flip_count, to);
}

static void print_router(const gptoss_parity_report *report, FILE *to)
{
    size_t rows = 0;
    size_t excused = 0;
    char margin[PARITY_NUMBER];
    for (size_t i = 0; i < report->stage_count; i++)
        rows += report->stages[i].stage == GPTOSS_STAGE_EXPERTS ? report->stages[i].rows : 0;
    for (size_t i = 0; i < report->flip_count; i++)
        excused += report->flips[i].excused;
    if (rows == 0)
        return;
    if (report->flip_count == 0) {
        fprintf(to, "\nrouter: the same experts everywhere\n");
        return;
    }
    fprintf(to, "\nrouter: other experts in %zu of %zu rows, in %zu by near ties of at most %s\n",
            report->flip_count, rows, excused, parity_number(report->router_margin, margin));
    print_flips(report, to);
}

/* ---- logits ---------------------------------------------------------------------------------- */

static void print_logits(const gptoss_parity_report *report, FILE *to)
{
    char mean[PARITY_NUMBER], most[PARITY_NUMBER], margin[PARITY_NUMBER], ulp[PARITY_NUMBER];
    if (report->logits.rows == 0)
        return;
    fprintf(to,
            "\nlogits: KL divergence %s on average, at most %s (token %" PRIu32 ")\n"
            "  top-1 agrees on %.6g %% of %zu rows, top-%d overlaps by %.6g %%\n",
            parity_number(report->logits.kl_mean, mean), parity_number(report->logits.kl_max, most),
            report->logits.kl_max_token, 100.0 * report->logits.top1, report->logits.rows,
            GPTOSS_PARITY_TOP_K, 100.0 * report->logits.top_k);
    for (size_t i = 0; i < report->logits.disagreement_count && i < MOST_LISTED; i++) {
        const gptoss_parity_top *top = &report->logits.disagreements[i];
        fprintf(to,
                "  token %" PRIu32 ": reference %" PRIu32 ", candidate %" PRIu32
                ", margin %s (%s ulp)\n",
                top->token, top->reference, top->candidate, parity_number(top->margin, margin),
                parity_number(top->ulp, ulp));
    }
    print_more(report->logits.disagreement_count, to);
}

/* ---- peaks ----------------------------------------------------------------------------------- */

static double peak_of(const gptoss_parity_stage *of)
{
    return fmax(of->peak_reference, of->peak_candidate);
}

static void print_peak(const gptoss_parity_report *report, FILE *to)
{
    const gptoss_parity_stage *highest = NULL;
    for (size_t i = 0; i < report->stage_count; i++)
        if (report->stages[i].stage != GPTOSS_STAGE_EXPERTS &&
            (highest == NULL || peak_of(&report->stages[i]) > peak_of(highest)))
            highest = &report->stages[i];
    if (highest == NULL)
        return;
    fprintf(to, "\nlargest activation: %.6g in stage %s", peak_of(highest),
            gptoss_stage_name(highest->stage));
    if (gptoss_stage_per_layer(highest->stage))
        fprintf(to, " of layer %" PRIu32, highest->layer);
    if (peak_of(highest) > FLOAT16_LARGEST)
        fprintf(to, "; warning: more than float16 holds, 65504\n");
    else
        fprintf(to, " (float16 holds up to 65504)\n");
}

void parity_print_text(const parity_run *of, FILE *to)
{
    char sentence[PARITY_SENTENCE];
    fprintf(to, "%s\n", parity_sentence(of, sentence));
    print_compared(of, to);
    fputc('\n', to);
    parity_print_stages(of, to);
    print_router(of->report, to);
    if (of->report->rows_excused > 0)
        fprintf(to, "  %zu rows behind near ties were not judged\n", of->report->rows_excused);
    print_logits(of->report, to);
    print_peak(of->report, to);
}
