#include "text/harmony_header.h"

#include <string.h>

#include "base/utf8.h"

#define NONE ((gptoss_text){NULL, 0})

/* ---- words ----------------------------------------------------------------------------------- */

/* Length of the character of Unicode's White_Space at the start of a text, or 0. */
static size_t space_length(const char *text, size_t length)
{
    int32_t code;
    if (length == 0)
        return 0;
    size_t bytes = utf8_next((const uint8_t *)text, length, &code);
    bool space = (code >= 0x09 && code <= 0x0d) || code == 0x20 || code == 0x85 || code == 0xa0 ||
                 code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
                 code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
    return space ? bytes : 0;
}

static bool is_ascii_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\f' || byte == '\r';
}

static bool begins_with(gptoss_text text, const char *prefix)
{
    size_t length = strlen(prefix);
    return text.length >= length && memcmp(text.data, prefix, length) == 0;
}

/* The word at or after *at, which moves behind it; none at the end. White space in ASCII separates
 * words, and <|constrain|> begins one wherever it stands. */
static gptoss_text next_word(gptoss_text text, size_t *at)
{
    while (*at < text.length && is_ascii_space(text.data[*at]))
        ++*at;
    size_t begin = *at;
    if (begin == text.length)
        return NONE;
    do
        ++*at;
    while (*at < text.length && !is_ascii_space(text.data[*at]) &&
           !begins_with((gptoss_text){text.data + *at, text.length - *at}, HARMONY_CONSTRAIN));
    return (gptoss_text){text.data + begin, *at - begin};
}

static gptoss_text without_spaces_around(gptoss_text text)
{
    size_t space;
    while ((space = space_length(text.data, text.length)) > 0)
        text = (gptoss_text){text.data + space, text.length - space};
    size_t end = 0; /* behind the last character that is no space */
    for (size_t at = 0; at < text.length;) {
        int32_t code;
        space = space_length(text.data + at, text.length - at);
        at +=
            space > 0 ? space : utf8_next((const uint8_t *)text.data + at, text.length - at, &code);
        if (space == 0)
            end = at;
    }
    return (gptoss_text){text.data, end};
}

static gptoss_text without_prefix(gptoss_text word, const char *prefix)
{
    size_t length = begins_with(word, prefix) ? strlen(prefix) : 0;
    return (gptoss_text){word.data + length, word.length - length};
}

/* ---- channels -------------------------------------------------------------------------------- */

/* Cuts the first <|channel|>NAME out; the name ends at white space or '<', and may be empty.
 * Returns the channel, none when there is no marker. */
static gptoss_text cut_channel(gptoss_text *text, arena *memory)
{
    size_t marker = 0;
    while (marker < text->length &&
           !begins_with((gptoss_text){text->data + marker, text->length - marker}, HARMONY_CHANNEL))
        marker++;
    if (marker == text->length)
        return NONE;
    size_t begin = marker + strlen(HARMONY_CHANNEL);
    size_t end = begin;
    while (end < text->length && text->data[end] != '<' &&
           space_length(text->data + end, text->length - end) == 0)
        end++;
    char *left = arena_copy(memory, text->data, marker + text->length - end);
    gptoss_text channel = {text->data + begin, end - begin};
    if (left != NULL) {
        memcpy(left + marker, text->data + end, text->length - end);
        *text = (gptoss_text){left, marker + text->length - end};
    }
    return channel;
}

/* ---- well-formed headers --------------------------------------------------------------------- */

/* The words of a header; the role goes first, then recipient and content type from behind. */
typedef struct word_list {
    gptoss_text *words;
    size_t first;
    size_t end;
} word_list;

static word_list split(gptoss_text text, arena *memory)
{
    word_list list = {NULL, 0, 0};
    for (size_t at = 0; next_word(text, &at).data != NULL;)
        list.end++;
    list.words = arena_take(memory, list.end, sizeof *list.words);
    for (size_t i = 0, at = 0; list.words != NULL && i < list.end; i++)
        list.words[i] = next_word(text, &at);
    return list;
}

static gptoss_status take_role(word_list *list, const gptoss_role *given, harmony_header *out,
                               gptoss_error *error)
{
    if (given != NULL) {
        out->role = *given;
    } else {
        if (list->end == 0)
            return fail(error, GPTOSS_FORMAT, "expected a role in a message's header, found none");
        gptoss_text word = list->words[0];
        bool known = gptoss_role_find(word.data, word.length, &out->role);
        if (!known && list->end == 1 && !begins_with(word, "to="))
            return fail(error, GPTOSS_FORMAT,
                        "expected a role in a message's header, found \"%.*s\"",
                        (int)(word.length < 200 ? word.length : 200), word.data);
        if (!known) {
            out->role = GPTOSS_ROLE_TOOL;
            list->first++;
        }
        if (out->role == GPTOSS_ROLE_TOOL)
            out->name = word;
    }
    if (list->first < list->end && text_is(list->words[list->first], gptoss_role_name(out->role)))
        list->first++;
    return GPTOSS_OK;
}

static void take_recipient_and_type(word_list *list, harmony_header *out)
{
    if (list->first == list->end)
        return;
    gptoss_text last = list->words[--list->end];
    if (begins_with(last, "to=") || list->first == list->end) {
        out->recipient = without_prefix(last, "to=");
        return;
    }
    out->content_type = last;
    out->recipient = without_prefix(list->words[--list->end], "to=");
}

