/* o200k from both of its files: known ids, golden strings, time, and that the two agree. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/map.h"
#include "base/sha256.h"
#include "check.h"
#include "gptoss.h"
#include "o200k.h"
#include "scratch.h"

static double processor_seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

static void check_file(const char *path, size_t size, const char *digest)
{
    char found[65] = "";
    file_map map;
    CHECK(file_map_open(path, &map, NULL) == GPTOSS_OK && map.size == size, "%s", path);
    sha256_hex(map.data, map.size, path, NULL, NULL, found, NULL);
    CHECK(strcmp(found, digest) == 0, "%s: sha256 %s", path, found);
    file_map_close(&map);
}

static gptoss_tokenizer *open_checked(const char *path)
{
    gptoss_error error = {.message = ""};
    gptoss_tokenizer *tokenizer;
    double begin = processor_seconds();
    gptoss_tokenizer_open(path, &tokenizer, &error);
    double seconds = processor_seconds() - begin;
    printf("%s: opened in %.3f s of processor time\n", path, seconds);
    CHECK(tokenizer != NULL, "%s", error.message);
    if (tokenizer == NULL)
        exit(test_result());
    return tokenizer;
}

static void check_known_ids(const gptoss_tokenizer *tokenizer)
{
    static const struct {
        const char *text;
        bool specials;
        size_t count;
        uint32_t ids[10];
    } cases[] = {
        {"", true, 0, {0}},
        {"!", false, 1, {0}},
        {"\n", false, 1, {198}},
        {"\n\n", false, 1, {279}},
        {" ", false, 1, {220}},
        {"hello world", false, 2, {24912, 2375}},
        {"analysis", false, 1, {35644}},
        {"commentary", false, 2, {12606, 815}},
        {"final", false, 1, {17196}},
        {"assistant", false, 1, {173781}},
        {"user", false, 1, {1428}},
        {"system", false, 1, {17360}},
        {"developer", false, 1, {77944}},
        {"functions", false, 1, {44580}},
        {" to=", false, 2, {316, 28}},
        {"json json", false, 2, {4108, 5701}},
        {"<|start|>", false, 5, {27, 91, 5236, 91, 29}},
        {"<|start|>assistant<|channel|>", true, 3, {200006, 173781, 200005}},
        {"2 + 2 = 4.", false, 8, {17, 659, 220, 17, 314, 220, 19, 13}},
        {"<|reserved_200017|><|endofprompt|>", true, 2, {200017, 200018}},
        {"<|reserved_200019|>", true, 8, {27, 91, 116758, 62, 1179, 32069, 91, 29}}, /* no token */
        {"it'\u017f \u180e\xc2\x85 \ufeff",
         false,
         10,
         {278, 6, 70067, 220, 157, 254, 236, 126, 227, 71280}},
        {"a\xc2\x85\xc2\x85"
         "b",
         false,
         6,
         {64, 126, 227, 126, 227, 65}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t *ids = NULL;
        size_t count = 0;
        gptoss_tokenizer_encode(tokenizer, cases[i].text, strlen(cases[i].text), cases[i].specials,
                                &ids, &count, NULL);
        CHECK(count == cases[i].count && memcmp(ids, cases[i].ids, count * sizeof *ids) == 0,
              "'%s': %zu tokens, the first %u", cases[i].text, count, count > 0 ? ids[0] : 0);
        free(ids);
    }
}

/* The parse of a finished answer, as openai-harmony's documentation has it. */
static void check_decoding(const gptoss_tokenizer *tokenizer)
{
    static const uint32_t ids[] = {
        200005, 35644, 200008, 1844,  31064, 25,  392,   4827, 382, 220,    17,     659,
        220,    17,    16842,  12295, 81645, 13,  51441, 6052, 13,  200007, 200006, 173781,
        200005, 17196, 200008, 17,    659,   220, 17,    314,  220, 19,     13,     200002};
    static const char expected[] =
        "<|channel|>analysis<|message|>User asks: \"What is 2 + 2?\" Simple arithmetic. Provide "
        "answer.<|end|><|start|>assistant<|channel|>final<|message|>2 + 2 = 4.<|return|>";
    char text[512];
    size_t written = 0;
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        size_t length;
        const char *bytes = gptoss_tokenizer_bytes(tokenizer, ids[i], &length);
        memcpy(text + written, bytes, length);
        written += length;
    }
    CHECK(written == strlen(expected) && memcmp(text, expected, written) == 0, "'%.*s'",
          (int)written, text);
    size_t length;
    CHECK(gptoss_tokenizer_size(tokenizer) == 200019, "%u", gptoss_tokenizer_size(tokenizer));
    CHECK(gptoss_tokenizer_bytes(tokenizer, 200019, &length) == NULL && length == 0, "200019");
    CHECK(gptoss_tokenizer_bytes(tokenizer, 201087, &length) == NULL && length == 0, "201087");
    uint32_t id = 0;
    CHECK(gptoss_tokenizer_special(tokenizer, "<|call|>", &id) && id == 200012, "%u", id);
    CHECK(!gptoss_tokenizer_special(tokenizer, "hello", &id), "no special token");
    CHECK(gptoss_tokenizer_is_special(tokenizer, 200003), "<|constrain|>");
    CHECK(!gptoss_tokenizer_is_special(tokenizer, 199997), "the last rank");
}

