#include "mutator.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TOKENS 4096
#define MAX_BYTES  ((size_t)1 << 20) /* of a mutated input */

uint64_t dice_roll(dice *rng, uint64_t sides)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15U;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return (z ^ z >> 31) % sides;
}

static void make_room(bytes *out, size_t size)
{
    if (size <= out->room && out->data != NULL)
        return;
    out->room = 2 * size + 64;
    uint8_t *data = realloc(out->data, out->room);
    if (data == NULL)
        abort();
    out->data = data;
}

void bytes_set(bytes *out, const uint8_t *data, size_t size)
{
    make_room(out, size);
    if (size > 0)
        memcpy(out->data, data, size);
    out->size = size;
}

/* Puts `count` bytes, which are not in *text, in the place of [begin, end). */
static void replace(bytes *text, size_t begin, size_t end, const void *with, size_t count)
{
    size_t size = text->size - (end - begin) + count;
    if (size > MAX_BYTES)
        return;
    make_room(text, size);
    memmove(text->data + begin + count, text->data + end, text->size - end);
    if (count > 0)
        memcpy(text->data + begin, with, count);
    text->size = size;
}

/* Puts a copy of [from, from + count) of the text itself in the place of [begin, end). */
static void replace_by_own(bytes *text, size_t begin, size_t end, size_t from, size_t count)
{
    uint8_t *copy = malloc(count + 1);
    if (copy == NULL)
        abort();
    memcpy(copy, text->data + from, count);
    replace(text, begin, end, copy, count);
    free(copy);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

typedef enum token_kind { PUNCTUATION, STRING, NUMBER, WORD } token_kind;

typedef struct token {
    size_t begin;
    size_t end;
    token_kind kind;
} token;

typedef struct token_list {
    token tokens[MAX_TOKENS];
    size_t count;
} token_list;

static size_t string_end(const bytes *text, size_t at)
{
    for (at++; at < text->size && text->data[at] != '"'; at++)
        if (text->data[at] == '\\')
            at++;
    return at < text->size ? at + 1 : text->size;
}

static token next_token(const bytes *text, size_t begin)
{
    uint8_t first = text->data[begin];
    if (first == '"')
        return (token){begin, string_end(text, begin), STRING};
    size_t end = begin;
    while (end < text->size && (isalnum(text->data[end]) || strchr("+-._", text->data[end])) &&
           text->data[end] != 0)
        end++;
    if (end == begin)
        return (token){begin, begin + 1, PUNCTUATION};
    return (token){begin, end, isdigit(first) || first == '-' ? NUMBER : WORD};
}

/* Splits the text roughly; the part beyond MAX_TOKENS is left alone. A random start lets long texts
 * be changed everywhere. */
static const token_list *tokenize(dice *rng, const bytes *text)
{
    static token_list list;
    list.count = 0;
    size_t at = text->size > 16384 ? dice_roll(rng, text->size) : 0;
    while (at < text->size && list.count < MAX_TOKENS) {
        if (isspace(text->data[at])) {
            at++;
            continue;
        }
        list.tokens[list.count] = next_token(text, at);
        at = list.tokens[list.count++].end;
    }
    return &list;
}

static uint8_t byte_at(const bytes *text, const token *place)
{
    return text->data[place->begin];
}

/* A random token of a kind; NULL when a few tries do not find one. */
static const token *pick(dice *rng, const token_list *list, token_kind kind)
{
    for (int i = 0; i < 64 && list->count > 0; i++) {
        const token *found = &list->tokens[dice_roll(rng, list->count)];
        if (found->kind == kind)
            return found;
    }
    return NULL;
}

static bool opens(uint8_t byte)
{
    return byte == '{' || byte == '[';
}

static bool closes(uint8_t byte)
{
    return byte == '}' || byte == ']';
}

/* The end of the member or element that begins at tokens[i]: the comma or bracket behind it. */
static size_t item_end(const bytes *text, const token_list *list, size_t i)
{
    int depth = 0;
    for (; i < list->count; i++) {
        uint8_t byte = byte_at(text, &list->tokens[i]);
        if (depth == 0 && (byte == ',' || closes(byte)))
            break;
        depth += opens(byte) - closes(byte);
    }
    return i;
}

/* A random member or element: [*begin, *end) in bytes, *comma whether a comma follows. */
static bool pick_item(dice *rng, const bytes *text, const token_list *list, size_t *begin,
                      size_t *end, bool *comma)
{
    for (int tries = 0; tries < 64 && list->count > 1; tries++) {
        size_t i = 1 + dice_roll(rng, list->count - 1);
        uint8_t before = byte_at(text, &list->tokens[i - 1]);
        if (before != ',' && !opens(before))
            continue;
        size_t last = item_end(text, list, i);
        if (last == i || last == list->count)
            continue;
        *begin = list->tokens[i].begin;
        *end = list->tokens[last].begin;
        *comma = byte_at(text, &list->tokens[last]) == ',';
        return true;
    }
    return false;
}

static void change_number(dice *rng, const token_list *list, bytes *text)
{
    static const char *const numbers[] = {"0",
                                          "-0",
                                          "1",
                                          "-1",
                                          "2",
                                          "3",
                                          "16",
                                          "0.5",
                                          "1e-5",
                                          "1e9",
                                          "1e308",
                                          "1e400",
                                          "-1e400",
                                          "255",
                                          "256",
                                          "65536",
                                          "2147483647",
                                          "2147483648",
                                          "4294967295",
                                          "4294967296",
                                          "9007199254740991",
                                          "9007199254740992",
                                          "9007199254740993",
                                          "9223372036854775807",
                                          "18446744073709551615",
                                          "18446744073709551616",
                                          "99999999999999999999999999999999999999999999999999",
                                          "01",
                                          "1.",
                                          "--1",
                                          "1e",
                                          "NaN",
                                          "Infinity"};
    const token *number = pick(rng, list, NUMBER);
    const token *other = pick(rng, list, NUMBER);
    if (number == NULL || other == NULL)
        return;
    char changed[32];
    const char *with = numbers[dice_roll(rng, sizeof numbers / sizeof *numbers)];
    switch (dice_roll(rng, 3)) {
    case 0:
        replace_by_own(text, number->begin, number->end, other->begin, other->end - other->begin);
        return;
    case 1: {
        char old[32] = "";
        size_t length = number->end - number->begin;
        memcpy(old, text->data + number->begin, length < 31 ? length : 31);
        long long value = strtoll(old, NULL, 10);
        long long step = (long long)dice_roll(rng, 5) - 2;
        if (value > -(1LL << 60) && value < 1LL << 60)
            value = dice_roll(rng, 4) == 0 ? value * 2 : value + step;
        snprintf(changed, sizeof changed, "%lld", value);
        with = changed;
        break;
    }
    default:
        break;
    }
    replace(text, number->begin, number->end, with, strlen(with));
}

/* Puts something of another kind, or another string of the text, in the place of a string or word;
 * names of members are strings too. */
static void change_value(dice *rng, const token_list *list, bytes *text)
{
    static const char *const values[] = {"null",
                                         "true",
                                         "false",
                                         "\"\"",
                                         "[]",
                                         "{}",
                                         "[[]]",
                                         "[{}]",
                                         "[null]",
                                         "{\"a\":1}",
                                         "-1",
                                         "0",
                                         "1.5",
                                         "\"\\u0000\"",
                                         "\"\\ud800\"",
                                         "\"\xff\"",
                                         "\"a/b\"",
                                         "\"../x\"",
                                         "\"F4\"",
                                         "\"BF16\"",
                                         "\"F64\"",
                                         "\"dtype\"",
                                         "\"shape\"",
                                         "\"yarn\"",
                                         "\"default\"",
                                         "\"linear\"",
                                         "\"gpt_oss\"",
                                         "\"__metadata__\"",
                                         "\"\\n\\t\\\"\"",
                                         "\"\xe2\x82\xac\""};
    const token *value = pick(rng, list, dice_roll(rng, 4) == 0 ? WORD : STRING);
    const token *other = pick(rng, list, STRING);
    if (value == NULL || other == NULL)
        return;
    const char *with = values[dice_roll(rng, sizeof values / sizeof *values)];
    if (dice_roll(rng, 2) == 0)
        replace(text, value->begin, value->end, with, strlen(with));
    else
        replace_by_own(text, value->begin, value->end, other->begin, other->end - other->begin);
}

static void change_item(dice *rng, const token_list *list, bytes *text)
{
    size_t begin;
    size_t end;
    size_t other;
    size_t other_end;
    bool comma;
    if (!pick_item(rng, text, list, &begin, &end, &comma))
        return;
    switch (dice_roll(rng, 4)) {
    case 0: /* delete it */
        replace(text, begin, end + comma, "", 0);
        break;
    case 1: /* repeat it */
        replace(text, end, end, ",", 1);
        replace_by_own(text, end + 1, end + 1, begin, end - begin);
        break;
    case 2: /* another one in its place */
        if (pick_item(rng, text, list, &other, &other_end, &comma))
            replace_by_own(text, begin, end, other, other_end - other);
        break;
    default: /* many brackets around it */
        for (uint64_t i = dice_roll(rng, 400); i > 0; i--) {
            replace(text, end, end, "]", 1);
            replace(text, begin, begin, "[", 1);
            end++;
        }
        break;
    }
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void change_bytes(dice *rng, const seed_list *seeds, bytes *text)
{
    size_t at = dice_roll(rng, text->size + 1);
    size_t span = dice_roll(rng, text->size - at + 1);
    if (dice_roll(rng, 2) == 0 && span > 8)
        span = dice_roll(rng, 8);
    switch (dice_roll(rng, 6)) {
    case 0:
        if (at < text->size)
            text->data[at] ^= (uint8_t)(1U << dice_roll(rng, 8));
        break;
    case 1: {
        uint8_t byte = (uint8_t)dice_roll(rng, 256);
        replace(text, at, at, &byte, 1);
        break;
    }
    case 2:
        replace(text, at, at + span, "", 0);
        break;
    case 3:
        replace_by_own(text, at, at, at, span);
        break;
    case 4:
        text->size = at;
        break;
    default: {
        const seed *other = &seeds->seeds[dice_roll(rng, seeds->count)];
        size_t from = dice_roll(rng, other->size + 1);
        replace(text, at, at + span, other->data + from, dice_roll(rng, other->size - from + 1));
        break;
    }
    }
}

void mutate_text(dice *rng, const seed_list *seeds, bytes *text)
{
    uint64_t most = 1 + dice_roll(rng, 4);
    for (uint64_t changes = 1 + dice_roll(rng, most); changes > 0; changes--) {
        const token_list *list = tokenize(rng, text);
        switch (dice_roll(rng, 8)) {
        case 0:
        case 1:
        case 2:
            change_number(rng, list, text);
            break;
        case 3:
        case 4:
            change_value(rng, list, text);
            break;
        case 5:
        case 6:
            change_item(rng, list, text);
            break;
        default:
            change_bytes(rng, seeds, text);
            break;
        }
    }
}

/* ---- safetensors ----------------------------------------------------------------------------- */

static uint64_t read_length(const bytes *file)
{
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | file->data[i];
    return length;
}

static void write_length(bytes *file, uint64_t length)
{
    for (int i = 0; i < 8; i++)
        file->data[i] = (uint8_t)(length >> (8 * i));
}

/* Any length, or one of those near a bound. */
static uint64_t odd_length(dice *rng, uint64_t length, size_t size)
{
    const uint64_t lengths[] = {0,
                                1,
                                size - 8,
                                size - 7,
                                size,
                                100U << 20,
                                (100U << 20) + 1,
                                UINT32_MAX,
                                UINT64_MAX,
                                UINT64_MAX - 7,
                                length + 1,
                                length - 1,
                                dice_roll(rng, UINT64_MAX)};
    return lengths[dice_roll(rng, sizeof lengths / sizeof *lengths)];
}

void mutate_safetensors(dice *rng, const seed_list *seeds, bytes *file)
{
    static bytes header;
    uint64_t length = file->size >= 8 ? read_length(file) : UINT64_MAX;
    if (file->size < 8 || length > file->size - 8 || dice_roll(rng, 16) == 0) {
        change_bytes(rng, seeds, file);
        return;
    }
    if (dice_roll(rng, 8) != 0) {
        bytes_set(&header, file->data + 8, length);
        mutate_text(rng, seeds, &header);
        replace(file, 8, 8 + length, header.data, header.size);
        length = header.size;
        write_length(file, length);
    }
    if (dice_roll(rng, 8) == 0)
        write_length(file, odd_length(rng, length, file->size));
    if (dice_roll(rng, 8) == 0)
        file->size = dice_roll(rng, file->size + 1);
    if (dice_roll(rng, 8) == 0)
        replace(file, file->size, file->size, seeds->seeds[0].data, dice_roll(rng, 2));
}
