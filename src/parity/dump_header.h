/* The header of a dump: a safetensors file's JSON. */
#ifndef PARITY_DUMP_HEADER_H
#define PARITY_DUMP_HEADER_H

#include "base/text_buffer.h"
#include "parity/dump_layout.h"

/*
 * Makes what stands before the tensors: 8 bytes of length, then metadata and the directory of
 * tensors as JSON, padded to a multiple of 8. `options` may be NULL. Free *out with text_free, also
 * after a failure.
 */
gptoss_status dump_header_make(const dump_layout *layout, const gptoss_executor *executor,
                               const gptoss_dump_options *options, text_buffer *out,
                               gptoss_error *error);

#endif
