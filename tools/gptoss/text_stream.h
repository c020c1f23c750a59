/* A stream whose text gathers in memory, and that knows when some of it was lost: open_memstream
 * drops what it has no room for, and its stream says nothing of it. */
#ifndef GPTOSS_TOOL_TEXT_STREAM_H
#define GPTOSS_TOOL_TEXT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct text_stream {
    FILE *to;      /* write to it */
    char *bytes;   /* free() it after closing */
    size_t length; /* a zero follows, which is not counted */
    size_t room;
} text_stream;

/* False when there is no memory. `text` must stay where it is until it is closed. */
bool text_stream_open(text_stream *text);

/* Ends the writing; false when something is missing, and then `bytes` is NULL. */
bool text_stream_close(text_stream *text);

#endif
