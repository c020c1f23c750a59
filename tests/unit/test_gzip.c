/* base/gzip: what inflates, and the sentence for each kind of broken file. */
#include <stdlib.h>
#include <string.h>

#include "base/gzip.h"
#include "check.h"

static const char text[] = "the first line\nthe second line\n";

/* `text`, made by Python's gzip. */
static const uint8_t packed[] = {
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x2b, 0xc9, 0x48, 0x55, 0x48,
    0xcb, 0x2c, 0x2a, 0x2e, 0x51, 0xc8, 0xc9, 0xcc, 0x4b, 0xe5, 0x2a, 0x01, 0x72, 0x8b, 0x53,
    0x93, 0xf3, 0xf3, 0x52, 0x20, 0x7c, 0x00, 0x5b, 0xfd, 0x2a, 0x98, 0x1f, 0x00, 0x00, 0x00};

/* 65536 zeros: the bytes before and after 67 zeros of the packed form. */
static const uint8_t zeros_begin[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00,
                                      0x02, 0x03, 0xed, 0xc1, 0x01, 0x01, 0x00, 0x00,
                                      0x00, 0x80, 0x90, 0xfe, 0xaf, 0xee, 0x08, 0x0a};
static const uint8_t zeros_end[] = {0x6a, 0xeb, 0x8e, 0x97, 0xd7, 0x00, 0x00, 0x01, 0x00};
enum { ZEROS = 65536, ZEROS_PACKED = 96 };

/* `count` members of zeros, one after another. */
static uint8_t *pack_zeros(size_t count)
{
    uint8_t *out = calloc(count, ZEROS_PACKED);
    if (out == NULL)
        abort();
    for (size_t i = 0; i < count; i++) {
        uint8_t *member = out + i * ZEROS_PACKED;
        memcpy(member, zeros_begin, sizeof zeros_begin);
        memcpy(member + ZEROS_PACKED - sizeof zeros_end, zeros_end, sizeof zeros_end);
    }
    return out;
}

static void test_good(void)
{
    gptoss_error error = {0};
    uint8_t *out;
    size_t length;
    CHECK(gzip_begins(packed, sizeof packed) && !gzip_begins(packed, 1), "the first two bytes");
    CHECK(!gzip_begins((const uint8_t *)text, sizeof text), "a plain file");
    gptoss_status status =
        gzip_inflate(packed, sizeof packed, "F", sizeof text - 1, &out, &length, &error);
    CHECK(status == GPTOSS_OK && length == sizeof text - 1 && memcmp(out, text, length) == 0, "%s",
          error.message);
    free(out);

    uint8_t *zeros = pack_zeros(3);
    status = gzip_inflate(zeros, (size_t)3 * ZEROS_PACKED, "F", UINT64_MAX, &out, &length, &error);
    CHECK(status == GPTOSS_OK && length == (size_t)3 * ZEROS, "three members: %s", error.message);
    for (size_t i = 0; i < length; i++)
        CHECK(out[i] == 0, "byte %zu", i);
    free(out);
    free(zeros);

    uint8_t nothing[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    status = gzip_inflate(nothing, sizeof nothing, "F", 0, &out, &length, &error);
    CHECK(status == GPTOSS_OK && out != NULL && length == 0, "an empty file: %s", error.message);
    free(out);
}

static void refuse(const uint8_t *data, size_t size, uint64_t limit, gptoss_status expected,
                   const char *sentence)
{
    gptoss_error error = {0};
    uint8_t *out = (uint8_t *)&error;
    size_t length = 1;
    gptoss_status status = gzip_inflate(data, size, "F", limit, &out, &length, &error);
    CHECK(status == expected && out == NULL && length == 0, "status %d", status);
    CHECK(strstr(error.message, sentence) != NULL, "%s", error.message);
}

static void test_bad(void)
{
    uint8_t copy[sizeof packed + 3] = {0};
    for (size_t size = 2; size < sizeof packed; size++)
        refuse(packed, size, 1000, GPTOSS_FORMAT, "F is cut short");
    memcpy(copy, packed, sizeof packed);
    refuse(copy, sizeof copy, 1000, GPTOSS_FORMAT, "F has 3 bytes after the end of its gzip data");
    refuse(packed, sizeof packed, sizeof text - 2, GPTOSS_LIMIT,
           "F inflates to more than the 30 bytes of memory available");
    for (size_t i = 10; i < sizeof packed; i++) { /* every bit of data, checksum and length, */
        if (i == sizeof packed - 9)               /* but those that fill the last byte of data */
            continue;
        for (int bit = 0; bit < 8; bit++) {
            memcpy(copy, packed, sizeof packed);
            copy[i] ^= (uint8_t)(1U << bit);
            refuse(copy, sizeof packed, 1000, GPTOSS_FORMAT, "F ");
        }
    }
    memcpy(copy, packed, sizeof packed);
    copy[sizeof packed - 5] ^= 1;
    refuse(copy, sizeof packed, 1000, GPTOSS_FORMAT,
           "F is damaged: its gzip data do not inflate (incorrect data check)");
}

/* Two megabytes that are 1.3 gigabytes: refused as soon as the limit is passed. */
static void test_bomb(void)
{
    size_t count = 20000;
    uint8_t *bomb = pack_zeros(count);
    refuse(bomb, count * ZEROS_PACKED, 100 << 20, GPTOSS_LIMIT, "F inflates to more than");
    free(bomb);
}

int main(void)
{
    test_good();
    test_bad();
    test_bomb();
    return test_result();
}
