#include "text/harmony_content.h"

#include "text/harmony.h"

static const char *const effort_names[] = {
    [GPTOSS_EFFORT_LOW] = "low",
    [GPTOSS_EFFORT_MEDIUM] = "medium",
    [GPTOSS_EFFORT_HIGH] = "high",
};

/* A line "LABEL TEXT" after those of its section, unless there is no text. */
static void append_line(text_buffer *out, bool *begun, const char *label, gptoss_text text)
{
    if (text.data == NULL)
        return;
    text_append(out, "%s%s", *begun ? "\n" : "", label);
    text_append_bytes(out, text.data, text.length);
    *begun = true;
}

static void append_channels(text_buffer *out, const gptoss_system_content *content, bool functions)
{
    text_append(out, "# Valid channels: ");
    for (size_t i = 0; i < content->channel_count; i++) {
        text_append(out, "%s", i == 0 ? "" : ", ");
        text_append_bytes(out, content->channels[i].data, content->channels[i].length);
    }
    text_append(out, ".");
    if (content->channel_required)
        text_append(out, " Channel must be included for every message.");
    if (functions)
        text_append(out,
                    "\nCalls to these tools must go to the commentary channel: '" HARMONY_FUNCTIONS
                    "'.");
}

gptoss_status system_content_append(text_buffer *out, const gptoss_system_content *content,
                                    bool functions, gptoss_error *error)
{
    gptoss_status status = GPTOSS_OK;
    bool begun = false; /* there is a section, if only an empty one */
    append_line(out, &begun, "", content->identity);
    append_line(out, &begun, "Knowledge cutoff: ", content->knowledge_cutoff);
    append_line(out, &begun, "Current date: ", content->date);
    if (content->effort != GPTOSS_EFFORT_NONE) {
        text_append(out, "%sReasoning: %s", begun ? "\n\n" : "", effort_names[content->effort]);
        begun = true;
    }
    if (content->namespace_count > 0) {
        text_append(out, "%s", begun ? "\n\n" : "");
        status = tools_append(out, content->namespaces, content->namespace_count, error);
        begun = true;
    }
    if (content->channel_count > 0) {
        text_append(out, "%s", begun ? "\n\n" : "");
        append_channels(out, content, functions);
    }
    return status;
}

gptoss_status developer_content_append(text_buffer *out, const gptoss_developer_content *content,
                                       gptoss_error *error)
{
    bool instructed = content->instructions.data != NULL;
    if (instructed) {
        text_append(out, "# Instructions\n\n");
        text_append_bytes(out, content->instructions.data, content->instructions.length);
    }
    if (content->namespace_count == 0)
        return GPTOSS_OK;
    text_append(out, "%s", instructed ? "\n\n" : "");
    return tools_append(out, content->namespaces, content->namespace_count, error);
}

gptoss_system_content gptoss_system_defaults(void)
{
    static const gptoss_text channels[] = {TEXT("analysis"), TEXT("commentary"), TEXT("final")};
    return (gptoss_system_content){
        .identity = TEXT("You are ChatGPT, a large language model trained by OpenAI."),
        .knowledge_cutoff = TEXT("2024-06"),
        .effort = GPTOSS_EFFORT_MEDIUM,
        .channels = channels,
        .channel_count = sizeof channels / sizeof *channels,
        .channel_required = true,
    };
}
