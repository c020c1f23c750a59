#include "messages_json.h"

static void put_field(json_writer *json, const char *key, gptoss_text text)
{
    if (text.data != NULL)
        json_put_bytes(json, key, text.data, text.length);
}

/* ---- tools ----------------------------------------------------------------------------------- */

static void put_tool(json_writer *json, const gptoss_tool *tool)
{
    json_put_object(json, NULL);
    put_field(json, "name", tool->name);
    put_field(json, "description", tool->description);
    if (tool->parameters.data != NULL)
        json_put_source(json, "parameters", tool->parameters.data, tool->parameters.length);
    json_end_object(json);
}

/* An object whose keys are the namespaces' names. */
static void put_namespaces(json_writer *json, const gptoss_tool_namespace *spaces, size_t count)
{
    if (count == 0)
        return;
    json_put_object(json, "tools");
    for (size_t i = 0; i < count; i++) {
        json_put_name(json, spaces[i].name.data, spaces[i].name.length);
        json_put_object(json, NULL);
        put_field(json, "name", spaces[i].name);
        put_field(json, "description", spaces[i].description);
        json_put_array(json, "tools");
        for (size_t k = 0; k < spaces[i].tool_count; k++)
            put_tool(json, &spaces[i].tools[k]);
        json_end_array(json);
        json_end_object(json);
    }
    json_end_object(json);
}

/* ---- contents -------------------------------------------------------------------------------- */

static void put_system(json_writer *json, const gptoss_system_content *system)
{
    static const char *const efforts[] = {[GPTOSS_EFFORT_LOW] = "Low",
                                          [GPTOSS_EFFORT_MEDIUM] = "Medium",
                                          [GPTOSS_EFFORT_HIGH] = "High"};
    put_field(json, "model_identity", system->identity);
    put_field(json, "knowledge_cutoff", system->knowledge_cutoff);
    put_field(json, "conversation_start_date", system->date);
    if (system->effort != GPTOSS_EFFORT_NONE)
        json_put_text(json, "reasoning_effort", efforts[system->effort]);
    if (system->channel_count > 0) {
        json_put_object(json, "channel_config");
        json_put_array(json, "valid_channels");
        for (size_t i = 0; i < system->channel_count; i++)
            put_field(json, NULL, system->channels[i]);
        json_end_array(json);
        json_put_bool(json, "channel_required", system->channel_required);
        json_end_object(json);
    }
    put_namespaces(json, system->namespaces, system->namespace_count);
}

static void put_content(json_writer *json, const gptoss_content *content)
{
    static const char *const types[] = {[GPTOSS_CONTENT_TEXT] = "text",
                                        [GPTOSS_CONTENT_SYSTEM] = "system_content",
                                        [GPTOSS_CONTENT_DEVELOPER] = "developer_content"};
    json_put_object(json, NULL);
    json_put_text(json, "type", types[content->kind]);
    if (content->kind == GPTOSS_CONTENT_TEXT) {
        put_field(json, "text", content->text);
    } else if (content->kind == GPTOSS_CONTENT_SYSTEM) {
        put_system(json, &content->system);
    } else {
        put_field(json, "instructions", content->developer.instructions);
        put_namespaces(json, content->developer.namespaces, content->developer.namespace_count);
    }
    json_end_object(json);
}

/* ---- messages -------------------------------------------------------------------------------- */

void messages_put_one(json_writer *json, const gptoss_message *message)
{
    json_put_object(json, NULL);
    json_put_text(json, "role", gptoss_role_name(message->role));
    put_field(json, "name", message->name);
    put_field(json, "recipient", message->recipient);
    put_field(json, "channel", message->channel);
    put_field(json, "content_type", message->content_type);
    if (message->content_count == 1 && message->content->kind == GPTOSS_CONTENT_TEXT) {
        put_field(json, "content", message->content->text);
    } else {
        json_put_array(json, "content");
        for (size_t i = 0; i < message->content_count; i++)
            put_content(json, &message->content[i]);
        json_end_array(json);
    }
    json_end_object(json);
}

void messages_put(json_writer *json, const gptoss_message *messages, size_t count)
{
    json_put_array(json, "messages");
    for (size_t i = 0; i < count; i++)
        messages_put_one(json, &messages[i]);
    json_end_array(json);
}

void messages_put_conversation(json_writer *json, const gptoss_message *messages, size_t count)
{
    json_put_object(json, NULL);
    messages_put(json, messages, count);
    json_end_object(json);
}
