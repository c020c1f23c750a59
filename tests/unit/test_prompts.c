/* Prompts from JSON, one a line. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "gptoss.h"

static bool is(gptoss_text text, const char *expected)
{
    return text.data != NULL && text.length == strlen(expected) &&
           memcmp(text.data, expected, text.length) == 0;
}

static void check_good(void)
{
    static const char lines[] =
        "{\"prompt\": \"hello \\\"\\u00e9\\n\", \"n\": 5, \"seed\": 18446744073709551615}\r\n"
        "\n"
        "  \t\r\n"
        " {\"id\": \"a \\u0041\", \"ids\": [ 1, 4294967295 ] } \n"
        "{\"ids\":[],\"id\":-1.50e3,\"n\":0}\n"
        "{\"id\": 7, \"prompt\": \"\"}";
    gptoss_prompt_list *list = NULL;
    gptoss_error error = {GPTOSS_OK, ""};
    size_t count = 0;
    CHECK(gptoss_prompts_read(lines, sizeof lines - 1, "it", &list, &error) == GPTOSS_OK, "%s",
          error.message);
    if (list == NULL)
        return;
    const gptoss_prompt *p = gptoss_prompts(list, &count);
    CHECK(count == 4, "%zu", count);
    CHECK(is(p[0].text, "hello \"\xc3\xa9\n") && p[0].ids == NULL && p[0].id.data == NULL &&
              p[0].has_max_tokens && p[0].max_tokens == 5 && p[0].has_seed &&
              p[0].seed == UINT64_MAX && p[0].line == 1,
          "the first");
    CHECK(p[1].text.data == NULL && p[1].id_count == 2 && p[1].ids[0] == 1 &&
              p[1].ids[1] == UINT32_MAX && is(p[1].id, "\"a \\u0041\"") && p[1].line == 4 &&
              !p[1].has_max_tokens && !p[1].has_seed,
          "the second");
    CHECK(p[2].ids != NULL && p[2].id_count == 0 && is(p[2].id, "-1.50e3") && p[2].has_max_tokens &&
              p[2].max_tokens == 0,
          "the third");
    CHECK(is(p[3].text, "") && is(p[3].id, "7") && p[3].line == 6, "the last");
    gptoss_prompts_close(list);
}

static const struct {
    const char *lines;
    const char *sentence;
} bad[] = {
    {"", "it: expected a prompt on each line, found none"},
    {"\n \n", "it: expected a prompt on each line, found none"},
    {"{\"prompt\": \"a\"}\n{}", "it:2: byte 2: expected one \"prompt\" or \"ids\", found none"},
    {"{\"prompt\": \"a\", \"ids\": [1]}", "it:1: byte 22: expected one \"prompt\" or \"ids\", "},
    {"{\"prompt\": \"a\", \"prompt\": \"b\"}", "found more"},
    {"{\"ids\": [1, 2], \"ids\": [3, 4]}", "it:1: byte 22: expected one"},
    {"\n\n{\"prompt\": 5}", "it:3: byte 11: "},
    {"{\"ids\": [-1]}", "it:1: byte 9: "},
    {"{\"ids\": [4294967296]}", "it:1: byte 9: "},
    {"{\"ids\": [1.5]}", "it:1: byte 9: "},
    {"{\"ids\": 1}", "it:1: byte 8: "},
    {"{\"ids\": [1,]}", "it:1: byte 11: "},
    {"{\"prompt\": \"a\", \"n\": 2147483648}", "it:1: byte 21: "},
    {"{\"prompt\": \"a\", \"seed\": 18446744073709551616}", "it:1: byte 24: "},
    {"{\"prompt\": \"a\", \"id\": null}", "\"id\": expected a string or a number"},
    {"{\"prompt\": \"a\", \"id\": [1]}", "\"id\": expected a string or a number"},
    {"{\"prompt\": \"a\", \"max_tokens\": 1}",
     "\"max_tokens\": expected \"prompt\", \"ids\", \"n\", \"seed\" or \"id\""},
    {"{\"prompt\": \"a\"} x", "it:1: byte 16: "},
    {"{\"prompt\": \"a\"", "it:1: byte 14: "},
    {"[\"a\"]", "it:1: byte 0: "},
    {"hello", "it:1: byte 0: "},
    {"{\"prompt\": \"\xff\"}", "it:1: byte "},
};

static void check_bad(void)
{
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gptoss_prompt_list *list = NULL;
        gptoss_error error = {GPTOSS_OK, ""};
        gptoss_status status =
            gptoss_prompts_read(bad[i].lines, strlen(bad[i].lines), "it", &list, &error);
        CHECK(status == GPTOSS_FORMAT && list == NULL, "%s: %d", bad[i].lines, (int)status);
        CHECK(strstr(error.message, bad[i].sentence) != NULL, "%s: expected %s, found %s",
              bad[i].lines, bad[i].sentence, error.message);
        gptoss_prompts_close(list);
    }
}

int main(void)
{
    check_good();
    check_bad();
    return test_result();
}
