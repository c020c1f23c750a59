#include "base/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/map.h"
#include "base/memory.h"

/*
 * The text is checked completely before cJSON sees it: cJSON takes bytes that are not UTF-8, cuts
 * strings at a zero character, has no bound on memory, and releases before 1.7.18 read past a text
 * that ends inside an object.
 */
typedef struct scanner {
    const unsigned char *text;
    size_t length;
    size_t at;
    size_t values;
    const char *fault; /* what was expected or found at `at`, once something is wrong */
} scanner;

/* Notes the first fault. Always false. */
static bool fault(scanner *in, const char *sentence)
{
    in->fault = sentence;
    return false;
}

/* The next byte, or 0 (which is never valid outside a string) at the end. */
static unsigned char peek(const scanner *in)
{
    return in->at < in->length ? in->text[in->at] : 0;
}

static bool accept(scanner *in, unsigned char byte)
{
    if (in->at == in->length || in->text[in->at] != byte)
        return false;
    in->at++;
    return true;
}

static void skip_space(scanner *in)
{
    while (peek(in) == ' ' || peek(in) == '\n' || peek(in) == '\r' || peek(in) == '\t')
        in->at++;
}

static bool is_digit(unsigned char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool skip_digits(scanner *in)
{
    if (!is_digit(peek(in)))
        return fault(in, "a digit is expected");
    while (is_digit(peek(in)))
        in->at++;
    return true;
}

static bool scan_number(scanner *in)
{
    size_t start = in->at;
    accept(in, '-');
    if (!accept(in, '0') && !skip_digits(in))
        return false;
    if (accept(in, '.') && !skip_digits(in))
        return false;
    if (accept(in, 'e') || accept(in, 'E')) {
        if (!accept(in, '+'))
            accept(in, '-');
        if (!skip_digits(in))
            return false;
    }
    if (in->at - start > JSON_MAX_NUMBER)
        return fault(in, "a number of more than 63 characters ends");
    return true;
}

static bool scan_word(scanner *in, const char *word)
{
    size_t length = strlen(word);
    if (in->length - in->at < length || memcmp(in->text + in->at, word, length) != 0)
        return fault(in, "a value is expected");
    in->at += length;
    return true;
}

/* The number behind "\u"; negative when the four digits are not all there. */
static int hex4(scanner *in)
{
    int value = 0;
    for (int i = 0; i < 4; i++, in->at++) {
        unsigned char byte = peek(in);
        if (is_digit(byte))
            value = value * 16 + (byte - '0');
        else if ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f')
            value = value * 16 + ((byte | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return value;
}

static bool scan_escape(scanner *in)
{
    unsigned char kind = peek(in);
    if (kind == 0 || strchr("\"\\/bfnrtu", kind) == NULL)
        return fault(in, "an unknown escape stands");
    in->at++;
    if (kind != 'u')
        return true;
    int unit = hex4(in);
    if (unit < 0)
        return fault(in, "a hexadecimal digit is expected");
    if (unit == 0)
        return fault(in, "a string holds the character U+0000, which is not supported,");
    if (unit < 0xd800 || unit > 0xdfff)
        return true;
    bool high = unit <= 0xdbff;
    int low = high && accept(in, '\\') && accept(in, 'u') ? hex4(in) : -1;
    if (low < 0xdc00 || low > 0xdfff)
        return fault(in, "half of a surrogate pair stands");
    return true;
}

/* One character of two to four bytes: no overlong form, no surrogate, nothing above U+10FFFF. */
static bool scan_utf8(scanner *in)
{
    unsigned char lead = in->text[in->at];
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    int more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if (lead < 0xc2 || lead > 0xf4)
        return fault(in, "a byte that is not UTF-8 stands");
    if (lead == 0xe0)
        low = 0xa0;
    else if (lead == 0xed)
        high = 0x9f;
    else if (lead == 0xf0)
        low = 0x90;
    else if (lead == 0xf4)
        high = 0x8f;
    in->at++;
    for (; more > 0; more--, in->at++) {
        if (in->at == in->length || peek(in) < low || peek(in) > high)
            return fault(in, "a character of UTF-8 is cut short");
        low = 0x80;
        high = 0xbf;
    }
    return true;
}

static bool scan_string(scanner *in)
{
    if (!accept(in, '"'))
        return fault(in, "a string is expected");
    while (in->at < in->length) {
        unsigned char byte = in->text[in->at];
        if (byte == '"') {
            in->at++;
            return true;
        }
        if (byte < 0x20)
            return fault(in, "a control character stands in a string");
        if (byte >= 0x80) {
            if (!scan_utf8(in))
                return false;
            continue;
        }
        in->at++;
        if (byte == '\\' && !scan_escape(in))
            return false;
    }
    return fault(in, "the text ends inside a string");
}

static bool scan_scalar(scanner *in)
{
    switch (peek(in)) {
    case '"':
        return scan_string(in);
    case 't':
        return scan_word(in, "true");
    case 'f':
        return scan_word(in, "false");
    case 'n':
        return scan_word(in, "null");
    default:
        if (peek(in) == '-' || is_digit(peek(in)))
            return scan_number(in);
        return fault(in, in->at == in->length ? "the text ends" : "a value is expected");
    }
}

/* A member's name and colon. */
static bool scan_name(scanner *in)
{
    skip_space(in);
    if (!scan_string(in))
        return false;
    skip_space(in);
    if (!accept(in, ':'))
        return fault(in, "':' is expected");
    return true;
}

/*
 * One value with all that is inside. `closers` is the stack of brackets that are open, by the
 * character that ends them; each turn of the loop reads one value's beginning and then as many
 * endings as follow it.
 */
static bool scan_value(scanner *in)
{
    char closers[JSON_MAX_DEPTH];
    size_t depth = 0;
    do {
        skip_space(in);
        if (++in->values > JSON_MAX_VALUES)
            return fault(in, "more than 4000000 values stand");
        bool object = peek(in) == '{';
        if (object || peek(in) == '[') {
            if (depth == JSON_MAX_DEPTH)
                return fault(in, "more than 256 levels of brackets are open");
            in->at++;
            skip_space(in);
            closers[depth++] = object ? '}' : ']';
            if (peek(in) != (unsigned char)closers[depth - 1]) {
                if (object && !scan_name(in))
                    return false;
                continue;
            }
        } else if (!scan_scalar(in)) {
            return false;
        }
        for (skip_space(in); depth > 0; skip_space(in)) {
            if (accept(in, ',')) {
                if (closers[depth - 1] == '}' && !scan_name(in))
                    return false;
                break;
            }
            if (!accept(in, (unsigned char)closers[depth - 1]))
                return fault(in, closers[depth - 1] == '}' ? "',' or '}' is expected"
                                                           : "',' or ']' is expected");
            depth--;
        }
    } while (depth > 0);
    return true;
}

/* White space, one value, white space. */
static bool scan_document(scanner *in)
{
    if (!scan_value(in))
        return false;
    if (in->at < in->length)
        return fault(in, "something follows the value");
    return true;
}

gptoss_status json_parse(const char *text, size_t length, const char *what, json_value **out,
                         gptoss_error *error)
{
    *out = NULL;
    scanner in = {.text = (const unsigned char *)text, .length = length};
    if (!scan_document(&in))
        return fail(error, GPTOSS_FORMAT, "%s is not valid JSON: %s at byte %zu of %zu", what,
                    in.fault, in.at, length);
    size_t bytes = in.values * (sizeof(json_value) + 2 * sizeof(void *));
    if (memory_suffices(bytes))
        *out = cJSON_ParseWithLength(text, length);
    if (*out == NULL)
        return fail_memory(error, what, bytes);
    return GPTOSS_OK;
}

gptoss_status json_parse_file(const char *path, json_value **out, gptoss_error *error)
{
    *out = NULL;
    file_map map = {0};
    gptoss_status status = file_map_read(path, JSON_MAX_FILE, &map, error);
    if (status != GPTOSS_OK)
        return status;
    status = json_parse((const char *)map.data, map.size, path, out, error);
    file_map_close(&map);
    return status;
}

/* The next number at or after `at` in valid JSON. */
static const char *next_number(const char *at)
{
    for (; *at != '-' && !is_digit((unsigned char)*at); at++)
        if (*at == '"')
            for (at++; *at != '"'; at++)
                at += *at == '\\';
    return at;
}

/* Goes through a value in the order of the text and gives each number its spelling; cJSON frees the
 * string of any value. */
static bool keep_numbers(json_value *value, const char **at)
{
    if (cJSON_IsNumber(value)) {
        *at = next_number(*at);
        size_t length = strspn(*at, "+-.0123456789Ee");
        value->valuestring = cJSON_malloc(length + 1);
        if (value->valuestring == NULL)
            return false;
        memcpy(value->valuestring, *at, length);
        value->valuestring[length] = '\0';
        *at += length;
    }
    for (json_value *child = value->child; child != NULL; child = child->next)
        if (!keep_numbers(child, at))
            return false;
    return true;
}

gptoss_status json_keep_numbers(json_value *document, const char *text, gptoss_error *error)
{
    if (!keep_numbers(document, &text))
        return fail_memory(error, "a number in JSON", JSON_MAX_NUMBER);
    return GPTOSS_OK;
}

const char *json_number_text(const json_value *value)
{
    return value->valuestring;
}

void json_free(json_value *document)
{
    cJSON_Delete(document);
}

const json_value *json_first(const json_value *container)
{
    return container->child;
}

const json_value *json_next(const json_value *value)
{
    return value->next;
}

const char *json_name(const json_value *member)
{
    return member->string;
}

const json_value *json_member(const json_value *object, const char *name)
{
    if (!json_is_object(object))
        return NULL;
    const json_value *found = NULL;
    for (const json_value *member = object->child; member != NULL; member = member->next)
        if (strcmp(member->string, name) == 0)
            found = member;
    return found;
}

bool json_is_object(const json_value *value)
{
    return cJSON_IsObject(value);
}

bool json_is_array(const json_value *value)
{
    return cJSON_IsArray(value);
}

bool json_is_string(const json_value *value)
{
    return cJSON_IsString(value);
}

bool json_is_number(const json_value *value)
{
    return cJSON_IsNumber(value);
}

bool json_is_bool(const json_value *value)
{
    return cJSON_IsBool(value);
}

bool json_is_null(const json_value *value)
{
    return cJSON_IsNull(value);
}

size_t json_count(const json_value *container)
{
    size_t count = 0;
    for (const json_value *value = container->child; value != NULL; value = value->next)
        count++;
    return count;
}

const char *json_string(const json_value *value)
{
    return value->valuestring;
}

double json_number(const json_value *value)
{
    return value->valuedouble;
}

bool json_bool(const json_value *value)
{
    return cJSON_IsTrue(value);
}

bool json_u64(const json_value *value, uint64_t *out)
{
    if (!json_is_number(value))
        return false;
    double number = value->valuedouble;
    if (!(number >= 0.0 && number < 0x1p53) || number != (double)(uint64_t)number)
        return false;
    *out = (uint64_t)number;
    return true;
}
