/* Bytes to text as they come, and text that may be anything to well-formed text. */
#include <string.h>

#include "base/utf8.h"
#include "gptoss.h"

static size_t write_code(int32_t code, char *out)
{
    return utf8_write(code < 0 ? UTF8_REPLACEMENT : (uint32_t)code, out);
}

size_t gptoss_utf8_push(gptoss_utf8_stream *stream, const char *bytes, size_t length, char *out)
{
    size_t written = 0;
    for (size_t i = 0; i < length; i++) {
        stream->pending[stream->count++] = (uint8_t)bytes[i];
        while (stream->count > 0) {
            int32_t code;
            size_t used = utf8_next(stream->pending, stream->count, &code);
            if (code == UTF8_INCOMPLETE)
                break;
            written += write_code(code, out + written);
            stream->count = (uint8_t)(stream->count - used);
            memmove(stream->pending, stream->pending + used, stream->count);
        }
    }
    return written;
}

size_t gptoss_utf8_end(gptoss_utf8_stream *stream, char *out)
{
    if (stream->count == 0)
        return 0;
    stream->count = 0;
    return write_code(UTF8_INCOMPLETE, out);
}
