#include "engine/stop_text.h"

#include <stdlib.h>
#include <string.h>

gptoss_status stop_text_init(stop_text *out, const char *const *texts, size_t count,
                             gptoss_error *error)
{
    *out = (stop_text){.texts = texts, .count = count, .ready = ""};
    for (size_t i = 0; i < count; i++)
        if (texts[i][0] == '\0')
            return fail(error, GPTOSS_USAGE, "stop text %zu is empty", i + 1);
    return GPTOSS_OK;
}

void stop_text_free(stop_text *stops)
{
    free(stops->buffer);
    *stops = (stop_text){0};
}

/* Whether a stop text begins at `at`: wholly (*complete), or as far as the text goes. */
static bool begins_stop(const stop_text *stops, const char *at, size_t length, bool *complete)
{
    bool begins = false;
    *complete = false;
    for (size_t i = 0; i < stops->count; i++) {
        size_t whole = strlen(stops->texts[i]);
        size_t seen = whole < length ? whole : length;
        if (memcmp(at, stops->texts[i], seen) != 0)
            continue;
        begins = true;
        *complete = *complete || seen == whole;
    }
    return begins;
}

/* Moves what is held to the front and makes room for `length` bytes after it. */
static gptoss_status make_room(stop_text *stops, size_t length, gptoss_error *error)
{
    if (stops->held > 0)
        memmove(stops->buffer, stops->ready + stops->ready_length, stops->held);
    if (stops->held + length <= stops->room)
        return GPTOSS_OK;
    size_t room = 2 * (stops->held + length);
    char *larger = realloc(stops->buffer, room);
    if (larger == NULL)
        return fail_memory(error, "text before a stop text", room);
    stops->buffer = larger;
    stops->room = room;
    return GPTOSS_OK;
}

gptoss_status stop_text_push(stop_text *stops, const char *text, size_t length, bool *stopped,
                             gptoss_error *error)
{
    *stopped = false;
    gptoss_status status = make_room(stops, length, error);
    if (status != GPTOSS_OK)
        return status;
    if (length > 0)
        memcpy(stops->buffer + stops->held, text, length);
    size_t total = stops->held + length;
    size_t ready = 0;
    while (ready < total && !begins_stop(stops, stops->buffer + ready, total - ready, stopped))
        ready++;
    stops->ready = total == 0 ? "" : stops->buffer;
    stops->ready_length = ready;
    stops->held = *stopped ? 0 : total - ready;
    return GPTOSS_OK;
}

void stop_text_end(stop_text *stops)
{
    bool complete = false;
    size_t total = stops->ready_length + stops->held;
    while (stops->ready_length < total && !complete) {
        begins_stop(stops, stops->ready + stops->ready_length, total - stops->ready_length,
                    &complete);
        stops->ready_length += complete ? 0 : 1;
    }
    stops->held = 0;
}
