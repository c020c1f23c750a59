/* The reader that builds no tree: what it accepts, what it refuses, and where it says so. */
#include "base/json_pull.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

static gptoss_status skip_all(const char *text, size_t length, gptoss_error *error)
{
    char *copy = malloc(length == 0 ? 1 : length); /* exact, so that a sanitizer sees every slip */
    memcpy(copy, text, length);
    json_pull reader;
    pull_open(&reader, copy, length, "text", error);
    if (pull_skip(&reader))
        pull_end(&reader);
    pull_close(&reader);
    free(copy);
    return reader.status;
}

static void check_grammar(void)
{
    static const char *const good[] = {
        "0",
        "-0",
        "1.5e+10",
        "2E-3",
        "\"\"",
        "\"\\u0000\\ud83d\\ude00\"",
        "true",
        "false",
        "null",
        "[]",
        "{}",
        " [1 , 2 ] ",
        "{\"a\":{\"b\":[]},\"c\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}",
        "\t\r\n [[],{}] ",
        "\"\u00e9\U0001f600\"",
    };
    static const struct {
        const char *text;
        const char *message;
    } bad[] = {
        {"", "text: byte 0: expected a value, found the end of the text"},
        {"[1 2]", "text: byte 3: expected ',' or ']', found '2'"},
        {"[1,]", "text: byte 3: expected a value, found ']'"},
        {"[", "text: byte 1: expected a value, found the end of the text"},
        {"{\"a\" 1}", "text: byte 5: expected ':', found '1'"},
        {"{\"a\":1,}", "text: byte 7: expected a string, found '}'"},
        {"{a:1}", "text: byte 1: expected a string, found 'a'"},
        {"{1:1}", "text: byte 1: expected a string, found '1'"},
        {"\"abc", "text: byte 4: expected the end of a string, found the end of the text"},
        {"\"a\nb\"", "text: byte 2: expected the end of a string, found the byte 0x0a"},
        {"\"\\x\"", "text: byte 2: expected an escape, found 'x'"},
        {"\"\\", "text: byte 2: expected an escape, found the end of the text"},
        {"\"\\u12g4\"", "text: byte 5: expected a hexadecimal digit, found 'g'"},
        {"\"\\ud800\"", "text: byte 7: a surrogate escape without its other half"},
        {"\"\\ud800\\u0041\"", "text: byte 13: a surrogate escape without its other half"},
        {"\"\\udc00\\ud800\"", "text: byte 7: a surrogate escape without its other half"},
        {"\"\xff\"", "text: byte 1: a string is not well-formed UTF-8"},
        {"\"\xc3\"", "text: byte 1: a string is not well-formed UTF-8"},
        {"01", "text: byte 1: expected the end of the text, found '1'"},
        {"1.", "text: byte 2: expected a digit, found the end of the text"},
        {"1e", "text: byte 2: expected a digit, found the end of the text"},
        {"-", "text: byte 1: expected a digit, found the end of the text"},
        {"+1", "text: byte 0: expected a value, found '+'"},
        {"nul", "text: byte 0: expected null, found 'n'"},
        {"tru", "text: byte 0: expected true or false, found 't'"},
        {"1 x", "text: byte 2: expected the end of the text, found 'x'"},
        {"\xef\xbb\xbf{}", "text: byte 0: expected a value, found the byte 0xef"},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        gptoss_error error = {.message = ""};
        CHECK(skip_all(good[i], strlen(good[i]), &error) == GPTOSS_OK, "%s: %s", good[i],
              error.message);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        gptoss_error error = {.message = ""};
        CHECK(skip_all(bad[i].text, strlen(bad[i].text), &error) == GPTOSS_FORMAT, "%s",
              bad[i].text);
        CHECK(strcmp(error.message, bad[i].message) == 0, "%s: '%s'", bad[i].text, error.message);
    }
    CHECK(skip_all("[1\0]", 4, NULL) == GPTOSS_FORMAT, "a zero byte is no white space");
}

static void check_depth(void)
{
    char text[200];
    memset(text, '[', sizeof text);
    gptoss_error error = {.message = ""};
    CHECK(skip_all(text, sizeof text, &error) == GPTOSS_LIMIT, "%s", error.message);
    for (size_t depth = JSON_PULL_MAX_DEPTH; depth <= JSON_PULL_MAX_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        CHECK((skip_all(text, 2 * depth, NULL) == GPTOSS_OK) == (depth <= JSON_PULL_MAX_DEPTH),
              "depth %zu", depth);
    }
}

