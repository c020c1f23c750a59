/* Text that grows: formatted pieces, numbers, JSON strings. */
#include "base/text_buffer.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static void check_growth(void)
{
    text_buffer text = {0};
    for (int i = 1000; i < 2000; i++)
        text_append(&text, "%d,", i);
    CHECK(!text.failed && text.length == 5000 && strlen(text.bytes) == 5000, "%zu bytes",
          text.length);
    CHECK(strncmp(text.bytes + 2500, "1500,1501,", 10) == 0, "%s", text.bytes);
    text_append(&text, "%30000s", "end");
    CHECK(text.length == 35000 && strlen(text.bytes) == 35000, "%zu bytes", text.length);
    text_free(&text);
    CHECK(text.bytes == NULL && text.length == 0, "freed");
}

static void check_double(double value, const char *expected)
{
    text_buffer text = {0};
    text_append_double(&text, value);
    CHECK(strcmp(text.bytes, expected) == 0, "%s, expected %s", text.bytes, expected);
    CHECK(strtod(text.bytes, NULL) == value, "%s", text.bytes);
    text_free(&text);
}

static void check_float(float value, const char *expected)
{
    text_buffer text = {0};
    text_append_float(&text, value);
    CHECK(strcmp(text.bytes, expected) == 0, "%s, expected %s", text.bytes, expected);
    CHECK(strtof(text.bytes, NULL) == value, "%s", text.bytes);
    text_free(&text);
}

static void check_numbers(void)
{
    check_double(0.0, "0");
    check_double(-0.5, "-0.5");
    check_double(150000.0, "1.5e+05");
    check_double(0.1, "0.1");
    check_double(1.0 / 3.0, "0.3333333333333333");
    check_double(1.3465735902799727, "1.3465735902799727");
    check_double(5e-324, "5e-324");
    check_float(1e-5F, "1e-05");
    check_float(1.702F, "1.702");
    check_float(16777217.0F, "16777216");
}

/* Only where the system has such a locale. */
static void check_comma(void)
{
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL)
        return;
    text_buffer text = {0};
    text_append_double(&text, 0.5);
    CHECK(strcmp(text.bytes, "0.5") == 0, "%s", text.bytes);
    text_free(&text);
    setlocale(LC_NUMERIC, "C");
}

static void check_string(const char *bytes, size_t length, const char *expected)
{
    text_buffer text = {0};
    text_append_json(&text, bytes, length);
    CHECK(strcmp(text.bytes, expected) == 0, "%s, expected %s", text.bytes, expected);
    text_free(&text);
}

static void check_strings(void)
{
    check_string("", 0, "\"\"");
    check_string("a/b", 3, "\"a/b\"");
    check_string("\"\\", 2, "\"\\\"\\\\\"");
    check_string("\n\x01\x1f\x7f", 4, "\"\\u000a\\u0001\\u001f\\u007f\"");
    check_string("a\0b", 3, "\"a\\u0000b\"");
    check_string("\u00e9\u20ac\U0001f600", 9, "\"\u00e9\u20ac\U0001f600\"");
    /* one U+FFFD for each part that is ill-formed, and for what the end cuts off */
    check_string("a\xff|\xe2\x82|\xed\xa0\x80|\xf0\x9f\x98", 12,
                 "\"a\ufffd|\ufffd|\ufffd\ufffd\ufffd|\ufffd\"");
}

int main(void)
{
    check_growth();
    check_numbers();
    check_comma();
    check_strings();
    return test_result();
}
