/* Small tokenizer.json documents and ranks: what is read from them, and every refusal. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "gptoss.h"
#include "scratch.h"
#include "text/pretokenize.h"
#include "text/tokenizer_file.h"

/* A text that grows. */
typedef struct buffer {
    char *text;
    size_t length;
} buffer;

static void append(buffer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void append(buffer *out, const char *format, ...)
{
    char part[2048];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(part, sizeof part, format, arguments);
    va_end(arguments);
    if (length < 0 || length >= (int)sizeof part)
        abort();
    out->text = realloc(out->text, out->length + (size_t)length + 1);
    memcpy(out->text + out->length, part, (size_t)length + 1);
    out->length += (size_t)length;
}

/* "\u0100": byte 0 and so on, so that byte b has the id b. */
static void append_bytes(buffer *out)
{
    unsigned other = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool printable = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
        append(out, "\"\\u%04x\": %u, ", printable ? byte : 256 + other++, byte);
    }
}

#define FLAGS "\"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false"
#define ADDED                                                                                      \
    "[{\"id\": 300, \"content\": \"<|a|>\", " FLAGS ", \"special\": true},"                        \
    " {\"id\": 301, \"content\": \"<|a|>b\", " FLAGS ", \"special\": true},"                       \
    " {\"id\": 302, \"content\": \"[tool]\", " FLAGS ", \"special\": false}]"
#define VOCAB                                                                                      \
    "\"he\": 256, \"lo\": 257, \"ll\": 258, \"hell\": 259, \"\\u0120h\": 260, \"caf\": 261, "      \
    "\"\\u00c3\\u00a9\": 262, \"ca\": 263, \"af\": 264"
#define MERGES                                                                                     \
    "[\"h e\", \"l o\", [\"l\", \"l\"], \"he ll\", \"\\u0120 h\", \"c a\", \"ca f\", "             \
    "\"\\u00c3 \\u00a9\", \"a f\"]"
#define SPLIT_TAIL "}, \"behavior\": \"Isolated\", \"invert\": false}"
#define BYTE_LEVEL                                                                                 \
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "              \
    "\"use_regex\": false}"
#define MODEL_HEAD "\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null"

/* The parts of a document that a case may replace; NULL: as above. */
typedef struct document {
    const char *added;
    const char *normalizer;
    const char *pre_tokenizer;
    const char *post_processor;
    const char *decoder;
    const char *model_head;
    const char *vocab;
    const char *merges;
    const char *tail; /* behind the model */
} document;

static const char *part(const char *given, const char *otherwise)
{
    return given != NULL ? given : otherwise;
}

static void append_pre_tokenizer(buffer *out)
{
    append(out, "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": "
                "{\"Regex\": \"");
    for (const char *c = o200k_pattern; *c != '\0'; c++)
        append(out, *c == '\\' ? "\\%c" : "%c", *c);
    append(out, "\"" SPLIT_TAIL ", " BYTE_LEVEL "]}");
}

static buffer write_document(const document *from)
{
    buffer out = {0};
    append(&out, "{\"version\": \"1.0\", \"added_tokens\": %s, ", part(from->added, ADDED));
    append(&out, "\"normalizer\": %s, \"pre_tokenizer\": ", part(from->normalizer, "null"));
    if (from->pre_tokenizer != NULL)
        append(&out, "%s", from->pre_tokenizer);
    else
        append_pre_tokenizer(&out);
    append(&out, ", \"post_processor\": %s, ", part(from->post_processor, BYTE_LEVEL));
    append(&out, "\"decoder\": %s, ", part(from->decoder, BYTE_LEVEL));
    append(&out, "\"model\": {%s, \"vocab\": {", part(from->model_head, MODEL_HEAD));
    append_bytes(&out);
    append(&out, "%s}, \"merges\": %s}%s}", part(from->vocab, VOCAB), part(from->merges, MERGES),
           part(from->tail, ""));
    return out;
}

static gptoss_tokenizer *open_text(const char *text, gptoss_error *error)
{
    const char *path = scratch_path("tokenizer.json");
    gptoss_tokenizer *tokenizer;
    scratch_write(path, text);
    gptoss_status status = gptoss_tokenizer_open(path, &tokenizer, error);
    CHECK((status == GPTOSS_OK) == (tokenizer != NULL), "status %d", status);
    return tokenizer;
}

