/* gptoss parity --html: a heat map of layers x stages x positions in one page that needs nothing
 * else. Its fixed part is parity_page.html. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "json_writer.h"
#include "parity.h"
#include "parity_page.h"
#include "text_stream.h"
#include "whole_file.h"

/* ---- one byte for each row -------------------------------------------------------------------
 *
 *   0         nothing to show
 *   1         no error
 *   1..254    log10 of the error as a share of its limit, from -DECADES to DECADES
 *   255       no number, beyond a limit of zero, or other experts
 */
enum { DECADES = 6, LEAST = 1, MOST = 254, NO_NUMBER = 255 };
enum { MOST_CELLS = 1024 }; /* of a stage; more rows share cells, the worst is seen */

static unsigned char encode_share(double share)
{
    if (!isfinite(share))
        return NO_NUMBER;
    double decades = share > 0.0 ? log10(share) : -DECADES;
    double level = LEAST + (MOST - LEAST) * (decades + DECADES) / (2 * DECADES);
    return (unsigned char)lround(fmin(fmax(level, LEAST), MOST));
}

/* What a row's error is a share of. Where only other measures have a limit, the worst row shows the
 * share of the tightest of them. */
static double error_limit(const gptoss_parity_stage *of)
{
    double share = parity_tightest(of).share;
    if (!isnan(of->limits.max_error) || !isfinite(share) || share <= 0.0)
        return of->limits.max_error;
    return of->max_error / share;
}

static size_t cell_count(const gptoss_parity_stage *of)
{
    return of->rows < MOST_CELLS ? of->rows : MOST_CELLS;
}

static size_t first_row(const gptoss_parity_stage *of, size_t cell)
{
    return cell * of->rows / cell_count(of);
}

static unsigned char encode_row(const gptoss_parity_stage *of, size_t row, double limit)
{
    double error = (double)of->row_errors[row];
    if (error == 0.0)
        return LEAST;
    if (of->stage == GPTOSS_STAGE_EXPERTS)
        return of->pass ? encode_share(1.0) : NO_NUMBER; /* near ties, or other experts */
    return isfinite(error) && isnan(limit) ? 0 : encode_share(error / limit);
}

static unsigned char encode_cell(const gptoss_parity_stage *of, size_t cell, double limit)
{
    unsigned char worst = 0;
    for (size_t row = first_row(of, cell); row < first_row(of, cell + 1); row++) {
        unsigned char code = encode_row(of, row, limit);
        worst = code > worst ? code : worst;
    }
    return worst;
}

/* ---- the data of the page -------------------------------------------------------------------- */

static void put_base64(json_writer *json, const char *key, const unsigned char *bytes, size_t count)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[4 * ((MOST_CELLS + 2) / 3)];
    size_t length = 0;
    for (size_t i = 0; i < count; i += 3) {
        size_t left = count - i;
        uint32_t group = (uint32_t)bytes[i] << 16;
        group |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        group |= left > 2 ? bytes[i + 2] : 0;
        text[length++] = digits[group >> 18];
        text[length++] = digits[group >> 12 & 63];
        text[length++] = left > 1 ? digits[group >> 6 & 63] : '=';
        text[length++] = left > 2 ? digits[group & 63] : '=';
    }
    json_put_bytes(json, key, text, length);
}

static bool same_tokens(const gptoss_parity_stage *a, const gptoss_parity_stage *b)
{
    return a->rows == b->rows && memcmp(a->tokens, b->tokens, a->rows * sizeof *a->tokens) == 0;
}

/* {"stage", "layer", "pass", "limit", "rows", "cells", "tokens"}; tokens, each cell's first, only
 * where they are not those of the entry before. */
static void put_strip(json_writer *json, const gptoss_parity_stage *of,
                      const gptoss_parity_stage *before)
{
    unsigned char cells[MOST_CELLS];
    size_t count = cell_count(of);
    double limit = error_limit(of);
    for (size_t cell = 0; cell < count; cell++)
        cells[cell] = encode_cell(of, cell, limit);
    json_put_object(json, NULL);
    json_put_text(json, "stage", gptoss_stage_name(of->stage));
    if (gptoss_stage_per_layer(of->stage))
        json_put_whole(json, "layer", of->layer);
    json_put_bool(json, "pass", of->pass);
    json_put_real(json, "limit", limit);
    json_put_whole(json, "rows", of->rows);
    put_base64(json, "cells", cells, count);
    if (before == NULL || !same_tokens(of, before)) {
        json_put_array(json, "tokens");
        for (size_t cell = 0; cell < count; cell++)
            json_put_whole(json, NULL, of->tokens[first_row(of, cell)]);
        json_end_array(json);
    }
    json_end_object(json);
}

static void put_data(const parity_run *of, FILE *to)
{
    json_writer json = JSON_WRITER(to);
    json_put_object(&json, NULL);
    json_put_whole(&json, "decades", DECADES);
    json_put_array(&json, "strips");
    for (size_t i = 0; i < of->report->stage_count; i++)
        put_strip(&json, &of->report->stages[i], i > 0 ? &of->report->stages[i - 1] : NULL);
    json_end_array(&json);
    json_end_object(&json);
}

/* ---- the page -------------------------------------------------------------------------------- */

/* What a place of the fixed part is filled with. */
typedef void (*writer)(const parity_run *of, FILE *to);

static void put_verdict(const parity_run *of, FILE *to)
{
    fputs(parity_pass(of) ? "pass" : "fail", to);
}

static void put_sentence(const parity_run *of, FILE *to)
{
    char sentence[PARITY_SENTENCE];
    fputs(parity_sentence(of, sentence), to);
}

/* Writes text so that it is text in HTML, and a string in JSON within a script as well. */
static void put_escaped(const char *text, size_t length, bool json, FILE *to)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '<')
            fputs(json ? "\\u003c" : "&lt;", to);
        else if (text[i] == '&' && !json)
            fputs("&amp;", to);
        else
            putc(text[i], to);
    }
}

/* False when there was no memory for all of it. */
static bool fill(const parity_run *of, writer write, bool json, FILE *to)
{
    text_stream text;
    if (!text_stream_open(&text))
        return false;
    write(of, text.to);
    if (!text_stream_close(&text))
        return false;
    put_escaped(text.bytes, text.length, json, to);
    free(text.bytes);
    return true;
}

/* False when something is missing; the stream may have failed too. */
static bool print_page(const parity_run *of, FILE *to)
{
    static const struct {
        const char *mark;
        writer write;
        bool json;
    } places[] = {
        {"{{verdict}}", put_verdict, false},
        {"{{sentence}}", put_sentence, false},
        {"{{report}}", parity_print_text, false},
        {"{{data}}", put_data, true},
    };
    const char *at = parity_page;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const char *mark = strstr(at, places[i].mark);
        fwrite(at, 1, (size_t)(mark - at), to);
        if (!fill(of, places[i].write, places[i].json, to))
            return false;
        at = mark + strlen(places[i].mark);
    }
    fputs(at, to);
    return true;
}

int parity_write_page(const parity_run *of, const char *path)
{
    text_stream page;
    bool open = text_stream_open(&page);
    bool whole = open && print_page(of, page.to);
    whole = open && text_stream_close(&page) && whole;
    if (!whole)
        console_note("%s could not be written: out of memory", path);
    bool good = whole && whole_file_write(path, page.bytes, page.length, 0666);
    free(page.bytes);
    return good ? EXIT_GOOD : EXIT_FAILED;
}
