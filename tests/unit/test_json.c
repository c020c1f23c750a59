/* base/json: what is accepted, and the sentence for each thing that is not. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "check.h"

static const char *const accepted[] = {
    "{}",
    "[]",
    " \t\r\n 0 \n",
    "-0.5e+10",
    "true",
    "\"\"",
    "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
    "\"\\ud83d\\ude00 \xf0\x9f\x98\x80 \xc2\x80 \xe0\xa0\x80 \xed\x9f\xbf \xf4\x8f\xbf\xbf\"",
    "{\"a\": [1, 2, {\"b\": null}], \"c\": false}",
    "[[], {}, [[]], [{}]]",
    "123456789012345678901234567890123456789012345678901234567890123",
};

static const struct {
    const char *text;
    const char *sentence;
} refused[] = {
    {"", "T is not valid JSON: the text ends at byte 0 of 0"},
    {"  ", "the text ends at byte 2 of 2"},
    {"{", "a string is expected at byte 1 of 1"},
    {"{\"1\":1,", "a string is expected at byte 7 of 7"},
    {"{\"a\" 1}", "':' is expected at byte 5 of 7"},
    {"{\"a\":1 \"b\":2}", "',' or '}' is expected at byte 7 of 13"},
    {"{\"a\":1,}", "a string is expected at byte 7 of 8"},
    {"[1 2]", "',' or ']' is expected at byte 3 of 5"},
    {"[1,]", "a value is expected at byte 3 of 4"},
    {"[1}", "',' or ']' is expected at byte 2 of 3"},
    {"{} {}", "something follows the value at byte 3 of 5"},
    {"nul", "a value is expected at byte 0 of 3"},
    {"NaN", "a value is expected at byte 0 of 3"},
    {"01", "something follows the value at byte 1 of 2"},
    {"1.", "a digit is expected at byte 2 of 2"},
    {"-", "a digit is expected at byte 1 of 1"},
    {"1e", "a digit is expected at byte 2 of 2"},
    {"+1", "a value is expected at byte 0 of 2"},
    {"1234567890123456789012345678901234567890123456789012345678901234",
     "a number of more than 63 characters ends at byte 64 of 64"},
    {"\"abc", "the text ends inside a string at byte 4 of 4"},
    {"\"a\\", "an unknown escape stands at byte 3 of 3"},
    {"\"\\x\"", "an unknown escape stands at byte 2 of 4"},
    {"\"\\u12g4\"", "a hexadecimal digit is expected at byte 5 of 8"},
    {"\"\\u0000\"", "a string holds the character U+0000, which is not supported, at byte 7 of 8"},
    {"\"\\ud800\"", "half of a surrogate pair stands at byte 7 of 8"},
    {"\"\\udc00\"", "half of a surrogate pair stands"},
    {"\"\\ud800\\u0041\"", "half of a surrogate pair stands"},
    {"\"\n\"", "a control character stands in a string at byte 1 of 3"},
    {"\"\x80\"", "a byte that is not UTF-8 stands at byte 1 of 3"},
    {"\"\xc1\x81\"", "a byte that is not UTF-8 stands"},
    {"\"\xe0\x9f\xbf\"", "a character of UTF-8 is cut short"},
    {"\"\xed\xa0\x80\"", "a character of UTF-8 is cut short"},
    {"\"\xf4\x90\x80\x80\"", "a character of UTF-8 is cut short"},
    {"\"\xe4\xb8", "a character of UTF-8 is cut short at byte 3 of 3"},
    {"\xef\xbb\xbf{}", "a value is expected at byte 0 of 5"},
};

static void test_grammar(void)
{
    gptoss_error error;
    json_value *document;
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) {
        gptoss_status status = json_parse(accepted[i], strlen(accepted[i]), "T", &document, &error);
        CHECK(status == GPTOSS_OK, "%s: %s", accepted[i], error.message);
        json_free(document);
    }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        /* An exact heap block: the sanitizer sees a read past the end. */
        size_t length = strlen(refused[i].text);
        char *text = malloc(length + (length == 0));
        if (text == NULL)
            abort();
        memcpy(text, refused[i].text, length);
        gptoss_status status = json_parse(text, length, "T", &document, &error);
        CHECK(status == GPTOSS_FORMAT && document == NULL, "%s", refused[i].text);
        CHECK(strstr(error.message, refused[i].sentence) != NULL, "%s: %s", refused[i].text,
              error.message);
        free(text);
    }
    CHECK(json_parse("1\0", 2, "T", &document, NULL) == GPTOSS_FORMAT, "a zero byte");
}

