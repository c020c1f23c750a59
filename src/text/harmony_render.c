/* Messages to token ids. */
#include <stdlib.h>
#include <string.h>

#include "base/text_buffer.h"
#include "text/harmony.h"
#include "text/harmony_content.h"

/* The ids so far. The first failure stays in `status`, and nothing more is done. */
typedef struct renderer {
    const gptoss_tokenizer *tokenizer;
    harmony_tokens control;
    bool functions; /* the conversation has tools in the namespace "functions" */
    uint32_t *ids;
    size_t count;
    size_t room;
    gptoss_status status;
    gptoss_error *error;
} renderer;

/* ---- pieces ---------------------------------------------------------------------------------- */

static void put_ids(renderer *out, const uint32_t *ids, size_t count)
{
    if (out->status != GPTOSS_OK)
        return;
    if (count > out->room - out->count) {
        size_t room = 2 * (out->count + count) + 256;
        uint32_t *larger = realloc(out->ids, room * sizeof *larger);
        if (larger == NULL) {
            out->status = fail_memory(out->error, "token ids", room * sizeof *larger);
            return;
        }
        out->ids = larger;
        out->room = room;
    }
    if (count > 0)
        memcpy(out->ids + out->count, ids, count * sizeof *ids);
    out->count += count;
}

static void put_control(renderer *out, uint32_t id)
{
    put_ids(out, &id, 1);
}

/* A text of its own: no token reaches over its ends. */
static void put_text(renderer *out, const char *text, size_t length)
{
    uint32_t *ids = NULL;
    size_t count = 0;
    if (out->status == GPTOSS_OK && length > 0)
        out->status =
            gptoss_tokenizer_encode(out->tokenizer, text, length, false, &ids, &count, out->error);
    put_ids(out, ids, count);
    free(ids);
}

/* "PREFIX TEXT" as one text. */
static void put_joined(renderer *out, const char *prefix, gptoss_text text)
{
    text_buffer joined = {0};
    text_append(&joined, "%s", prefix);
    text_append_bytes(&joined, text.data, text.length);
    if (joined.failed)
        out->status = fail_memory(out->error, "a header", text.length);
    else
        put_text(out, joined.bytes, joined.length);
    text_free(&joined);
}

/* ---- headers --------------------------------------------------------------------------------- */

static void put_author(renderer *out, const gptoss_message *message)
{
    const char *role = gptoss_role_name(message->role);
    if (message->role != GPTOSS_ROLE_TOOL)
        put_text(out, role, strlen(role));
    if (message->role != GPTOSS_ROLE_TOOL && message->name.data != NULL)
        put_joined(out, ":", message->name);
    if (message->role == GPTOSS_ROLE_TOOL && message->name.data != NULL)
        put_text(out, message->name.data, message->name.length);
    else if (message->role == GPTOSS_ROLE_TOOL && out->status == GPTOSS_OK)
        out->status = fail(out->error, GPTOSS_FORMAT,
                           "expected the tool's name in a tool message, found none");
}

/* The marker <|constrain|> at the beginning of a content type is the one control token that a
 * message's fields can hold. */
static void put_content_type(renderer *out, gptoss_text type)
{
    size_t marker = strlen(HARMONY_CONSTRAIN);
    if (type.length < marker || memcmp(type.data, HARMONY_CONSTRAIN, marker) != 0) {
        put_joined(out, " ", type);
        return;
    }
    put_text(out, " ", 1);
    put_control(out, out->control.constrain);
    put_text(out, type.data + marker, type.length - marker);
}

static void put_header(renderer *out, const gptoss_message *message)
{
    put_control(out, out->control.start);
    put_author(out, message);
    if (message->recipient.data != NULL && !text_is(message->recipient, "all"))
        put_joined(out, " to=", message->recipient);
    if (message->channel.data != NULL) {
        put_control(out, out->control.channel);
        put_text(out, message->channel.data, message->channel.length);
    }
    if (message->content_type.data != NULL)
        put_content_type(out, message->content_type);
    put_control(out, out->control.message);
}

/* ---- content --------------------------------------------------------------------------------- */

static gptoss_status refuse_content(const gptoss_message *message, const char *kind,
                                    gptoss_error *error)
{
    return fail(error, GPTOSS_FORMAT,
                "expected %s content in a %s message only, found it in one "
                "of the role %s",
                kind, kind, gptoss_role_name(message->role));
}

static gptoss_status append_content(text_buffer *text, const renderer *out,
                                    const gptoss_message *message, const gptoss_content *content)
{
    if (content->kind == GPTOSS_CONTENT_SYSTEM)
        return message->role == GPTOSS_ROLE_SYSTEM
                   ? system_content_append(text, &content->system, out->functions, out->error)
                   : refuse_content(message, "system", out->error);
    return message->role == GPTOSS_ROLE_DEVELOPER
               ? developer_content_append(text, &content->developer, out->error)
               : refuse_content(message, "developer", out->error);
}

