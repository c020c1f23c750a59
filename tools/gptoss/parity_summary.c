/* The most important facts of a comparison, in one number and in one sentence. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parity.h"

bool parity_pass(const parity_run *of)
{
    return of->report->pass && !of->prompt.departed;
}

/* ---- measures -------------------------------------------------------------------------------- */

static double share_of(double found, double allowed)
{
    if (isnan(allowed))
        return NAN;
    if (isnan(found))
        return INFINITY;
    if (allowed > 0.0)
        return found / allowed;
    return found > 0.0 ? INFINITY : 0.0;
}

/* Keeps the measure that uses up more of its limit; one without a limit never counts. */
static void consider(parity_measure *tightest, const char *name, double found, double allowed)
{
    double share = share_of(found, allowed);
    if (!isnan(share) && !(share <= tightest->share))
        *tightest = (parity_measure){name, share};
}

parity_measure parity_tightest(const gptoss_parity_stage *of)
{
    const gptoss_parity_limits *limits = &of->limits;
    parity_measure tightest = {"", NAN};
    if (of->stage == GPTOSS_STAGE_EXPERTS)
        return (parity_measure){"choice", of->pass ? 0.0 : INFINITY};
    if (of->not_finite > 0)
        return (parity_measure){"nan", INFINITY};
    consider(&tightest, "error", of->max_error, limits->max_error);
    consider(&tightest, "diff", of->max_difference, limits->max_difference);
    consider(&tightest, "ulp", of->max_ulp, limits->max_ulp);
    consider(&tightest, "nmse", of->nmse, limits->nmse);
    consider(&tightest, "equal", 1.0 - of->bit_equal, 1.0 - limits->bit_equal);
    return tightest;
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* "3.1e-5", "1e5": printf's own would be 3.1e-05 and 1.0e+05. */
static void format_power(double value, char text[PARITY_NUMBER])
{
    char digits[PARITY_NUMBER];
    snprintf(digits, sizeof digits, "%.1e", value);
    char *exponent = strchr(digits, 'e');
    int power = (int)strtol(exponent + 1, NULL, 10);
    if (exponent[-1] == '0')
        exponent -= 2; /* the zero and the point */
    snprintf(text, PARITY_NUMBER, "%.*se%d", (int)(exponent - digits), digits, power);
}

const char *parity_number(double value, char text[PARITY_NUMBER])
{
    double magnitude = fabs(value);
    if (isnan(value))
        snprintf(text, PARITY_NUMBER, "-");
    else if (isinf(value))
        snprintf(text, PARITY_NUMBER, "inf");
    else if (magnitude == 0.0 || (magnitude >= 0.0995 && magnitude < 999.5))
        snprintf(text, PARITY_NUMBER, "%.3g", value);
    else
        format_power(value, text);
    return text;
}

/* ---- the sentence ---------------------------------------------------------------------------- */

/* A text that is cut off where its room ends. */
typedef struct sentence {
    char *text;
    size_t length;
} sentence;

__attribute__((format(printf, 2, 3))) static void say(sentence *to, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(to->text + to->length, PARITY_SENTENCE - to->length, format, arguments);
    va_end(arguments);
    to->length += length > 0 ? (size_t)length : 0;
    if (to->length >= PARITY_SENTENCE)
        to->length = PARITY_SENTENCE - 1;
}

/* Both values with as many digits as it takes to see that they differ, and one more. */
static void say_values(sentence *to, const gptoss_parity_place *at)
{
    char reference[40], candidate[40];
    bool differ = false;
    for (int digits = 3; digits <= 17; digits++) {
        bool enough = differ;
        snprintf(reference, sizeof reference, "%.*g", digits, at->reference);
        snprintf(candidate, sizeof candidate, "%.*g", digits, at->candidate);
        differ = strcmp(reference, candidate) != 0;
        if (enough || isnan(at->reference + at->candidate))
            break;
    }
    say(to, "reference %s, candidate %s", reference, candidate);
}

static void say_place(sentence *to, const gptoss_parity_stage *stage, const gptoss_parity_place *at)
{
    if (gptoss_stage_per_expert(stage->stage))
        say(to, " (expert slot %" PRIu32 ", column %" PRIu32 ")", at->piece, at->column);
    else
        say(to, " (column %" PRIu32 ")", at->column);
}

static void say_choice(sentence *to, const gptoss_parity_report *report, uint32_t layer,
                       uint32_t token)
{
    char margin[PARITY_NUMBER], allowed[PARITY_NUMBER];
    for (size_t i = 0; i < report->flip_count; i++) {
        const gptoss_parity_flip *flip = &report->flips[i];
        if (flip->layer != layer || flip->token != token || isnan(flip->margin))
            continue;
        say(to, "other experts are chosen, by a margin of %s where %s is a near tie",
            parity_number(flip->margin, margin), parity_number(report->router_margin, allowed));
        return;
    }
    say(to, "other experts are chosen");
}

/* "error 3.1e-3 where 1.2e-5 is allowed" */
static void say_limit(sentence *to, const char *name, double found, double allowed)
{
    char found_text[PARITY_NUMBER], allowed_text[PARITY_NUMBER];
    say(to, "%s %s where %s is allowed", name, parity_number(found, found_text),
        parity_number(allowed, allowed_text));
}

/* The error of a token; NAN when it was not compared. */
static double error_of_token(const gptoss_parity_stage *stage, uint32_t token)
{
    for (size_t i = 0; i < stage->rows; i++)
        if (stage->tokens[i] == token)
            return (double)stage->row_errors[i];
    return NAN;
}

/* Why the first row outside is there. */
static void say_row_limit(sentence *to, const gptoss_parity_stage *stage)
{
    const gptoss_parity_limits *limits = &stage->limits;
    double error = error_of_token(stage, stage->first_outside);
    double difference = fabs(stage->outside.candidate - stage->outside.reference);
    char allowed[PARITY_NUMBER];
    if (isnan(difference) || isinf(difference))
        say(to, "NaN or infinity in %" PRIu64 " of the stage's %" PRIu64 " values",
            stage->not_finite, stage->values);
    else if (error > limits->max_error)
        say_limit(to, "error", error, limits->max_error);
    else if (difference > limits->max_difference)
        say_limit(to, "difference", difference, limits->max_difference);
    else
        say(to, "more than the %s ulp that are allowed", parity_number(limits->max_ulp, allowed));
}

/* Of a stage that is outside as a whole. */
static void say_stage_limit(sentence *to, const gptoss_parity_stage *stage)
{
    const gptoss_parity_limits *limits = &stage->limits;
    if (stage->nmse > limits->nmse)
        say_limit(to, "the stage's NMSE", stage->nmse, limits->nmse);
    else
        say(to, "%.6g %% of the stage bit-equal where %.6g %% is required",
            100.0 * stage->bit_equal, 100.0 * limits->bit_equal);
}

static void say_departure(sentence *to, const gptoss_parity_stage *stage)
{
    bool by_row = stage->rows_outside > 0;
    const gptoss_parity_place *at = by_row ? &stage->outside : &stage->worst;
    say_values(to, at);
    say_place(to, stage, at);
    say(to, ", ");
    if (by_row)
        say_row_limit(to, stage);
    else
        say_stage_limit(to, stage);
}

static void say_prompt(sentence *to, const parity_prompt *prompt)
{
    say(to, "first departure: tokenizer, token %zu: ", prompt->token);
    if (prompt->in_dump)
        say(to, "the dump has %" PRIu32, prompt->dump_id);
    else
        say(to, "the dump's ids end");
    if (prompt->in_encoded)
        say(to, ", its prompt encodes to %" PRIu32 " here", prompt->encoded_id);
    else
        say(to, ", its encoded prompt ends");
}

const char *parity_sentence(const parity_run *of, char text[PARITY_SENTENCE])
{
    sentence to = {text, 0};
    const gptoss_parity_report *report = of->report;
    text[0] = '\0';
    if (of->prompt.departed) {
        say_prompt(&to, &of->prompt);
    } else if (!report->departed) {
        say(&to, "no departure: every stage is within its tolerance");
    } else {
        const gptoss_parity_stage *stage = &report->stages[report->departure];
        say(&to, "first departure: ");
        if (gptoss_stage_per_layer(stage->stage))
            say(&to, "layer %" PRIu32 ", ", stage->layer);
        say(&to, "stage %s, token %" PRIu32 ": ", gptoss_stage_name(stage->stage),
            report->departure_token);
        if (stage->stage == GPTOSS_STAGE_EXPERTS)
            say_choice(&to, report, stage->layer, report->departure_token);
        else
            say_departure(&to, stage);
    }
    return text;
}
