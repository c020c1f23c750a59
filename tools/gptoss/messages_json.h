/* Messages as JSON, the way gptoss_conversation_read takes them and openai-harmony writes them. */
#ifndef GPTOSS_TOOL_MESSAGES_JSON_H
#define GPTOSS_TOOL_MESSAGES_JSON_H

#include "gptoss.h"
#include "json_writer.h"

/* Puts one message, an object. */
void messages_put_one(json_writer *json, const gptoss_message *message);

/* Puts "messages": [...], a member. */
void messages_put(json_writer *json, const gptoss_message *messages, size_t count);

/* Puts {"messages": [...]}. */
void messages_put_conversation(json_writer *json, const gptoss_message *messages, size_t count);

#endif