/* `depth` brackets around nothing. */
static gptoss_status parse_nested(size_t depth, gptoss_error *error)
{
    char text[2 * (JSON_MAX_DEPTH + 1)];
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    json_value *document;
    gptoss_status status = json_parse(text, 2 * depth, "T", &document, error);
    json_free(document);
    return status;
}

static void test_bounds(void)
{
    gptoss_error error;
    json_value *document;
    CHECK(parse_nested(JSON_MAX_DEPTH, &error) == GPTOSS_OK, "%s", error.message);
    CHECK(parse_nested(JSON_MAX_DEPTH + 1, &error) == GPTOSS_FORMAT, "one level too many");
    CHECK(strstr(error.message, "more than 256 levels") != NULL, "%s", error.message);

    size_t length = 2 * (size_t)JSON_MAX_VALUES + 1;
    char *text = malloc(length);
    if (text == NULL)
        abort();
    memset(text, '1', length);
    for (size_t i = 0; i < length; i += 2)
        text[i] = ',';
    text[0] = '[';
    text[length - 1] = ']';
    CHECK(json_parse(text, length, "T", &document, &error) == GPTOSS_FORMAT, "too many values");
    CHECK(strstr(error.message, "more than 4000000 values") != NULL, "%s", error.message);
    free(text);
}

static void test_access(void)
{
    static const char text[] = "{\"a\": 1, \"b\": [2.5, \"\xc3\xa9\", true, null], \"a\": 3}";
    json_value *document;
    CHECK(json_parse(text, sizeof text - 1, "T", &document, NULL) == GPTOSS_OK, "parse");
    CHECK(json_count(document) == 3, "%zu members", json_count(document));
    uint64_t number = 0;
    CHECK(json_u64(json_member(document, "a"), &number) && number == 3, "the last one counts");
    CHECK(json_member(document, "c") == NULL, "absent");
    CHECK(json_member(NULL, "a") == NULL, "no object");
    CHECK(!json_is_null(NULL) && !json_is_number(NULL) && !json_is_string(NULL), "nothing");
    const json_value *b = json_member(document, "b");
    CHECK(json_is_array(b) && !json_is_object(b) && strcmp(json_name(b), "b") == 0, "b");
    CHECK(json_member(b, "a") == NULL, "an array has no members");
    const json_value *element = json_first(b);
    CHECK(json_is_number(element) && json_number(element) == 2.5, "2.5");
    element = json_next(element);
    CHECK(json_is_string(element) && strcmp(json_string(element), "\xc3\xa9") == 0, "string");
    element = json_next(element);
    CHECK(json_is_bool(element) && json_bool(element), "true");
    element = json_next(element);
    CHECK(json_is_null(element) && json_next(element) == NULL, "null");
    json_free(document);
    json_free(NULL);
}

static void test_whole_numbers(void)
{
    static const struct {
        const char *text;
        bool whole;
        uint64_t number;
    } cases[] = {
        {"0", true, 0},
        {"32.0", true, 32},
        {"1e3", true, 1000},
        {"9007199254740991", true, 9007199254740991U},
        {"9007199254740992", false, 0},
        {"9007199254740993", false, 0},
        {"-1", false, 0},
        {"0.5", false, 0},
        {"1e400", false, 0},
        {"\"1\"", false, 0},
        {"true", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_value *document;
        uint64_t number = 0;
        CHECK(json_parse(cases[i].text, strlen(cases[i].text), "T", &document, NULL) == GPTOSS_OK,
              "%s", cases[i].text);
        CHECK(json_u64(document, &number) == cases[i].whole && number == cases[i].number,
              "%s became %ju", cases[i].text, (uintmax_t)number);
        json_free(document);
    }
}

int main(void)
{
    test_grammar();
    test_bounds();
    test_access();
    test_whole_numbers();
    return test_result();
}