gptoss_status header_parse(gptoss_text text, const gptoss_role *role, arena *memory,
                           harmony_header *out, gptoss_error *error)
{
    *out = (harmony_header){.role = GPTOSS_ROLE_ASSISTANT};
    if (utf8_valid_prefix((const uint8_t *)text.data, text.length) != text.length)
        return fail(error, GPTOSS_FORMAT,
                    "expected a message's header in UTF-8, found other bytes");
    out->channel = cut_channel(&text, memory);
    if (out->channel.data != NULL && out->channel.length == 0)
        return fail(error, GPTOSS_FORMAT, "expected a channel after <|channel|>, found none");
    word_list list = split(without_spaces_around(text), memory);
    if (memory->failed)
        return fail_memory(error, "a header", text.length);
    gptoss_status status = take_role(&list, role, out, error);
    if (status != GPTOSS_OK)
        return status;
    take_recipient_and_type(&list, out);
    if (list.first < list.end)
        return fail(
            error, GPTOSS_FORMAT,
            "expected no more than role, recipient, channel and content type in a "
            "message's header, found \"%.*s\" too",
            (int)(list.words[list.first].length < 200 ? list.words[list.first].length : 200),
            list.words[list.first].data);
    return GPTOSS_OK;
}

/* ---- other headers --------------------------------------------------------------------------- */

/* "user:alice" and the name of a tool, which has a point in it, can stand where a role should.
 * Returns whether the word was understood. */
static bool salvage_role(gptoss_text word, harmony_header *out)
{
    const char *colon = memchr(word.data, ':', word.length);
    size_t before = colon == NULL ? word.length : (size_t)(colon - word.data);
    if (gptoss_role_find(word.data, before, &out->role)) {
        if (colon != NULL)
            out->name = (gptoss_text){colon + 1, word.length - before - 1};
        return true;
    }
    if (memchr(word.data, '.', word.length) == NULL)
        return false;
    out->role = GPTOSS_ROLE_TOOL;
    out->name = word;
    return true;
}

/* Whether a word is a part of the header that has not been found before. */
static bool salvage_word(gptoss_text word, harmony_header *out)
{
    if (begins_with(word, "to=") && out->recipient.data == NULL) {
        out->recipient = without_prefix(word, "to=");
        return true;
    }
    if (begins_with(word, HARMONY_CONSTRAIN) && out->content_type.data == NULL) {
        out->content_type = word;
        return true;
    }
    return false;
}

/* The text as it is, or with U+FFFD for what is no UTF-8. */
static gptoss_text repaired(gptoss_text text, arena *memory)
{
    gptoss_utf8_stream utf8 = {.count = 0};
    if (utf8_valid_prefix((const uint8_t *)text.data, text.length) == text.length)
        return text;
    char *copy = arena_take(memory, GPTOSS_UTF8_ROOM(text.length), 1);
    if (copy == NULL)
        return text;
    size_t length = gptoss_utf8_push(&utf8, text.data, text.length, copy);
    length += gptoss_utf8_end(&utf8, copy + length);
    return (gptoss_text){copy, length};
}

gptoss_status header_salvage(gptoss_text text, const gptoss_role *role, bool closed, arena *memory,
                             harmony_header *out, gptoss_error *error)
{
    *out = (harmony_header){.role = role != NULL ? *role : GPTOSS_ROLE_ASSISTANT};
    text_buffer rest = {0};
    bool first = true;
    text = repaired(text, memory);
    out->channel = cut_channel(&text, memory);
    if (out->channel.length == 0)
        out->channel = NONE;
    for (size_t at = 0; at < text.length;) {
        size_t begin = at;
        gptoss_text word = next_word(text, &at);
        bool understood = false;
        if (word.data != NULL && first)
            understood =
                role != NULL ? text_is(word, gptoss_role_name(*role)) : salvage_role(word, out);
        if (word.data != NULL && !understood && (closed || rest.length == 0))
            understood = salvage_word(word, out);
        if (!understood)
            text_append_bytes(&rest, text.data + begin, at - begin);
        first = false;
    }
    if (rest.length > 0)
        out->rest = (gptoss_text){arena_copy(memory, rest.bytes, rest.length), rest.length};
    bool failed = rest.failed || memory->failed;
    text_free(&rest);
    return failed ? fail_memory(error, "a header", text.length) : GPTOSS_OK;
}

/* ---- headers under way ----------------------------------------------------------------------- */

#define MOST_STRANGE_WORDS 3
#define MOST_STRANGE_BYTES 64  /* of them together: text without spaces is one word */
#define LONGEST_WORD       128 /* that is a recipient or a content type */
#define LONGEST_HEADER     512 /* looked at for every token, so that it must not grow with them */

/* Whether a word has its place in a header, wherever it stands. */
static bool word_belongs(gptoss_text word)
{
    if (word.length > LONGEST_WORD)
        return false;
    return begins_with(word, "to=") || begins_with(word, HARMONY_CONSTRAIN) ||
           memmem(word.data, word.length, HARMONY_CHANNEL, strlen(HARMONY_CHANNEL)) != NULL;
}

bool header_plausible(gptoss_text text, const gptoss_role *role)
{
    size_t strange = 0;
    size_t strange_bytes = 0;
    size_t at = 0;
    if (text.length > LONGEST_HEADER)
        return false;
    gptoss_text word = next_word(text, &at);
    if (word.data != NULL && (role == NULL || text_is(word, gptoss_role_name(*role))))
        word = next_word(text, &at); /* the role, or a tool in its place */
    for (; word.data != NULL; word = next_word(text, &at))
        if (!word_belongs(word)) {
            strange++;
            strange_bytes += word.length;
        }
    return strange <= MOST_STRANGE_WORDS && strange_bytes <= MOST_STRANGE_BYTES;
}