static uint32_t read_u32(const char **at)
{
    uint32_t value;
    memcpy(&value, *at, sizeof value);
    *at += sizeof value;
    return value;
}

/* The random strings of tools/reference/tokenizer_golden.py, inflated. */
typedef struct golden {
    const gptoss_tokenizer *tokenizer;
    const char *data;
    size_t size;
    size_t strings;
    size_t differences;
} golden;

/* Encodes all strings; of type void *(void *) so that a thread can run it. */
static void *compare_golden(void *user)
{
    golden *run = user;
    for (const char *at = run->data; at < run->data + run->size; run->strings++) {
        size_t length = read_u32(&at);
        const char *text = at;
        at += length;
        size_t expected_count = read_u32(&at);
        const char *expected = at;
        at += 4 * expected_count;
        if (run->strings == 0) /* the provenance */
            continue;
        uint32_t *ids = NULL;
        size_t count = 0;
        gptoss_tokenizer_encode(run->tokenizer, text, length, false, &ids, &count, NULL);
        if (count != expected_count || memcmp(ids, expected, 4 * count) != 0)
            run->differences++;
        free(ids);
    }
    return NULL;
}

/* On several threads that share the tokenizer. */
static void check_golden(const gptoss_tokenizer *tokenizer, const char *what)
{
    enum { THREADS = 3 };
    pthread_t threads[THREADS];
    golden runs[THREADS];
    size_t size;
    char *data = o200k_inflate("strings.bin.gz", &size);
    for (int i = 0; i < THREADS; i++) {
        runs[i] = (golden){tokenizer, data, size, 0, 0};
        CHECK(pthread_create(&threads[i], NULL, compare_golden, &runs[i]) == 0, "thread %d", i);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        CHECK(runs[i].strings == 3001 && runs[i].differences == 0, "%s: %zu of %zu strings differ",
              what, runs[i].differences, runs[i].strings - 1);
    }
    free(data);
}

/* What decoding an encoded text gives back is the text. */
static void check_round_trip(const gptoss_tokenizer *tokenizer)
{
    static const char text[] = "It\u2019s na\u00efve \U0001f469\u200d\U0001f467 \u6f22\u5b57\r\n\t";
    uint32_t *ids = NULL;
    size_t count = 0;
    char out[sizeof text];
    size_t written = 0;
    gptoss_tokenizer_encode(tokenizer, text, sizeof text, false, &ids, &count, NULL);
    for (size_t i = 0; i < count; i++) {
        size_t length;
        const char *bytes = gptoss_tokenizer_bytes(tokenizer, ids[i], &length);
        CHECK(written + length <= sizeof out, "%zu bytes and %zu more", written, length);
        if (written + length <= sizeof out)
            memcpy(out + written, bytes, length);
        written += length;
    }
    CHECK(written == sizeof text && memcmp(out, text, written) == 0, "%zu bytes", written);
    free(ids);
}

/* A million of one character each. */
static void check_long_runs(const gptoss_tokenizer *tokenizer)
{
    static const char characters[] = "a 0=";
    const size_t length = 1000000;
    char *text = malloc(length);
    for (const char *c = characters; *c != '\0'; c++) {
        uint32_t *ids = NULL;
        size_t count = 0;
        memset(text, *c, length);
        double begin = processor_seconds();
        gptoss_status status =
            gptoss_tokenizer_encode(tokenizer, text, length, false, &ids, &count, NULL);
        double seconds = processor_seconds() - begin;
        size_t bytes = 0;
        for (size_t i = 0; i < count; i++) {
            size_t token_length;
            gptoss_tokenizer_bytes(tokenizer, ids[i], &token_length);
            bytes += token_length;
        }
        printf("1 MB of 0x%02x: %zu tokens, %.3f s of processor time\n", *c, count, seconds);
        CHECK(status == GPTOSS_OK && bytes == length, "0x%02x: %zu bytes", *c, bytes);
        CHECK(seconds < 30, "0x%02x: %.1f s", *c, seconds); /* 0.3 s, but sanitizers are slow */
        free(ids);
    }
    free(text);
}

int main(void)
{
    scratch_begin();
    const char *ranks = scratch_path("o200k_base.tiktoken");
    const char *json = scratch_path("tokenizer.json");
    o200k_write_files(ranks, json);
    check_file(ranks, 3613922, O200K_RANKS_SHA);
    check_file(json, O200K_JSON_LENGTH, O200K_JSON_SHA);
    const char *paths[2] = {ranks, json};
    for (int i = 0; i < 2; i++) {
        gptoss_tokenizer *tokenizer = open_checked(paths[i]);
        check_known_ids(tokenizer);
        check_decoding(tokenizer);
        check_golden(tokenizer, paths[i]);
        check_round_trip(tokenizer);
        check_long_runs(tokenizer);
        gptoss_tokenizer_close(tokenizer);
    }
    return test_result();
}
