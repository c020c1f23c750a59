/* The text of system and developer messages. */
#ifndef TEXT_HARMONY_CONTENT_H
#define TEXT_HARMONY_CONTENT_H

#include "base/status.h"
#include "base/text_buffer.h"

/* The namespace of the conversation's own functions, which a system message announces. */
#define HARMONY_FUNCTIONS "functions"

/* Append the text of a content. `functions`: some developer message of the conversation has tools
 * in the namespace of that name. On failure nothing more is promised of `out` than text_free. */
gptoss_status system_content_append(text_buffer *out, const gptoss_system_content *content,
                                    bool functions, gptoss_error *error);
gptoss_status developer_content_append(text_buffer *out, const gptoss_developer_content *content,
                                       gptoss_error *error);

/* Appends "# Tools" and the namespaces in the order of their names; `count` is not 0. */
gptoss_status tools_append(text_buffer *out, const gptoss_tool_namespace *namespaces, size_t count,
                           gptoss_error *error);

#endif
