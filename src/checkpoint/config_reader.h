/* Typed, range-checked reading of the members of a JSON object. */
#ifndef CHECKPOINT_CONFIG_READER_H
#define CHECKPOINT_CONFIG_READER_H

#include "base/json.h"
#include "base/status.h"

/*
 * The first fault is kept in `status` and *error; from then on every read gives its fallback, so
 * that a whole object is read without a branch after each member. A member that is null counts as
 * missing.
 */
typedef struct config_reader {
    const json_value *object;
    const char *what; /* names the object in errors */
    gptoss_status status;
    gptoss_error *error;
} config_reader;

/* The member, or NULL when it is missing or null. */
const json_value *config_member(const config_reader *in, const char *key);

/* Whether the member is there and null. */
bool config_is_null(const config_reader *in, const char *key);

/* A whole number, also written as 32.0. */
uint32_t config_count(config_reader *in, const char *key, uint32_t least, uint32_t most,
                      uint32_t fallback);

/* A number. */
double config_real(config_reader *in, const char *key, double least, double most, double fallback);

bool config_flag(config_reader *in, const char *key, bool fallback);

/* A string that lives as long as the document. */
const char *config_text(config_reader *in, const char *key, const char *fallback);

/* Notes "<what>: <key> should be <expected> but is <value>" unless a fault is noted already. */
void config_mismatch(config_reader *in, const char *key, const json_value *value,
                     const char *expected);

/* The rotary part of transformers' config.json: rope_scaling or rope_parameters, and what stands
 * beside it. config->context must be known. */
void config_read_rope(config_reader *in, gptoss_config *config);

#endif