static gptoss_tokenizer *open_document(const document *from, gptoss_error *error)
{
    buffer written = write_document(from);
    gptoss_tokenizer *tokenizer = open_text(written.text, error);
    free(written.text);
    return tokenizer;
}

/* `expected` is the ids, each followed by a space. */
static void check_ids(const gptoss_tokenizer *tokenizer, const char *text, bool specials,
                      const char *expected)
{
    uint32_t *ids;
    size_t count;
    buffer out = {0};
    gptoss_status status =
        gptoss_tokenizer_encode(tokenizer, text, strlen(text), specials, &ids, &count, NULL);
    CHECK(status == GPTOSS_OK && ids != NULL, "%s", text);
    if (ids == NULL)
        return;
    append(&out, "%s", "");
    for (size_t i = 0; i < count; i++)
        append(&out, "%u ", ids[i]);
    CHECK(strcmp(out.text, expected) == 0, "'%s': found %s, expected %s", text, out.text, expected);
    free(out.text);
    free(ids);
}

static void check_encoding(void)
{
    gptoss_error error = {.message = ""};
    gptoss_tokenizer *tokenizer = open_document(&(document){0}, &error);
    CHECK(tokenizer != NULL, "%s", error.message);
    if (tokenizer == NULL)
        return;
    check_ids(tokenizer, "", true, "");
    check_ids(tokenizer, "hello", false, "256 108 257 ");
    check_ids(tokenizer, " hell", false, "32 259 ");
    check_ids(tokenizer, "caf\u00e9", false, "261 262 ");
    check_ids(tokenizer, "<|a|>b", false, "60 124 97 124 62 98 ");
    check_ids(tokenizer, "<|a|>b<|a|>c<|a", true, "301 300 99 60 124 97 ");
    check_ids(tokenizer, "x[tool]y[tool", false, "120 302 121 91 116 111 111 108 ");
    check_ids(tokenizer, "\xff", false, "239 191 189 ");

    size_t length;
    uint32_t id;
    CHECK(gptoss_tokenizer_size(tokenizer) == 303, "%u", gptoss_tokenizer_size(tokenizer));
    CHECK(memcmp(gptoss_tokenizer_bytes(tokenizer, 262, &length), "\u00e9", 2) == 0 && length == 2,
          "token 262");
    CHECK(gptoss_tokenizer_bytes(tokenizer, 270, &length) == NULL && length == 0, "a hole");
    CHECK(gptoss_tokenizer_bytes(tokenizer, UINT32_MAX, &length) == NULL, "past the end");
    CHECK(gptoss_tokenizer_is_special(tokenizer, 300), "300");
    CHECK(!gptoss_tokenizer_is_special(tokenizer, 302), "added, but not special");
    CHECK(gptoss_tokenizer_special(tokenizer, "<|a|>b", &id) && id == 301, "by text");
    CHECK(!gptoss_tokenizer_special(tokenizer, "[tool]", &id), "not special");
    CHECK(!gptoss_tokenizer_special(tokenizer, "<|a|>bc", &id), "only its beginning");
    CHECK(!gptoss_tokenizer_special(tokenizer, "", &id), "nothing");
    gptoss_tokenizer_close(tokenizer);
}

