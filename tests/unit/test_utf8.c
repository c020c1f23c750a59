/* UTF-8: single code points, ill-formed parts, and text that arrives in pieces. */
#include "base/utf8.h"

#include <string.h>

#include "check.h"
#include "gptoss.h"

#define R "\xef\xbf\xbd" /* U+FFFD */

/* What the stream makes of all of `bytes`, given in parts of `step` bytes. */
static size_t stream_all(const char *bytes, size_t length, size_t step, char *out)
{
    gptoss_utf8_stream stream = {0};
    size_t written = 0;
    for (size_t at = 0; at < length; at += step) {
        size_t part = length - at < step ? length - at : step;
        size_t more = gptoss_utf8_push(&stream, bytes + at, part, out + written);
        CHECK(more <= GPTOSS_UTF8_ROOM(part), "%zu bytes of output for %zu", more, part);
        written += more;
    }
    return written + gptoss_utf8_end(&stream, out + written);
}

static void check_stream(void)
{
    /* Tables 3-8 to 3-11 of Unicode 16, section 3.9, and the ends of the ranges. */
    static const struct {
        const char *bytes;
        const char *text;
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"\xc2\x80\xdf\xbf", "\xc2\x80\xdf\xbf"},
        {"\xe0\xa0\x80\xef\xbf\xbf", "\xe0\xa0\x80\xef\xbf\xbf"},
        {"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
        {"\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80"},
        {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", R R R R R R R R "A"},
        {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", R R R R R R R R "A"},
        {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", R R R R R "A" R R "B"},
        {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", R R R R "A"},
        {"\xf0\x9f\x98", R},
        {"a\xe2\x82", "a" R},
        {"\xe2\x28\xa1", R "(" R},
        {"\xfe\xff", R R},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t step = 1; step <= 5; step++) {
            char out[256];
            size_t length = strlen(cases[i].bytes);
            size_t written = stream_all(cases[i].bytes, length, step, out);
            CHECK(written == strlen(cases[i].text) && memcmp(out, cases[i].text, written) == 0,
                  "case %zu in steps of %zu: '%.*s'", i, step, (int)written, out);
        }
    }
}

static void check_held_back(void)
{
    gptoss_utf8_stream stream = {0};
    char out[GPTOSS_UTF8_ROOM(4)];
    CHECK(gptoss_utf8_push(&stream, "\xf0\x9f\x98", 3, out) == 0, "a sequence is not complete");
    CHECK(gptoss_utf8_push(&stream, "\x80", 1, out) == 4, "now it is");
    CHECK(memcmp(out, "\xf0\x9f\x98\x80", 4) == 0, "U+1F600");
    CHECK(gptoss_utf8_end(&stream, out) == 0, "nothing is left");
}

/* Every code point is written, read back and found well-formed; surrogates are not. */
static void check_round_trip(void)
{
    int wrong = 0;
    for (uint32_t code = 0; code <= UTF8_MAX_CODE; code++) {
        char bytes[4];
        int32_t read;
        size_t length = utf8_write(code, bytes);
        size_t used = utf8_next((const uint8_t *)bytes, length, &read);
        bool surrogate = code >= 0xd800 && code <= 0xdfff;
        wrong +=
            surrogate ? read != UTF8_INVALID || used != 1 : read != (int32_t)code || used != length;
    }
    CHECK(wrong == 0, "%d code points", wrong);
}

static void check_prefix(void)
{
    CHECK(utf8_valid_prefix((const uint8_t *)"ab\xc3\xa9", 4) == 4, "all of it");
    CHECK(utf8_valid_prefix((const uint8_t *)"ab\xc3\xa9", 3) == 2, "cut inside a sequence");
    CHECK(utf8_valid_prefix((const uint8_t *)"\xa9", 1) == 0, "none of it");
    CHECK(utf8_valid_prefix((const uint8_t *)"", 0) == 0, "nothing");
}

int main(void)
{
    check_stream();
    check_held_back();
    check_round_trip();
    check_prefix();
    return test_result();
}
