#include "checkpoint/safetensors_writer.h"

#include <inttypes.h>
#include <string.h>

/* Before the first entry: room for the length, which comes last. */
static void begin(safetensors_header *header)
{
    if (header->text.length == 0)
        text_append(&header->text, "%8s{\"__metadata__\":{", "");
}

void safetensors_put_entry(safetensors_header *header, const char *key, const char *value)
{
    text_buffer *out = &header->text;
    begin(header);
    if (value == NULL || out->failed)
        return;
    text_append(out, "%s\"%s\":", out->bytes[out->length - 1] == '{' ? "" : ",", key);
    text_append_json(out, value, strlen(value));
}

/* After the last entry. */
static void end_metadata(safetensors_header *header)
{
    begin(header);
    if (!header->in_tensors)
        text_append(&header->text, "}");
    header->in_tensors = true;
}

void safetensors_put_tensor(safetensors_header *header, const char *name, dtype type,
                            const uint64_t *shape, uint32_t rank, uint64_t begins)
{
    text_buffer *out = &header->text;
    uint64_t bytes = dtype_bytes(type);
    end_metadata(header);
    text_append(out, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", name, dtype_name(type));
    for (uint32_t i = 0; i < rank; i++) {
        text_append(out, "%s%" PRIu64, i == 0 ? "" : ",", shape[i]);
        bytes *= shape[i];
    }
    text_append(out, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begins, begins + bytes);
    header->bytes = begins + bytes > header->bytes ? begins + bytes : header->bytes;
}

gptoss_status safetensors_end_header(safetensors_header *header, const char *what,
                                     gptoss_error *error)
{
    text_buffer *out = &header->text;
    end_metadata(header);
    text_append(out, "}");
    while (out->length % 8 != 0 && !out->failed)
        text_append(out, " ");
    if (out->failed)
        return fail_memory(error, "the header of a safetensors file", out->room);
    uint64_t length = out->length - 8;
    if (length > SAFETENSORS_MAX_HEADER)
        return fail(error, GPTOSS_LIMIT,
                    "%s: its header would have %" PRIu64 " bytes, expected at most %u", what,
                    length, SAFETENSORS_MAX_HEADER);
    for (int i = 0; i < 8; i++)
        out->bytes[i] = (char)(length >> (8 * i));
    return GPTOSS_OK;
}

void safetensors_free_header(safetensors_header *header)
{
    text_free(&header->text);
    *header = (safetensors_header){.bytes = 0};
}
