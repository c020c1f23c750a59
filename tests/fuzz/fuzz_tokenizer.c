/* One tokenizer.json, which then encodes its own bytes. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "text/tokenizer_file.h"

#define MOST_BYTES 2000 /* of the input, as a text */

/* The text as the tokens should give it back. */
static size_t repair(const char *text, size_t length, char *out)
{
    gptoss_utf8_stream stream = {0};
    size_t written = gptoss_utf8_push(&stream, text, length, out);
    return written + gptoss_utf8_end(&stream, out + written);
}

static void encode(const gptoss_tokenizer *tokenizer, const char *text, size_t length,
                   bool specials)
{
    static char expected[GPTOSS_UTF8_ROOM(MOST_BYTES)];
    size_t expected_length = repair(text, length, expected);
    uint32_t *ids;
    size_t count;
    size_t at = 0;
    FUZZ_CHECK(gptoss_tokenizer_encode(tokenizer, text, length, specials, &ids, &count, NULL) ==
               GPTOSS_OK);
    for (size_t i = 0; i < count; i++) {
        size_t part;
        const char *bytes = gptoss_tokenizer_bytes(tokenizer, ids[i], &part);
        FUZZ_CHECK(specials || !gptoss_tokenizer_is_special(tokenizer, ids[i]));
        FUZZ_CHECK(bytes != NULL && part > 0 && part <= expected_length - at &&
                   memcmp(bytes, expected + at, part) == 0);
        at += part;
    }
    FUZZ_CHECK(at == expected_length);
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    tokenizer_file file = {0};
    gptoss_tokenizer *tokenizer = NULL;
    gptoss_error error = {0};
    gptoss_status status = tokenizer_json_parse(text, size, "input", &file, &error);
    if (status == GPTOSS_OK)
        status = tokenizer_build(&file, "input", &tokenizer, &error);
    if (status == GPTOSS_OK) {
        size_t length = size < MOST_BYTES ? size : MOST_BYTES;
        encode(tokenizer, text, length, false);
        encode(tokenizer, text, length, true);
    }
    gptoss_tokenizer_close(tokenizer);
    tokenizer_file_free(&file);
    return fuzz_judge(status, &error);
}
