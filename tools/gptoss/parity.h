/* What parity found out, for its three ways of showing it: text, JSON and a page. */
#ifndef GPTOSS_TOOL_PARITY_H
#define GPTOSS_TOOL_PARITY_H

#include <stdio.h>

#include "command.h"
#include "gptoss.h"

/* Where numbers come from. Texts that are not known are NULL. */
typedef struct parity_source {
    const char *path; /* of the dump, or of the model's directory */
    const char *producer;
    const char *dtype;
    const char *numerics;
    const char *precision;
} parity_source;

/* Whether the dump's prompt, encoded again, gives the dump's ids. */
typedef struct parity_prompt {
    bool checked;  /* false: no prompt or no tokenizer */
    bool departed; /* at: */
    size_t token;
    bool in_dump, in_encoded; /* false: the ids end before it */
    uint32_t dump_id, encoded_id;
} parity_prompt;

typedef struct parity_run {
    const options *given;
    parity_source reference, candidate;
    size_t tokens;
    parity_prompt prompt;
    const gptoss_parity_report *report;
} parity_run;

/* Whether everything is within its limits. */
bool parity_pass(const parity_run *of);

/* ---- measures -------------------------------------------------------------------------------- */

/* The limit of a stage that is most used up. */
typedef struct parity_measure {
    const char *name; /* "error", "diff", "ulp", "nmse", "equal", "nan", "choice"; "" for none */
    double share;     /* of what is allowed: above 1 is outside; NAN: no limit */
} parity_measure;

parity_measure parity_tightest(const gptoss_parity_stage *of);

/* 3.1e-5, 0.31, 312, 3.1e5; "-" for NAN. */
#define PARITY_NUMBER 32
const char *parity_number(double value, char text[PARITY_NUMBER]);

/* ---- ways of showing it ---------------------------------------------------------------------- */

/* "first departure: layer 3, stage gate_up, token 17: ..." or that there is none. */
#define PARITY_SENTENCE 512
const char *parity_sentence(const parity_run *of, char text[PARITY_SENTENCE]);

/* The sentence, the tables and what else a person wants to know. */
void parity_print_text(const parity_run *of, FILE *to);

/* The rows of the text about single stages. */
void parity_print_stages(const parity_run *of, FILE *to);

/* One JSON object. */
void parity_print_json(const parity_run *of, FILE *to);

/* Writes the page of --html. Prints a sentence when that fails and returns the exit status. */
int parity_write_page(const parity_run *of, const char *path);

#endif
