/* JSON schemas as the TypeScript types that gpt-oss was trained with. */
#ifndef TEXT_TYPESCRIPT_H
#define TEXT_TYPESCRIPT_H

#include "base/json.h"
#include "base/text_buffer.h"

/*
 * Appends the type of a schema. Known are oneOf, type (also a list), properties, required, items,
 * enum of strings, nullable, title, description, examples and default; a schema of none of these is
 * "any". Numbers of its document must be kept (json_keep_numbers). Source: openai/harmony,
 * src/encoding.rs, json_schema_to_typescript.
 */
void typescript_append(text_buffer *out, const json_value *schema);

#endif
