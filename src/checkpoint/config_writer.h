/* A configuration as config.json. */
#ifndef CHECKPOINT_CONFIG_WRITER_H
#define CHECKPOINT_CONFIG_WRITER_H

#include "base/text_buffer.h"
#include "gptoss.h"

/* Appends a JSON object in transformers' spelling, whichever it was read from. What config_parse
 * reads from it is the same architecture again. */
void config_write(const gptoss_config *config, text_buffer *out);

#endif
