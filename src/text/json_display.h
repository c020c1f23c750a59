/* A JSON value as serde_json prints it, which is how openai-harmony shows default values. */
#ifndef TEXT_JSON_DISPLAY_H
#define TEXT_JSON_DISPLAY_H

#include "base/json.h"
#include "base/text_buffer.h"

/* Appends the value without white space. Its document's numbers must be kept (json_keep_numbers).
 */
void json_display(text_buffer *out, const json_value *value);

#endif
