/* Token ids to messages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text_buffer.h"
#include "base/utf8.h"
#include "text/harmony.h"
#include "text/harmony_header.h"

typedef enum parser_state {
    BETWEEN, /* messages: <|start|> is expected */
    HEADER,
    CONTENT,
} parser_state;

struct gptoss_parser {
    const gptoss_tokenizer *tokenizer;
    harmony_tokens control;
    gptoss_parser_options options;
    parser_state state;
    bool role_given; /* the header under way does not begin with the role, which is `role` */
    gptoss_role role;
    bool has_channel;       /* the header under way has a <|channel|> */
    bool given_up;          /* the message under way began in its header, which may end yet */
    text_buffer header;     /* of the message under way, control tokens spelled out */
    gptoss_message message; /* under way, in CONTENT */
    gptoss_utf8_stream utf8;
    text_buffer content;
    arena memory; /* of all that messages point to */
    gptoss_message *messages;
    size_t count;
    size_t room;
    bool refused;
};

/* ---- messages -------------------------------------------------------------------------------- */

static void tell(const gptoss_parser *parser, const gptoss_parser_event *event)
{
    if (parser->options.event != NULL)
        parser->options.event(parser->options.user, event);
}

/* Adds whole characters to the message under way. */
static void add_text(gptoss_parser *parser, gptoss_text text)
{
    if (text.length == 0)
        return;
    text_append_bytes(&parser->content, text.data, text.length);
    tell(parser, &(gptoss_parser_event){
                     .kind = GPTOSS_PARSER_TEXT, .message = &parser->message, .text = text});
}

/* Adds bytes that may begin or end inside a character. */
static gptoss_status add_bytes(gptoss_parser *parser, gptoss_text bytes, gptoss_error *error)
{
    char small[GPTOSS_UTF8_ROOM(256)];
    size_t room = GPTOSS_UTF8_ROOM(bytes.length);
    char *valid = room <= sizeof small ? small : malloc(room);
    if (valid == NULL)
        return fail_memory(error, "a token", room);
    size_t length = gptoss_utf8_push(&parser->utf8, bytes.data, bytes.length, valid);
    add_text(parser, (gptoss_text){valid, length});
    if (valid != small)
        free(valid);
    return parser->content.failed ? fail_memory(error, "a message", parser->content.length)
                                  : GPTOSS_OK;
}

static void begin_message(gptoss_parser *parser, const harmony_header *header)
{
    parser->message = (gptoss_message){.role = header->role,
                                       .name = header->name,
                                       .recipient = header->recipient,
                                       .channel = header->channel,
                                       .content_type = header->content_type};
    parser->state = CONTENT;
    parser->content.length = 0;
    tell(parser, &(gptoss_parser_event){.kind = GPTOSS_PARSER_BEGIN, .message = &parser->message});
    add_text(parser, header->rest);
}

/* What was said of a character will not become one. */
static void end_character(gptoss_parser *parser)
{
    char last[GPTOSS_UTF8_ROOM(0)];
    add_text(parser, (gptoss_text){last, gptoss_utf8_end(&parser->utf8, last)});
}

static gptoss_status end_message(gptoss_parser *parser, gptoss_message_end end, gptoss_error *error)
{
    end_character(parser);
    size_t length = parser->content.length;
    gptoss_content *content = arena_take(&parser->memory, 1, sizeof *content);
    char *text = arena_copy(&parser->memory, parser->content.bytes, length);
    if (content == NULL || text == NULL || parser->content.failed)
        return fail_memory(error, "a message", length);
    content->text = (gptoss_text){text, length};
    parser->message.content = content;
    parser->message.content_count = 1;
    if (parser->count == parser->room) {
        size_t room = 2 * parser->room + 8;
        gptoss_message *larger = realloc(parser->messages, room * sizeof *larger);
        if (larger == NULL)
            return fail_memory(error, "messages", room * sizeof *larger);
        parser->messages = larger;
        parser->room = room;
    }
    parser->messages[parser->count++] = parser->message;
    parser->state = BETWEEN;
    tell(parser, &(gptoss_parser_event){
                     .kind = GPTOSS_PARSER_END, .message = &parser->message, .end = end});
    return GPTOSS_OK;
}

/* ---- headers --------------------------------------------------------------------------------- */

static void begin_header(gptoss_parser *parser, bool role_given)
{
    parser->state = HEADER;
    parser->role_given = role_given;
    parser->has_channel = false;
    parser->given_up = false;
    parser->header.length = 0;
}

