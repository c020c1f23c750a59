#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/config.h"
#include "checkpoint/config_reader.h"

/* The published models' values, which transformers also takes when the whole dict is missing. */
#define DEFAULT_THETA    150000.0
#define DEFAULT_FACTOR   32.0
#define DEFAULT_ORIGINAL 4096U
#define DEFAULT_FAST     32.0
#define DEFAULT_SLOW     1.0

/* The dict that counts: rope_scaling (transformers 4) when it says anything, then rope_parameters
 * (transformers 5); NULL when there is neither. *name becomes its key. */
static const json_value *rope_dict(config_reader *in, const char **name)
{
    static const char *const keys[] = {"rope_scaling", "rope_parameters"};
    for (size_t i = 0; i < 2; i++) {
        const json_value *value = config_member(in, keys[i]);
        if (value == NULL || (i == 0 && json_is_object(value) && json_first(value) == NULL))
            continue;
        *name = keys[i];
        if (json_is_object(value))
            return value;
        config_mismatch(in, keys[i], value, "an object");
        return NULL;
    }
    return NULL;
}

static void refuse_partial(config_reader *in)
{
    const json_value *partial = config_member(in, "partial_rotary_factor");
    if (in->status == GPTOSS_OK && partial != NULL &&
        (!json_is_number(partial) || json_number(partial) != 1.0))
        in->status = fail(in->error, GPTOSS_UNSUPPORTED,
                          "%s: partial_rotary_factor other than 1 is not supported", in->what);
}

/* Notes what this engine does not do rather than doing something else in silence. */
static void refuse_foreign(config_reader *dict)
{
    static const char *const refused[] = {"mscale", "mscale_all_dim"};
    if (dict->object == NULL)
        return;
    for (const json_value *item = json_first(dict->object); item != NULL; item = json_next(item)) {
        if (json_is_object(item)) {
            dict->status = fail(dict->error, GPTOSS_UNSUPPORTED,
                                "%s: a rotary embedding of its own for %.48s is not supported; one "
                                "for all layers is",
                                dict->what, json_name(item));
            return;
        }
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (config_member(dict, refused[i]) != NULL) {
            dict->status =
                fail(dict->error, GPTOSS_UNSUPPORTED,
                     "%s: %s is not supported; attention_factor is", dict->what, refused[i]);
            return;
        }
    }
    refuse_partial(dict);
}

/* Whether the type asks for YaRN. */
static bool is_yarn(config_reader *dict)
{
    const char *type = config_text(dict, "rope_type", config_text(dict, "type", "default"));
    bool yarn = strcmp(type, "yarn") == 0;
    if (!yarn && strcmp(type, "default") != 0 && dict->status == GPTOSS_OK)
        dict->status = fail(dict->error, GPTOSS_UNSUPPORTED,
                            "%s: rope_type \"%.48s\" is not supported; yarn and default are",
                            dict->what, type);
    return yarn;
}

/* transformers takes 0 for "not given" here. */
static double beta(config_reader *dict, const char *key, double fallback)
{
    double value = config_real(dict, key, 0.0, 1e6, fallback);
    return value > 0.0 ? value : fallback;
}

/*
 * Source: transformers' YaRN. A dict that lacks `truncate` means true, one that says null means
 * false. `beside` is the pivot that stands beside the dict and overrides the one inside, or 0.
 */
static void read_yarn(config_reader *dict, uint32_t beside, gptoss_config *config)
{
    bool missing = dict->object == NULL;
    uint32_t inside = config_count(dict, "original_max_position_embeddings", 1, CONFIG_MAX_CONTEXT,
                                   missing ? DEFAULT_ORIGINAL : config->context);
    config->rope.original_context = beside > 0 ? beside : inside;
    double ratio = config->context / config->rope.original_context;
    config->rope.factor = config_real(dict, "factor", 1.0, 1e6, missing ? DEFAULT_FACTOR : ratio);
    if (config->rope.factor < 1.0 && dict->status == GPTOSS_OK)
        dict->status = fail(dict->error, GPTOSS_FORMAT,
                            "%s: factor should be at least 1 but is %g, "
                            "max_position_embeddings / original_max_position_embeddings",
                            dict->what, ratio);
    config->rope.beta_fast = beta(dict, "beta_fast", DEFAULT_FAST);
    config->rope.beta_slow = beta(dict, "beta_slow", DEFAULT_SLOW);
    if (config->rope.beta_fast < config->rope.beta_slow && dict->status == GPTOSS_OK)
        dict->status = fail(dict->error, GPTOSS_FORMAT,
                            "%s: beta_fast should be at least beta_slow, %g, but is %g", dict->what,
                            config->rope.beta_slow, config->rope.beta_fast);
    config->rope.truncate =
        config_flag(dict, "truncate", !missing && !config_is_null(dict, "truncate"));
    config->rope.attention_factor =
        config_real(dict, "attention_factor", 1e-6, 1e6, 0.1 * log(config->rope.factor) + 1.0);
}

void config_read_rope(config_reader *in, gptoss_config *config)
{
    const char *name = "rope_parameters";
    char what[512];
    const json_value *object = rope_dict(in, &name);
    uint32_t beside =
        config_count(in, "original_max_position_embeddings", 1, CONFIG_MAX_CONTEXT, 0);
    config->rope.theta = config_real(in, "rope_theta", 2.0, 1e15, DEFAULT_THETA);
    refuse_partial(in);
    if (in->status != GPTOSS_OK)
        return;
    snprintf(what, sizeof what, "%s: %s", in->what, name);
    config_reader dict = {.object = object, .what = what, .error = in->error};
    refuse_foreign(&dict);
    config->rope.theta = config_real(&dict, "rope_theta", 2.0, 1e15, config->rope.theta);
    config->rope.yarn = object == NULL || is_yarn(&dict);
    config->rope.factor = 1.0;
    config->rope.attention_factor = 1.0;
    config->rope.original_context = config->context;
    if (config->rope.yarn)
        read_yarn(&dict, beside, config);
    in->status = dict.status;
}
