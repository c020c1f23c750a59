/* The header of a dump: a safetensors file's JSON. */
#ifndef PARITY_DUMP_HEADER_H
#define PARITY_DUMP_HEADER_H

#include "checkpoint/safetensors_writer.h"
#include "parity/dump_layout.h"

/* Makes what stands before the tensors. `options` may be NULL. Free *out with
 * safetensors_free_header, also after a failure. */
gptoss_status dump_header_make(const dump_layout *layout, const gptoss_executor *executor,
                               const gptoss_dump_options *options, safetensors_header *out,
                               gptoss_error *error);

#endif