static gptoss_text header_text(const gptoss_parser *parser)
{
    return (gptoss_text){parser->header.length == 0 ? "" : parser->header.bytes,
                         parser->header.length};
}

static gptoss_status close_header(gptoss_parser *parser, gptoss_error *error)
{
    harmony_header header;
    gptoss_text text = header_text(parser);
    const gptoss_role *role = parser->role_given ? &parser->role : NULL;
    /* What a message keeps of its header must outlive the buffer. */
    text.data = arena_copy(&parser->memory, text.data, text.length);
    if (text.data == NULL)
        return fail_memory(error, "a header", text.length);
    bool strict = parser->options.strict;
    gptoss_status status =
        header_parse(text, role, &parser->memory, &header, strict ? error : NULL);
    if (status != GPTOSS_OK && !strict)
        status = header_salvage(text, role, true, &parser->memory, &header, error);
    if (status == GPTOSS_OK)
        begin_message(parser, &header);
    return status;
}

/* Begins a message of a header without <|message|>, whose words are then content. */
static gptoss_status give_header_up(gptoss_parser *parser, gptoss_error *error)
{
    harmony_header header;
    gptoss_text text = header_text(parser);
    const gptoss_role *role = parser->role_given ? &parser->role : NULL;
    text.data = arena_copy(&parser->memory, text.data, text.length);
    if (text.data == NULL)
        return fail_memory(error, "a header", text.length);
    gptoss_status status = header_salvage(text, role, false, &parser->memory, &header, error);
    if (status == GPTOSS_OK)
        begin_message(parser, &header);
    return status;
}

/* Makes a message of a header that ended without <|message|>, unless nothing stands in it. */
static gptoss_status abandon_header(gptoss_parser *parser, gptoss_message_end end,
                                    gptoss_error *error)
{
    parser->state = BETWEEN;
    if (parser->header.length == 0)
        return GPTOSS_OK;
    gptoss_status status = give_header_up(parser, error);
    return status == GPTOSS_OK ? end_message(parser, end, error) : status;
}

/* Gives the header under way up when it cannot be one any more, so that what the model says is
 * heard while it says it. A character that is not complete yet is waited for. */
