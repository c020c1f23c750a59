/* What conversations and lists of tools in JSON have in common. */
#ifndef TEXT_HARMONY_JSON_H
#define TEXT_HARMONY_JSON_H

#include "base/arena.h"
#include "base/json_pull.h"
#include "text/harmony.h"

/* The JSON, and where to put what it says. All of these return false once the reader has stopped.
 */
typedef struct reading {
    json_pull json;
    arena *memory;
} reading;

/* Stops when there was no memory for what has been read. */
bool reading_stored(reading *in, const void *object);

/* The elements of the array that comes next, or the members of the object, for an array of `size`
 * bytes each; the reader stays before it. */
void *reading_room_for(reading *in, size_t size, size_t *count);

/* Reads over a null and returns true when one comes next. */
bool reading_null(reading *in);

bool reading_text(reading *in, gptoss_text *out);
bool reading_optional_text(reading *in, gptoss_text *out);

/* Any value but null, as it is written. */
bool reading_source(reading *in, gptoss_text *out);

/* Whether a member that must be there was. */
bool reading_need(reading *in, gptoss_text text, const char *what);

/* A function with its name, its description, which must be there when it is to be `described`, and
 * its parameters. */
bool reading_tool(reading *in, bool described, gptoss_tool *out);

#endif
