/* gptoss parity for scripts. */
#include "json_writer.h"
#include "parity.h"

static void put_text(json_writer *json, const char *key, const char *text)
{
    if (text != NULL)
        json_put_text(json, key, text);
    else
        json_put_null(json, key);
}

static void put_layer(json_writer *json, gptoss_stage stage, uint32_t layer)
{
    if (gptoss_stage_per_layer(stage))
        json_put_whole(json, "layer", layer);
    else
        json_put_null(json, "layer");
}

static void put_departure(json_writer *json, const parity_run *of)
{
    const gptoss_parity_report *report = of->report;
    char sentence[PARITY_SENTENCE];
    if (parity_pass(of)) {
        json_put_null(json, "first_departure");
        return;
    }
    json_put_object(json, "first_departure");
    if (of->prompt.departed) {
        json_put_null(json, "layer");
        json_put_text(json, "stage", "tokenizer");
        json_put_whole(json, "token", of->prompt.token);
    } else {
        const gptoss_parity_stage *stage = &report->stages[report->departure];
        put_layer(json, stage->stage, stage->layer);
        json_put_text(json, "stage", gptoss_stage_name(stage->stage));
        json_put_whole(json, "token", report->departure_token);
    }
    json_put_text(json, "sentence", parity_sentence(of, sentence));
    json_end_object(json);
}

/* ---- what was compared ----------------------------------------------------------------------- */

static void put_source(json_writer *json, const char *key, const parity_source *of, size_t tokens)
{
    json_put_object(json, key);
    json_put_text(json, "path", of->path);
    put_text(json, "producer", of->producer);
    put_text(json, "dtype", of->dtype);
    put_text(json, "numerics", of->numerics);
    put_text(json, "precision", of->precision);
    json_put_whole(json, "tokens", tokens);
    json_end_object(json);
}

static void put_prompt(json_writer *json, const parity_prompt *prompt)
{
    json_put_object(json, "tokenizer");
    json_put_bool(json, "checked", prompt->checked);
    if (prompt->checked)
        json_put_bool(json, "pass", !prompt->departed);
    if (prompt->departed)
        json_put_whole(json, "token", prompt->token);
    json_end_object(json);
}

static void put_compared(json_writer *json, const parity_run *of)
{
    json_put_text(json, "mode",
                  of->given->candidate != NULL ? "dumps"
                  : of->report->isolated       ? "isolated"
                                               : "chained");
    put_text(json, "numerics", of->given->candidate != NULL ? NULL : of->candidate.numerics);
    put_text(json, "precision", of->given->candidate != NULL ? NULL : of->candidate.precision);
    put_source(json, "reference", &of->reference, of->tokens);
    put_source(json, "candidate", &of->candidate, of->tokens);
    put_text(json, "tolerances", of->given->tolerances);
    put_prompt(json, &of->prompt);
}

/* ---- stages ---------------------------------------------------------------------------------- */

static void put_place(json_writer *json, const char *key, const gptoss_parity_place *at)
{
    json_put_object(json, key);
    json_put_whole(json, "token", at->token);
    json_put_whole(json, "piece", at->piece);
    json_put_whole(json, "column", at->column);
    json_put_real(json, "reference", at->reference);
    json_put_real(json, "candidate", at->candidate);
    json_end_object(json);
}

static void put_limits(json_writer *json, const gptoss_parity_limits *limits)
{
    json_put_object(json, "limits");
    json_put_real(json, "max_error", limits->max_error);
    json_put_real(json, "max_difference", limits->max_difference);
    json_put_real(json, "max_ulp", limits->max_ulp);
    json_put_real(json, "nmse", limits->nmse);
    json_put_real(json, "bit_equal", limits->bit_equal);
    json_end_object(json);
}

static void put_stage(json_writer *json, const gptoss_parity_stage *of)
{
    json_put_object(json, NULL);
    json_put_text(json, "stage", gptoss_stage_name(of->stage));
    put_layer(json, of->stage, of->layer);
    json_put_bool(json, "pass", of->pass);
    json_put_whole(json, "rows", of->rows);
    json_put_whole(json, "values", of->values);
    json_put_real(json, "max_error", of->max_error);
    put_place(json, "worst", &of->worst);
    json_put_real(json, "max_difference", of->max_difference);
    put_place(json, "furthest", &of->furthest);
    json_put_real(json, "max_ulp", of->max_ulp);
    put_place(json, "worst_ulp", &of->worst_ulp);
    json_put_real(json, "nmse", of->nmse);
    json_put_real(json, "cosine", of->cosine);
    json_put_real(json, "bit_equal", of->bit_equal);
    json_put_real(json, "peak_reference", of->peak_reference);
    json_put_real(json, "peak_candidate", of->peak_candidate);
    json_put_whole(json, "not_finite", of->not_finite);
    json_put_whole(json, "rows_flipped", of->rows_flipped);
    json_put_whole(json, "rows_outside", of->rows_outside);
    if (of->rows_outside > 0)
        put_place(json, "outside", &of->outside);
    else
        json_put_null(json, "outside");
    put_limits(json, &of->limits);
    json_end_object(json);
}

/* ---- router and logits ----------------------------------------------------------------------- */

static void put_router(json_writer *json, const gptoss_parity_report *report)
{
    json_put_object(json, "router");
    json_put_real(json, "margin", report->router_margin);
    json_put_whole(json, "rows_excused", report->rows_excused);
    json_put_array(json, "flips");
    for (size_t i = 0; i < report->flip_count; i++) {
        const gptoss_parity_flip *flip = &report->flips[i];
        json_put_object(json, NULL);
        json_put_whole(json, "layer", flip->layer);
        json_put_whole(json, "token", flip->token);
        json_put_real(json, "margin", flip->margin);
        json_put_bool(json, "excused", flip->excused);
        json_end_object(json);
    }
    json_end_array(json);
    json_end_object(json);
}

static void put_logits(json_writer *json, const gptoss_parity_report *report)
{
    if (report->logits.rows == 0) {
        json_put_null(json, "logits");
        return;
    }
    json_put_object(json, "logits");
    json_put_whole(json, "rows", report->logits.rows);
    json_put_real(json, "kl_mean", report->logits.kl_mean);
    json_put_real(json, "kl_max", report->logits.kl_max);
    json_put_whole(json, "kl_max_token", report->logits.kl_max_token);
    json_put_real(json, "top1", report->logits.top1);
    json_put_real(json, "top_k", report->logits.top_k);
    json_put_whole(json, "k", GPTOSS_PARITY_TOP_K);
    json_put_array(json, "disagreements");
    for (size_t i = 0; i < report->logits.disagreement_count; i++) {
        const gptoss_parity_top *top = &report->logits.disagreements[i];
        json_put_object(json, NULL);
        json_put_whole(json, "token", top->token);
        json_put_whole(json, "reference", top->reference);
        json_put_whole(json, "candidate", top->candidate);
        json_put_real(json, "margin", top->margin);
        json_put_real(json, "ulp", top->ulp);
        json_end_object(json);
    }
    json_end_array(json);
    json_end_object(json);
}

void parity_print_json(const parity_run *of, FILE *to)
{
    json_writer json = JSON_WRITER(to);
    json_put_object(&json, NULL);
    json_put_bool(&json, "pass", parity_pass(of));
    put_departure(&json, of);
    put_compared(&json, of);
    json_put_array(&json, "stages");
    for (size_t i = 0; i < of->report->stage_count; i++)
        put_stage(&json, &of->report->stages[i]);
    json_end_array(&json);
    put_router(&json, of->report);
    put_logits(&json, of->report);
    json_end_object(&json);
    fputc('\n', to);
}