static void check_values(void)
{
    static const char text[] = "{\"plain\": \"caf\u00e9\", \"esc\\u0061ped\": \"a\\u0000\\ud83d"
                               "\\ude00z\", \"n\": 42, \"flag\": true, \"list\": [7, 8]}";
    json_pull reader;
    byte_span name;
    byte_span value;
    uint64_t number;
    bool flag;
    pull_open(&reader, text, strlen(text), "text", NULL);
    CHECK(pull_peek(&reader) == JSON_OBJECT && pull_object(&reader), "object");
    CHECK(pull_member(&reader, &name) && byte_span_is(name, "plain"), "first name");
    CHECK(pull_string(&reader, &value) && byte_span_is(value, "caf\u00e9"), "first value");
    CHECK(pull_member(&reader, &name) && byte_span_is(name, "escaped"), "second name");
    CHECK(pull_string(&reader, &value) && value.length == 7 &&
              memcmp(value.data, "a\0\xf0\x9f\x98\x80z", 7) == 0,
          "second value");
    const char *mark = NULL;
    CHECK(pull_member(&reader, &name) && (mark = pull_mark(&reader)) != NULL, "third name");
    CHECK(pull_u64(&reader, 42, &number) && number == 42, "%llu", (unsigned long long)number);
    CHECK(pull_member(&reader, &name) && pull_bool(&reader, &flag) && flag, "fourth");
    const char *here = pull_mark(&reader);
    pull_seek(&reader, mark);
    CHECK(pull_u64(&reader, 50, &number) && number == 42, "the third again");
    pull_seek(&reader, here);
    CHECK(pull_member(&reader, &name) && pull_array(&reader), "list");
    CHECK(pull_element(&reader) && pull_u64(&reader, 9, &number) && number == 7, "7");
    CHECK(pull_element(&reader) && pull_u64(&reader, 9, &number) && number == 8, "8");
    CHECK(!pull_element(&reader) && !pull_member(&reader, &name) && pull_end(&reader), "the end");
    pull_close(&reader);
}

static void check_numbers(void)
{
    static const struct {
        const char *text;
        uint64_t max;
        bool good;
    } cases[] = {
        {"0", 0, true},
        {"1", 0, false},
        {"-1", 10, false},
        {"1.0", 10, false},
        {"1e1", 10, false},
        {"18446744073709551615", UINT64_MAX, true},
        {"18446744073709551616", UINT64_MAX, false},
        {"99999999999999999999999999999999999999999999999999", UINT64_MAX, false},
        {"\"1\"", 10, false},
        {"", 10, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_pull reader;
        uint64_t value;
        pull_open(&reader, cases[i].text, strlen(cases[i].text), "text", NULL);
        CHECK(pull_u64(&reader, cases[i].max, &value) == cases[i].good, "%s", cases[i].text);
        CHECK(!cases[i].good || pull_end(&reader), "%s", cases[i].text);
        CHECK(!pull_skip(&reader), "nothing follows a fault or the end");
        pull_close(&reader);
    }
}

/* The first sentence stays, whatever is asked afterwards. */
static void check_first_fault(void)
{
    gptoss_error error = {.message = ""};
    json_pull reader;
    byte_span name;
    bool flag;
    pull_open(&reader, "[1, x]", 6, "text", &error);
    pull_array(&reader);
    pull_element(&reader);
    CHECK(!pull_object(&reader), "1 is no object");
    CHECK(!pull_element(&reader) && !pull_member(&reader, &name) && !pull_bool(&reader, &flag) &&
              !pull_end(&reader) && pull_peek(&reader) == JSON_FAULT &&
              !pull_accept(&reader, GPTOSS_OK) && !pull_fail(&reader, GPTOSS_IO, "later"),
          "the reader has stopped");
    CHECK(strcmp(error.message, "text: byte 1: expected an object, found '1'") == 0, "%s",
          error.message);
    pull_close(&reader);
}

int main(void)
{
    check_grammar();
    check_depth();
    check_values();
    check_numbers();
    check_first_fault();
    return test_result();
}
