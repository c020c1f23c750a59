#include "text_stream.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A cookie stream's function for writing: all of it, or nothing, which the stream remembers. */
static ssize_t take(void *cookie, const char *bytes, size_t length)
{
    text_stream *text = cookie;
    if (length > SIZE_MAX / 4 || text->length > SIZE_MAX / 4)
        return 0;
    if (text->length + length >= text->room) {
        size_t room = 2 * (text->length + length) + 64;
        char *larger = realloc(text->bytes, room);
        if (larger == NULL)
            return 0;
        text->bytes = larger;
        text->room = room;
    }
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
    return (ssize_t)length;
}

bool text_stream_open(text_stream *text)
{
    *text = (text_stream){.to = NULL};
    text->to = fopencookie(text, "w", (cookie_io_functions_t){.write = take});
    return text->to != NULL;
}

bool text_stream_close(text_stream *text)
{
    bool whole = fflush(text->to) == 0 && !ferror(text->to);
    whole = fclose(text->to) == 0 && whole && text->bytes != NULL;
    text->to = NULL;
    if (whole)
        return true;
    free(text->bytes);
    text->bytes = NULL;
    text->length = text->room = 0;
    return false;
}
