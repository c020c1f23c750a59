/* What inspect found out, for its two ways of printing it. */
#ifndef GPTOSS_TOOL_INSPECT_H
#define GPTOSS_TOOL_INSPECT_H

#include "command.h"
#include "gptoss.h"

typedef struct inspection {
    const options *given;
    const gptoss_model *model;
    const gptoss_config *config;
    gptoss_model_info info;
    gptoss_memory memory;
    uint32_t context;    /* that memory is forecast for */
    double seconds;      /* that opening took */
    char (*digests)[65]; /* [files]; NULL without --sha256 */
} inspection;

/* Cache, work space and weights: what a run takes when nothing is to be read twice. */
uint64_t inspection_needs(const inspection *of);

uint32_t inspection_sliding_layers(const gptoss_config *config);

void inspect_print_json(const inspection *of);
void inspect_print_text(const inspection *of);

#endif
