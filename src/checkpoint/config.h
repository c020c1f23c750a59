/* config.json in both spellings, and generation_config.json. */
#ifndef CHECKPOINT_CONFIG_H
#define CHECKPOINT_CONFIG_H

#include "base/json.h"
#include "base/status.h"

/* Bounds of what is accepted beside GPTOSS_MAX_LAYERS; docs/SECURITY.md lists them. */
#define CONFIG_MAX_WIDTH   (1U << 20) /* hidden, intermediate, heads * head_dim */
#define CONFIG_MAX_VOCAB   (1U << 24)
#define CONFIG_MAX_EXPERTS 4096U
#define CONFIG_MAX_CONTEXT (1U << 24) /* up to here a position is exact in float32 */

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

/* Adds the stop tokens of a parsed generation_config.json. */
gptoss_status config_parse_generation(const json_value *document, const char *what,
                                      gptoss_config *config, gptoss_error *error);

#endif
