/* The header of a safetensors file that is being written. */
#ifndef CHECKPOINT_SAFETENSORS_WRITER_H
#define CHECKPOINT_SAFETENSORS_WRITER_H

#include "base/text_buffer.h"
#include "checkpoint/safetensors.h"

/*
 * Starts zeroed. Metadata come first and in the order of the calls, then the tensors. Failures of
 * memory are told at the end.
 */
typedef struct safetensors_header {
    text_buffer text; /* 8 bytes of length, then JSON, padded to a multiple of 8 */
    bool in_tensors;
    uint64_t bytes; /* where the tensors so far end, counted from the end of the header */
} safetensors_header;

/* An entry of the metadata, all of which are strings; without a value, nothing. */
void safetensors_put_entry(safetensors_header *header, const char *key, const char *value);

/* A tensor that begins at `begin`, counted from the end of the header. Its size, which must be
 * below 2^64 bytes, follows from its shape. */
void safetensors_put_tensor(safetensors_header *header, const char *name, dtype type,
                            const uint64_t *shape, uint32_t rank, uint64_t begin);

/* Completes header->text. `what` names the file in errors. */
gptoss_status safetensors_end_header(safetensors_header *header, const char *what,
                                     gptoss_error *error);

/* Accepts a zeroed object, and leaves one. */
void safetensors_free_header(safetensors_header *header);

#endif
