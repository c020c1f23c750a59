/* What the flags say about how tokens are chosen. */
#ifndef GPTOSS_TOOL_SAMPLING_H
#define GPTOSS_TOOL_SAMPLING_H

#include "command.h"
#include "gptoss.h"
#include "json_writer.h"

/* The flags over the model's own defaults. */
gptoss_sampling sampling_asked(const options *given, const gptoss_config *config);

/* Puts "sampling": {temperature, top_k, top_p, min_p}. */
void sampling_put(json_writer *json, const gptoss_sampling *sampling);

#endif