static gptoss_status doubt_header(gptoss_parser *parser, gptoss_error *error)
{
    gptoss_text text = header_text(parser);
    const gptoss_role *role = parser->role_given ? &parser->role : NULL;
    if (header_plausible(text, role) ||
        utf8_valid_prefix((const uint8_t *)text.data, text.length) != text.length)
        return GPTOSS_OK;
    parser->given_up = true;
    return give_header_up(parser, error);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/* The bytes of a token; one that the tokenizer lacks is spelled as openai-harmony spells those in
 * reserve. */
#define SPELLING_ROOM 32
static gptoss_text spelling(const gptoss_parser *parser, uint32_t id, char room[SPELLING_ROOM])
{
    gptoss_text bytes;
    bytes.data = gptoss_tokenizer_bytes(parser->tokenizer, id, &bytes.length);
    if (bytes.data != NULL)
        return bytes;
    int length = snprintf(room, SPELLING_ROOM, "<|reserved_%u|>", id);
    return (gptoss_text){room, (size_t)length};
}

/* Whether a token ends a message, and how. */
static bool is_end(const gptoss_parser *parser, uint32_t id, gptoss_message_end *end)
{
    *end = id == parser->control.end    ? GPTOSS_ENDED_MESSAGE
           : id == parser->control.ret  ? GPTOSS_ENDED_TURN
           : id == parser->control.call ? GPTOSS_ENDED_CALL
                                        : GPTOSS_ENDED_CUT;
    return *end != GPTOSS_ENDED_CUT;
}

static gptoss_status add_to_header(gptoss_parser *parser, uint32_t id, gptoss_error *error)
{
    char room[SPELLING_ROOM];
    gptoss_text bytes = spelling(parser, id, room);
    text_append_bytes(&parser->header, bytes.data, bytes.length);
    parser->has_channel = parser->has_channel || id == parser->control.channel;
    return parser->header.failed ? fail_memory(error, "a header", parser->header.length)
                                 : GPTOSS_OK;
}

static gptoss_status add_to_content(gptoss_parser *parser, uint32_t id, gptoss_error *error)
{
    char room[SPELLING_ROOM];
    return add_bytes(parser, spelling(parser, id, room), error);
}

static gptoss_status push_strict(gptoss_parser *parser, uint32_t id, gptoss_error *error)
{
    gptoss_message_end end;
    if (parser->state == CONTENT)
        return is_end(parser, id, &end) ? end_message(parser, end, error)
                                        : add_to_content(parser, id, error);
    if (parser->state == HEADER)
        return id == parser->control.message ? close_header(parser, error)
                                             : add_to_header(parser, id, error);
    if (id != parser->control.start)
        return fail(error, GPTOSS_FORMAT, "expected <|start|> before a message, found the token %u",
                    id);
    begin_header(parser, false);
    return GPTOSS_OK;
}

/* A control token that cannot be meant where it stands ends what is under way; one that can begin a
 * message begins it. Between messages, a header of the assistant's may begin without <|start|>. */
static gptoss_status push_forgiving(gptoss_parser *parser, uint32_t id, gptoss_error *error)
{
    gptoss_message_end end;
    gptoss_status status = GPTOSS_OK;
    bool ends = is_end(parser, id, &end);
    bool start = id == parser->control.start;
    bool channel = id == parser->control.channel;
    if (parser->state == HEADER && (ends || start || (channel && parser->has_channel)))
        status = abandon_header(parser, end, error);
    else if (parser->state == CONTENT && (ends || start || channel))
        status = end_message(parser, end, error);
    if (status != GPTOSS_OK || ends)
        return status;
    if (parser->state == BETWEEN) {
        begin_header(parser, !start);
        parser->role = GPTOSS_ROLE_ASSISTANT;
    }
    if (start)
        return GPTOSS_OK;
    if (parser->state == CONTENT && id != parser->control.message)
        return add_to_content(parser, id, error);
    if (parser->state == CONTENT && parser->given_up)
        end_character(parser); /* the header ends after all */
    parser->given_up = false;
    if (parser->state == CONTENT)
        return GPTOSS_OK;
    if (id == parser->control.message)
        return close_header(parser, error);
    status = add_to_header(parser, id, error);
    return status == GPTOSS_OK ? doubt_header(parser, error) : status;
}

/* ---- the parser ------------------------------------------------------------------------------ */

gptoss_status gptoss_parser_open(const gptoss_tokenizer *tokenizer,
                                 const gptoss_parser_options *options, gptoss_parser **out,
                                 gptoss_error *error)
{
    *out = NULL;
    gptoss_parser *parser = calloc(1, sizeof *parser);
    if (parser == NULL)
        return fail_memory(error, "a parser", sizeof *parser);
    parser->tokenizer = tokenizer;
    if (options != NULL)
        parser->options = *options;
    gptoss_status status = harmony_tokens_find(tokenizer, &parser->control, error);
    if (status != GPTOSS_OK) {
        gptoss_parser_close(parser);
        return status;
    }
    parser->role = parser->options.role;
    parser->state = parser->options.from_start ? BETWEEN : HEADER;
    parser->role_given = !parser->options.from_start;
    *out = parser;
    return GPTOSS_OK;
}

void gptoss_parser_close(gptoss_parser *parser)
{
    if (parser == NULL)
        return;
    text_free(&parser->header);
    text_free(&parser->content);
    arena_free(&parser->memory);
    free(parser->messages);
    free(parser);
}

/* Keeps in mind that a stream was refused. */
static gptoss_status judged(gptoss_parser *parser, gptoss_status status)
{
    parser->refused = parser->refused || status != GPTOSS_OK;
    return status;
}

static gptoss_status refuse_more(gptoss_error *error)
{
    return fail(error, GPTOSS_FORMAT, "expected no more tokens after one was refused");
}

gptoss_status gptoss_parser_push(gptoss_parser *parser, uint32_t id, gptoss_error *error)
{
    if (parser->refused)
        return refuse_more(error);
    return judged(parser, parser->options.strict ? push_strict(parser, id, error)
                                                 : push_forgiving(parser, id, error));
}

gptoss_status gptoss_parser_end(gptoss_parser *parser, gptoss_error *error)
{
    if (parser->refused)
        return refuse_more(error);
    if (parser->state == CONTENT)
        return judged(parser, end_message(parser, GPTOSS_ENDED_CUT, error));
    if (parser->state == BETWEEN)
        return GPTOSS_OK;
    if (!parser->options.strict)
        return judged(parser, abandon_header(parser, GPTOSS_ENDED_CUT, error));
    return judged(parser, fail(error, GPTOSS_FORMAT,
                               "expected <|message|> after a message's header, found the end"));
}

const gptoss_message *gptoss_parser_messages(const gptoss_parser *parser, size_t *count)
{
    *count = parser->count;
    return parser->messages;
}
