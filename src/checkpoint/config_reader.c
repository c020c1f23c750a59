#include "checkpoint/config_reader.h"

#include <inttypes.h>
#include <stdio.h>

const json_value *config_member(const config_reader *in, const char *key)
{
    const json_value *value = json_member(in->object, key);
    return json_is_null(value) ? NULL : value;
}

bool config_is_null(const config_reader *in, const char *key)
{
    return json_is_null(json_member(in->object, key));
}

/* A few words for the value that was found. */
static void describe(const json_value *value, char out[64])
{
    if (json_is_number(value))
        snprintf(out, 64, "%.17g", json_number(value));
    else if (json_is_string(value))
        snprintf(out, 64, "\"%.48s\"", json_string(value));
    else if (json_is_bool(value))
        snprintf(out, 64, "%s", json_bool(value) ? "true" : "false");
    else if (json_is_array(value))
        snprintf(out, 64, "an array of %zu", json_count(value));
    else
        snprintf(out, 64, "%s", json_is_object(value) ? "an object" : "null");
}

void config_mismatch(config_reader *in, const char *key, const json_value *value,
                     const char *expected)
{
    char found[64];
    if (in->status != GPTOSS_OK)
        return;
    describe(value, found);
    in->status = fail(in->error, GPTOSS_FORMAT, "%s: %s should be %s but is %s", in->what, key,
                      expected, found);
}

uint32_t config_count(config_reader *in, const char *key, uint32_t least, uint32_t most,
                      uint32_t fallback)
{
    const json_value *value = config_member(in, key);
    uint64_t number = 0;
    if (value == NULL || in->status != GPTOSS_OK)
        return fallback;
    if (json_u64(value, &number) && number >= least && number <= most)
        return (uint32_t)number;
    char expected[80];
    snprintf(expected, sizeof expected, "a whole number from %" PRIu32 " to %" PRIu32, least, most);
    config_mismatch(in, key, value, expected);
    return fallback;
}

double config_real(config_reader *in, const char *key, double least, double most, double fallback)
{
    const json_value *value = config_member(in, key);
    if (value == NULL || in->status != GPTOSS_OK)
        return fallback;
    if (json_is_number(value) && json_number(value) >= least && json_number(value) <= most)
        return json_number(value);
    char expected[80];
    snprintf(expected, sizeof expected, "a number from %g to %g", least, most);
    config_mismatch(in, key, value, expected);
    return fallback;
}

bool config_flag(config_reader *in, const char *key, bool fallback)
{
    const json_value *value = config_member(in, key);
    if (value == NULL || in->status != GPTOSS_OK)
        return fallback;
    if (json_is_bool(value))
        return json_bool(value);
    config_mismatch(in, key, value, "true or false");
    return fallback;
}

const char *config_text(config_reader *in, const char *key, const char *fallback)
{
    const json_value *value = config_member(in, key);
    if (value == NULL || in->status != GPTOSS_OK)
        return fallback;
    if (json_is_string(value))
        return json_string(value);
    config_mismatch(in, key, value, "a string");
    return fallback;
}