static void put_content(renderer *out, const gptoss_message *message, const gptoss_content *content)
{
    if (content->kind == GPTOSS_CONTENT_TEXT) {
        put_text(out, content->text.data, content->text.length);
        return;
    }
    text_buffer text = {0};
    if (out->status == GPTOSS_OK)
        out->status = append_content(&text, out, message, content);
    if (out->status == GPTOSS_OK && text.failed)
        out->status = fail_memory(out->error, "a message", text.length);
    put_text(out, text.bytes, text.length);
    text_free(&text);
}

static void put_message(renderer *out, const gptoss_message *message)
{
    put_header(out, message);
    for (size_t i = 0; i < message->content_count; i++)
        put_content(out, message, &message->content[i]);
    bool call = message->role == GPTOSS_ROLE_ASSISTANT && message->recipient.data != NULL;
    put_control(out, call ? out->control.call : out->control.end);
}

/* ---- which messages -------------------------------------------------------------------------- */

static bool is_final(const gptoss_message *message)
{
    return text_is(message->channel, "final");
}

static bool has_functions(const gptoss_content *content)
{
    const gptoss_developer_content *developer = &content->developer;
    if (content->kind != GPTOSS_CONTENT_DEVELOPER)
        return false;
    for (size_t i = 0; i < developer->namespace_count; i++)
        if (text_is(developer->namespaces[i].name, HARMONY_FUNCTIONS) &&
            developer->namespaces[i].tool_count > 0)
            return true;
    return false;
}

static bool any_functions(const gptoss_message *messages, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < messages[i].content_count; k++)
            if (has_functions(&messages[i].content[k]))
                return true;
    return false;
}

/* The message before which openai-harmony leaves analysis out: the first final one, or 0. */
static size_t first_final_of_ended(const gptoss_message *messages, size_t count)
{
    size_t last = count;
    while (last > 0 && messages[last - 1].role != GPTOSS_ROLE_ASSISTANT)
        last--;
    if (last == 0 || !is_final(&messages[last - 1]))
        return 0;
    size_t first = 0;
    while (!is_final(&messages[first]))
        first++;
    return first;
}

/* The message before which a chat leaves analysis out: the last final one that a message of the
 * user's follows, or 0. */
static size_t last_final_answered(const gptoss_message *messages, size_t count)
{
    size_t at = count;
    while (at > 0 && messages[at - 1].role != GPTOSS_ROLE_USER)
        at--;
    while (at > 0 && !is_final(&messages[at - 1]))
        at--;
    return at == 0 ? 0 : at - 1;
}

static size_t analysis_begins(const gptoss_message *messages, size_t count, gptoss_history history)
{
    if (history == GPTOSS_HISTORY_HARMONY)
        return first_final_of_ended(messages, count);
    return history == GPTOSS_HISTORY_TURNS ? last_final_answered(messages, count) : 0;
}

/* ---- conversations --------------------------------------------------------------------------- */

static void put_ending(renderer *out, const gptoss_message *last,
                       const gptoss_render_options *options)
{
    const char *next = gptoss_role_name(options->next_role);
    if (options->ending == GPTOSS_ENDING_COMPLETION) {
        put_control(out, out->control.start);
        put_text(out, next, strlen(next));
    } else if (options->ending == GPTOSS_ENDING_TRAINING && last != NULL && is_final(last) &&
               last->role == GPTOSS_ROLE_ASSISTANT && out->status == GPTOSS_OK) {
        out->ids[out->count - 1] = out->control.ret;
    }
}

gptoss_status gptoss_render(const gptoss_tokenizer *tokenizer, const gptoss_message *messages,
                            size_t count, const gptoss_render_options *options, uint32_t **ids,
                            size_t *id_count, gptoss_error *error)
{
    const gptoss_render_options common = {.history = GPTOSS_HISTORY_HARMONY};
    renderer out = {.tokenizer = tokenizer, .error = error};
    *ids = NULL;
    *id_count = 0;
    if (options == NULL)
        options = &common;
    out.status = harmony_tokens_find(tokenizer, &out.control, error);
    out.functions = any_functions(messages, count);
    size_t begin = analysis_begins(messages, count, options->history);
    for (size_t i = 0; i < count && out.status == GPTOSS_OK; i++)
        if (i >= begin || !text_is(messages[i].channel, "analysis"))
            put_message(&out, &messages[i]);
    put_ending(&out, count == 0 ? NULL : &messages[count - 1], options);
    if (out.status != GPTOSS_OK) {
        free(out.ids);
        return out.status;
    }
    *ids = out.ids;
    *id_count = out.count;
    return GPTOSS_OK;
}
