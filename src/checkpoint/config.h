/* config.json in both spellings, and generation_config.json. */
#ifndef CHECKPOINT_CONFIG_H
#define CHECKPOINT_CONFIG_H

#include "base/json.h"
#include "base/status.h"

/*
 * Reads `directory`/config.json into *out: OpenAI's own spelling or transformers', told apart by
 * their keys; missing keys take the defaults of the respective reference; every value is checked
 * for type and range and for agreement with the others. Then generation_config.json beside it, when
 * there is one, adds its stop tokens.
 */
gptoss_status config_load(const char *directory, gptoss_config *out, gptoss_error *error);

/* The same from a parsed document; `what` names it in errors. */
gptoss_status config_parse(const json_value *document, const char *what, gptoss_config *out,
                           gptoss_error *error);

#endif
