#include "chat_input.h"

#include <stdlib.h>
#include <string.h>

#include "console.h"

#define FENCE "\"\"\""
#define MORE  "... "

static void append(input_text *to, const char *bytes, size_t length)
{
    to->bytes = console_resize(to->bytes, to->length + length + 1, 1);
    if (length > 0)
        memcpy(to->bytes + to->length, bytes, length);
    to->length += length;
    to->bytes[to->length] = '\0';
}

static bool ends_with_backslash(const input_text *line)
{
    return line->length > 0 && line->bytes[line->length - 1] == '\\';
}

/* The line goes on: the backslash becomes a line break. */
static line_result read_continued(line_input *in, input_text *out)
{
    while (ends_with_backslash(out)) {
        input_text more;
        out->bytes[out->length - 1] = '\n';
        line_result result = line_input_read(in, MORE, &more);
        if (result == LINE_CLEARED || result == LINE_STOP)
            return LINE_CLEARED;
        if (result == LINE_END) {
            out->bytes[--out->length] = '\0';
            return LINE_READ;
        }
        append(out, more.bytes, more.length);
        free(more.bytes);
    }
    return LINE_READ;
}

/* Where the closing fence is in what came since `from`; NULL when it is not there. */
static char *find_fence(const input_text *text, size_t from)
{
    return memmem(text->bytes + from, text->length - from, FENCE, strlen(FENCE));
}

/* Reads lines until the fence closes. What follows it on its line is taken, too. */
static line_result read_fenced(line_input *in, input_text *out)
{
    size_t from = strlen(FENCE);
    char *fence;
    while ((fence = find_fence(out, from)) == NULL) {
        input_text more;
        from = out->length;
        line_result result = line_input_read(in, MORE, &more);
        if (result == LINE_CLEARED || result == LINE_STOP)
            return LINE_CLEARED;
        if (result == LINE_END)
            break;
        append(out, "\n", 1);
        append(out, more.bytes, more.length);
        free(more.bytes);
    }
    size_t opening = strlen(FENCE);
    opening += out->bytes[opening] == '\n'; /* the text may begin on the next line */
    if (fence != NULL) {
        size_t end = (size_t)(fence - out->bytes);
        size_t rest = out->length - end - strlen(FENCE);
        memmove(fence, fence + strlen(FENCE), rest);
        out->length -= strlen(FENCE);
        if (end > opening && rest == 0 && out->bytes[end - 1] == '\n')
            out->length--; /* and the fence stand on a line of its own */
    }
    opening = opening < out->length ? opening : out->length;
    out->length -= opening;
    memmove(out->bytes, out->bytes + opening, out->length);
    out->bytes[out->length] = '\0';
    return LINE_READ;
}

line_result chat_input_read(line_input *in, const char *prompt, input_text *out, bool *quoted)
{
    line_result result = line_input_read(in, prompt, out);
    if (result != LINE_READ)
        return result;
    bool fenced = out->length >= strlen(FENCE) && memcmp(out->bytes, FENCE, strlen(FENCE)) == 0;
    result = fenced ? read_fenced(in, out) : read_continued(in, out);
    if (result != LINE_READ) {
        free(out->bytes);
        *out = (input_text){NULL, 0};
        return result;
    }
    if (quoted != NULL)
        *quoted = fenced || memchr(out->bytes, '\n', out->length) != NULL;
    return LINE_READ;
}