/* Settings and orders that are fine and change what comes out. */
static void check_variants(void)
{
    static const struct {
        document from;
        const char *text;
        const char *ids;
    } cases[] = {
        /* "af" before "ca" and "caf": the order of the list, not of the ids */
        {{.merges = "[\"a f\", \"c a\", \"ca f\"]"}, "caf", "99 264 "},
        {{.merges = "[\"c a\", \"ca f\", \"a f\"]"}, "caf", "261 "},
        {{.merges = "[]"}, "he", "104 101 "},
        /* a whole piece is looked up first when the file says so */
        {{.merges = "[]", .model_head = "\"ignore_merges\": true"},
         "hell caf",
         "259 32 99 97 102 "},
        {{.added = "[]"}, "[tool]", "91 116 111 111 108 93 "},
        {{.post_processor = "null"}, "he", "256 "},
        {{.normalizer = "\"\""}, "he", "256 "},
        /* a token that is in the vocabulary and added too */
        {{.added = "[{\"id\": 256, \"content\": \"he\", \"special\": true}]",
          .model_head = "\"ignore_merges\": true",
          .merges = "[]"},
         "he",
         "104 101 "},
        {{.tail = ", \"extra\": [1, {\"a\": \"b\"}]"}, "he", "256 "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gptoss_error error = {.message = ""};
        gptoss_tokenizer *tokenizer = open_document(&cases[i].from, &error);
        CHECK(tokenizer != NULL, "case %zu: %s", i, error.message);
        if (tokenizer != NULL)
            check_ids(tokenizer, cases[i].text, false, cases[i].ids);
        gptoss_tokenizer_close(tokenizer);
    }
}

/* Each document is refused with a sentence that ends like this. */
static void check_refusals(void)
{
    static const struct {
        document from;
        gptoss_status status;
        const char *ending;
    } cases[] = {
        {{.normalizer = "{\"type\": \"NFC\"}"},
         GPTOSS_UNSUPPORTED,
         "\"normalizer\" is something else than null"},
        {{.pre_tokenizer = "null"},
         GPTOSS_UNSUPPORTED,
         "\"pre_tokenizer\" is something else than that of o200k"},
        {{.pre_tokenizer = BYTE_LEVEL},
         GPTOSS_UNSUPPORTED,
         "\"type\" is something else than Sequence"},
        {{.pre_tokenizer = "{\"type\": \"Sequence\", \"pretokenizers\": [" BYTE_LEVEL "]}"},
         GPTOSS_UNSUPPORTED,
         "\"type\" is something else than Split"},
        {{.pre_tokenizer = "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", "
                           "\"pattern\": {\"Regex\": \"\\\\w+\"" SPLIT_TAIL ", " BYTE_LEVEL "]}"},
         GPTOSS_UNSUPPORTED,
         "the pre-tokenizer's regular expression is not that of o200k, but '\\w+'"},
        {{.pre_tokenizer = "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\"}]}"},
         GPTOSS_UNSUPPORTED,
         "\"pretokenizers\" has no \"pattern\""},
        {{.pre_tokenizer = "{\"type\": \"Sequence\", \"pretokenizers\": []}"},
         GPTOSS_UNSUPPORTED,
         "\"pretokenizers\" is something else than Split followed by ByteLevel"},
        {{.pre_tokenizer = "{\"type\": \"Sequence\"}"},
         GPTOSS_UNSUPPORTED,
         "\"pre_tokenizer\" has no \"pretokenizers\""},
        {{.post_processor = "{\"type\": \"TemplateProcessing\"}"},
         GPTOSS_UNSUPPORTED,
         "\"type\" is something else than ByteLevel"},
        {{.decoder = "null"}, GPTOSS_FORMAT, "expected an object, found 'n'"},
        {{.model_head = "\"type\": \"WordPiece\""},
         GPTOSS_UNSUPPORTED,
         "\"type\" is something else than BPE"},
        {{.model_head = "\"dropout\": 0.1"},
         GPTOSS_UNSUPPORTED,
         "\"dropout\" is something else than null"},
        {{.model_head = "\"end_of_word_suffix\": \"</w>\""},
         GPTOSS_UNSUPPORTED,
         "\"end_of_word_suffix\" is something else than null"},
        {{.model_head = "\"vocab\": {}"}, GPTOSS_FORMAT, "a second \"vocab\""},
        {{.tail = ", \"model\": {}"}, GPTOSS_FORMAT, "a second \"model\""},
        {{.vocab = "\"he\": 16777216"},
         GPTOSS_FORMAT,
         "expected a whole number of at most 16777215, found 16777216"},
        {{.vocab = "\"he\": -1"},
         GPTOSS_FORMAT,
         "expected a whole number of at most 16777215, found -1"},
        {{.vocab = "\"he\": \"256\""}, GPTOSS_FORMAT, "expected a number, found '\"'"},
        {{.vocab = "\"he\": 104"}, GPTOSS_FORMAT, "two tokens have the id 104"},
        {{.vocab = "\"h\": 256"}, GPTOSS_FORMAT, "tokens 104 and 256 are the same bytes"},
        {{.vocab = "\"\": 256"}, GPTOSS_FORMAT, "token 256 is empty"},
        {{.vocab = "\"h e\": 256"}, GPTOSS_FORMAT, "not in the byte-level alphabet: 'h e'"},
        {{.vocab = "\"\\u0144\": 256"}, GPTOSS_FORMAT, "not in the byte-level alphabet: '\u0144'"},
        {{.vocab = "he: 256"}, GPTOSS_FORMAT, "expected a string, found 'h'"},
        {{.vocab = "1: 256"}, GPTOSS_FORMAT, "expected a string, found '1'"},
        {{.merges = "[\"h e\", \"x yz\"]"},
         GPTOSS_FORMAT,
         "a merge names a token that is not in the vocabulary: 'yz'"},
        {{.merges = "[\"x y\"]"},
         GPTOSS_FORMAT,
         "tokens 120 and 121 merge into one that is not in the vocabulary"},
        {{.merges = "[\"he\"]"}, GPTOSS_FORMAT, "a merge has no space: 'he'"},
        {{.merges = "[\"h e x\"]"}, GPTOSS_FORMAT, "not in the byte-level alphabet: 'e x'"},
        {{.merges = "[[\"h\"]]"}, GPTOSS_FORMAT, "a merge of 1 parts, expected 2"},
        {{.merges = "[[\"h\", \"e\", \"x\"]]"}, GPTOSS_FORMAT, "a merge of more than 2 parts"},
        {{.merges = "[[\"h\", 1]]"}, GPTOSS_FORMAT, "expected a string, found '1'"},
        {{.merges = "[1]"}, GPTOSS_FORMAT, "expected an array, found '1'"},
        {{.merges = "[\"h e\", [\"h\", \"e\"]]"},
         GPTOSS_FORMAT,
         "merge 1 repeats the pair of tokens 104 and 101"},
        {{.merges = "{}"}, GPTOSS_FORMAT, "expected an array, found '{'"},
        {{.added = "[{\"id\": 256, \"content\": \"x\"}]"},
         GPTOSS_FORMAT,
         "two tokens have the id 256"},
        {{.added = "[{\"id\": 256, \"content\": \"he\"}]"},
         GPTOSS_UNSUPPORTED,
         "tokens 104 and 101 merge into the added token 256"},
        {{.added = "[{\"id\": 300, \"content\": \"x\"}, {\"id\": 301, \"content\": \"x\"}]"},
         GPTOSS_FORMAT,
         "added tokens 300 and 301 are the same text"},
        {{.added = "[{\"content\": \"x\"}]"}, GPTOSS_FORMAT, "an added token without \"id\""},
        {{.added = "[{\"id\": 300}]"}, GPTOSS_FORMAT, "an added token without \"content\""},
        {{.added = "[{\"id\": 300, \"content\": \"x\", \"lstrip\": true}]"},
         GPTOSS_UNSUPPORTED,
         "\"lstrip\" is something else than false"},
        {{.tail = "} x {"}, GPTOSS_FORMAT, "expected the end of the text, found 'x'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gptoss_error error = {.message = ""};
        gptoss_tokenizer *tokenizer = open_document(&cases[i].from, &error);
        CHECK(tokenizer == NULL && error.status == cases[i].status, "case %zu: status %d, %s", i,
              error.status, error.message);
        size_t ending = strlen(cases[i].ending);
        size_t length = strlen(error.message);
        CHECK(length >= ending && strcmp(error.message + length - ending, cases[i].ending) == 0,
              "case %zu: '%s', expected '%s'", i, error.message, cases[i].ending);
        gptoss_tokenizer_close(tokenizer);
    }
}

/* No part of a document is a document; and whatever is cut off, nothing leaks or is read past. */
static void check_truncation(void)
{
    buffer whole = write_document(&(document){0});
    for (size_t length = whole.length; length-- > 0;) {
        gptoss_error error = {.message = ""};
        tokenizer_file file;
        char *cut = malloc(length + 1);
        memcpy(cut + 1, whole.text, length); /* ends where the allocation does */
        gptoss_status status = tokenizer_json_parse(cut + 1, length, "cut", &file, &error);
        CHECK(status == GPTOSS_FORMAT && file.vocab.tokens == NULL && file.merges.items == NULL,
              "%zu bytes: status %d, %s", length, status, error.message);
        free(cut);
    }
    free(whole.text);
}

/* Spells byte 0x78, which is x, in another way of the same length. */
static void check_respelled(const char *spelling, const char *sentence)
{
    gptoss_error error = {.message = ""};
    buffer written = write_document(&(document){0});
    char *place = strstr(written.text, "\\u0078");
    for (size_t i = 0; spelling[i] != '\0'; i++)
        place[i] = spelling[i];
    gptoss_tokenizer *tokenizer = open_text(written.text, &error);
    CHECK(tokenizer == NULL && strstr(error.message, sentence) != NULL, "%s", error.message);
    free(written.text);
}

static void check_missing_byte(void)
{
    check_respelled("\\u0141", "are the same bytes"); /* a second spelling of byte 0x9f */
    check_respelled("hhhhhh", "no token is the byte 0x78 alone");
}

static void check_ranks(void)
{
    static const struct {
        const char *text;
        const char *ending;
    } cases[] = {
        {"", "expected the 199998 ranks of o200k_base from 0, found 0 up to 0"},
        {"YQ== 0\n\nYg== 1", "expected the 199998 ranks of o200k_base from 0, found 2 up to 1"},
        {"YQ==\t0\n", "line 1: expected a space between token and rank"},
        {"YQ== 0\nY 1\n", "line 2: expected a token of 1 to 4096 bytes in base64"},
        {"YR== 0\n", "line 1: expected a token of 1 to 4096 bytes in base64"},
        {"YQ 0\n", "line 1: expected a token of 1 to 4096 bytes in base64"},
        {" 0\n", "line 1: expected a token of 1 to 4096 bytes in base64"},
        {"YQ== 16777216\n", "line 1: expected a rank below 16777216"},
        {"YQ== x\n", "line 1: expected a rank below 16777216"},
        {"YQ== 0 1\n", "line 1: expected nothing after the rank"},
        {"YQ== 0\nYQ== 1\n", "tokens 0 and 1 are the same bytes"},
        {"YQ== 0\nYg== 0\n", "two tokens have the id 0"},
        {"version https://git-lfs.github.com/spec/v1\n", "fetch it with 'git lfs pull'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *path = scratch_path("small.tiktoken");
        gptoss_error error = {.message = ""};
        gptoss_tokenizer *tokenizer;
        scratch_write(path, cases[i].text);
        CHECK(gptoss_tokenizer_open(path, &tokenizer, &error) != GPTOSS_OK, "case %zu", i);
        size_t ending = strlen(cases[i].ending);
        size_t length = strlen(error.message);
        CHECK(length >= ending && strcmp(error.message + length - ending, cases[i].ending) == 0,
              "case %zu: '%s', expected '%s'", i, error.message, cases[i].ending);
    }
}

/* A directory, the one above, the order of preference, and no tokenizer at all. */
static void check_directories(void)
{
    gptoss_error error = {.message = ""};
    gptoss_tokenizer *tokenizer;
    char *text = write_document(&(document){0}).text;
    scratch_write(scratch_path("hub/tokenizer.json"), text);
    scratch_write(scratch_path("hub/original/other"), "");
    scratch_write(scratch_path("hub/deep/er/other"), "");
    scratch_write(scratch_path("both/tokenizer.json"), text);
    scratch_write(scratch_path("both/o200k_base.tiktoken"), "nonsense");
    scratch_write(scratch_path("ranks/z.tiktoken"), "nonsense");
    scratch_write(scratch_path("ranks/b.tiktoken"), "nonsense");
    free(text);
    static const char *const good[] = {"hub", "hub/original", "hub/tokenizer.json", "both"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CHECK(gptoss_tokenizer_open(scratch_path("%s", good[i]), &tokenizer, &error) == GPTOSS_OK,
              "%s: %s", good[i], error.message);
        gptoss_tokenizer_close(tokenizer);
    }
    CHECK(gptoss_tokenizer_open(scratch_path("hub/deep/er"), &tokenizer, &error) == GPTOSS_IO &&
              strstr(error.message, "neither here nor in the directory above") != NULL,
          "%s", error.message);
    CHECK(gptoss_tokenizer_open(scratch_path("nowhere"), &tokenizer, &error) == GPTOSS_IO &&
              strstr(error.message, "No such file") != NULL,
          "%s", error.message);
    CHECK(gptoss_tokenizer_open(scratch_path("ranks"), &tokenizer, &error) == GPTOSS_FORMAT &&
              strstr(error.message, "/b.tiktoken: line 1: ") != NULL,
          "%s", error.message);
}

int main(void)
{
    scratch_begin();
    check_encoding();
    check_variants();
    check_refusals();
    check_truncation();
    check_missing_byte();
    check_ranks();
    check_directories();
    return test_result();
}
