#include "chat_conversation.h"

#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "message_copy.h"

/* ---- growing --------------------------------------------------------------------------------- */

void conversation_free(conversation *of)
{
    conversation_cut(of, 0);
    free(of->messages);
    free(of->owned);
    *of = (conversation){NULL};
}

/* Puts a message before the one at `index`; its memory becomes the conversation's. */
static void take(conversation *into, size_t index, gptoss_message message, void *memory)
{
    if (into->count == into->room) {
        into->room = 2 * into->room + 16;
        into->messages = console_resize(into->messages, into->room, sizeof *into->messages);
        into->owned = console_resize(into->owned, into->room, sizeof *into->owned);
    }
    size_t after = into->count++ - index;
    memmove(into->messages + index + 1, into->messages + index, after * sizeof *into->messages);
    memmove(into->owned + index + 1, into->owned + index, after * sizeof *into->owned);
    into->messages[index] = message;
    into->owned[index] = memory;
}

void conversation_insert(conversation *into, size_t index, const gptoss_message *message)
{
    gptoss_message *copy = message_copy(message);
    take(into, index, *copy, copy);
}

void conversation_add(conversation *to, const gptoss_message *message)
{
    conversation_insert(to, to->count, message);
}

void conversation_add_text(conversation *to, gptoss_role role, gptoss_text name,
                           gptoss_text recipient, gptoss_text channel, gptoss_text text)
{
    gptoss_content content = {.kind = GPTOSS_CONTENT_TEXT, .text = text};
    gptoss_message message = {.role = role,
                              .name = name,
                              .recipient = recipient,
                              .channel = channel,
                              .content = &content,
                              .content_count = 1};
    conversation_add(to, &message);
}

void conversation_replace(conversation *in, size_t index, const gptoss_message *message)
{
    gptoss_message *copy = message_copy(message);
    free(in->owned[index]);
    in->messages[index] = *copy;
    in->owned[index] = copy;
}

void conversation_move(conversation *from, size_t index, conversation *to)
{
    for (size_t i = index; i < from->count; i++)
        take(to, to->count, from->messages[i], from->owned[i]);
    from->count = index < from->count ? index : from->count;
}

void conversation_extend(conversation *of, gptoss_text text)
{
    gptoss_message message = of->messages[of->count - 1];
    gptoss_content content = message.content[0];
    size_t length = content.text.length;
    char *joined = console_resize(NULL, length + text.length, 1);
    memcpy(joined, content.text.data, length);
    if (text.length > 0)
        memcpy(joined + length, text.data, text.length);
    content.text = (gptoss_text){joined, length + text.length};
    message.content = &content;
    conversation_replace(of, of->count - 1, &message);
    free(joined);
}

/* ---- shrinking ------------------------------------------------------------------------------- */

/* Forgets the messages [begin, end). */
static void forget(conversation *of, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        free(of->owned[i]);
    size_t after = of->count - end;
    if (after > 0) {
        memmove(of->messages + begin, of->messages + end, after * sizeof *of->messages);
        memmove(of->owned + begin, of->owned + end, after * sizeof *of->owned);
    }
    of->count -= end - begin;
}

void conversation_cut(conversation *of, size_t index)
{
    forget(of, index, of->count);
}

/* The first message of the user's at `from` or after it; the count when there is none. */
static size_t next_turn(const conversation *of, size_t from)
{
    while (from < of->count && of->messages[from].role != GPTOSS_ROLE_USER)
        from++;
    return from;
}

size_t conversation_drop_oldest(conversation *of)
{
    size_t head = conversation_head(of);
    size_t last = conversation_last_turn(of);
    size_t end = next_turn(of, head);
    if (end < last)
        end = next_turn(of, end + 1);
    if (last == of->count)
        return 0;
    forget(of, head, end);
    return end - head;
}

/* ---- looking --------------------------------------------------------------------------------- */

size_t conversation_head(const conversation *of)
{
    size_t head = 0;
    while (head < of->count && (of->messages[head].role == GPTOSS_ROLE_SYSTEM ||
                                of->messages[head].role == GPTOSS_ROLE_DEVELOPER))
        head++;
    return head;
}

size_t conversation_turns(const conversation *of)
{
    size_t turns = 0;
    for (size_t i = 0; i < of->count; i++)
        turns += of->messages[i].role == GPTOSS_ROLE_USER;
    return turns;
}

size_t conversation_last_turn(const conversation *of)
{
    for (size_t i = of->count; i > 0; i--)
        if (of->messages[i - 1].role == GPTOSS_ROLE_USER)
            return i - 1;
    return of->count;
}

bool message_text_is(gptoss_text text, const char *expected)
{
    return text.data != NULL && text.length == strlen(expected) &&
           memcmp(text.data, expected, text.length) == 0;
}

message_part message_part_of(const gptoss_message *message)
{
    if (message->recipient.data != NULL && !message_text_is(message->recipient, "all"))
        return PART_CALL;
    if (message_text_is(message->channel, "analysis"))
        return PART_THINKING;
    return message->channel.data == NULL || message_text_is(message->channel, "final")
               ? PART_ANSWER
               : PART_COMMENTARY;
}
