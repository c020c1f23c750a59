/* Streams of tokens to messages: what is refused, what is made of the rest, and the events. */
#include <stdlib.h>
#include <string.h>

#include "base/text_buffer.h"
#include "check.h"
#include "gptoss.h"

static gptoss_tokenizer *tokenizer;

/* ---- messages in one line -------------------------------------------------------------------- */

static void append_field(text_buffer *out, const char *mark, gptoss_text text)
{
    if (text.data != NULL)
        text_append(out, "%s%.*s", mark, (int)text.length, text.data);
}

/* role:name>recipient#channel!type(content) */
static void append_message(text_buffer *out, const gptoss_message *message)
{
    text_append(out, "%s", gptoss_role_name(message->role));
    append_field(out, ":", message->name);
    append_field(out, ">", message->recipient);
    append_field(out, "#", message->channel);
    append_field(out, "!", message->content_type);
}

static void note(void *user, const gptoss_parser_event *event)
{
    static const char ends[] = "ERCX";
    text_buffer *out = user;
    if (event->kind == GPTOSS_PARSER_BEGIN) {
        append_message(out, event->message);
        text_append(out, "(");
    } else if (event->kind == GPTOSS_PARSER_TEXT) {
        text_append(out, "%.*s", (int)event->text.length, event->text.data);
    } else {
        text_append(out, ")%c ", ends[event->end]);
    }
}

/* What the events say of a text whose control tokens are spelled out; false when it is refused. */
static bool hear(const char *said, const gptoss_parser_options *options, text_buffer *out)
{
    uint32_t *ids;
    size_t count;
    gptoss_parser *parser;
    gptoss_error error;
    gptoss_parser_options how = *options;
    how.event = note;
    how.user = out;
    text_append(out, "%s", "");
    gptoss_tokenizer_encode(tokenizer, said, strlen(said), true, &ids, &count, NULL);
    gptoss_status status = gptoss_parser_open(tokenizer, &how, &parser, &error);
    for (size_t i = 0; i < count && status == GPTOSS_OK; i++)
        status = gptoss_parser_push(parser, ids[i], &error);
    if (status == GPTOSS_OK)
        status = gptoss_parser_end(parser, &error);
    else
        CHECK(gptoss_parser_end(parser, NULL) == GPTOSS_FORMAT, "%s: goes on", said);
    free(ids);
    gptoss_parser_close(parser);
    return status == GPTOSS_OK;
}

/* `strict` NULL: it is refused. `forgiving` NULL: the same as strict. */
static void check_stream(const char *said, bool from_start, const char *strict,
                         const char *forgiving)
{
    for (int mode = 0; mode <= 1; mode++) {
        text_buffer out = {0};
        gptoss_parser_options options = {.strict = mode == 0, .from_start = from_start};
        const char *expected = mode == 0 || forgiving == NULL ? strict : forgiving;
        bool taken = hear(said, &options, &out);
        CHECK(taken == (expected != NULL), "%s: taken %d by %s", said, taken,
              mode == 0 ? "strict" : "forgiving");
        CHECK(!taken || expected == NULL || strcmp(out.bytes, expected) == 0, "%s: %s, expected %s",
              said, out.bytes, expected);
        text_free(&out);
    }
}

/* ---- cases ----------------------------------------------------------------------------------- */

static void check_good(void)
{
    check_stream("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final"
                 "<|message|>b<|return|>",
                 false, "assistant#analysis(a)E assistant#final(b)R ", NULL);
    check_stream(" to=functions.f<|channel|>commentary <|constrain|>json<|message|>{}<|call|>",
                 false, "assistant>functions.f#commentary!<|constrain|>json({})C ", NULL);
    check_stream("<|channel|>commentary to=functions.f<|constrain|>json<|message|>{}<|call|>",
                 false, "assistant>functions.f#commentary!<|constrain|>json({})C ", NULL);
    check_stream("<|channel|>analysis to=python code<|message|>1<|call|>", false,
                 "assistant>python#analysis!code(1)C ", NULL);
    check_stream("<|start|>user<|message|>a<|end|><|start|>functions.f to=assistant<|channel|>"
                 "commentary<|message|>b<|end|>",
                 true, "user(a)E tool:functions.f>assistant#commentary(b)E ", NULL);
    check_stream("<|channel|>final<|message|>a", false, "assistant#final(a)X ", NULL);
    check_stream("<|message|><|end|>", false, "assistant()E ", NULL);
    check_stream("", true, "", NULL);
    /* A single word is a recipient; so openai-harmony has it. */
    check_stream("<|channel|>analysis code<|message|>1<|end|>", false,
                 "assistant>code#analysis(1)E ", NULL);
    /* An unknown word before others is a tool. */
    check_stream("<|start|>x tool to=y<|message|><|end|>", true, "tool:x>y()E ", NULL);
}

static void check_refused(void)
{
    check_stream("", false, NULL, "");
    check_stream("hello", true, NULL, "assistant(hello)X ");
    check_stream("<|end|>", true, NULL, "");
    check_stream("<|channel|>final text<|end|>", false, NULL, "assistant#final( text)E ");
    check_stream("<|channel|>final\n\ntwo  lines<|return|>", false, NULL,
                 "assistant#final(\n\ntwo  lines)R ");
    check_stream("<|channel|><|message|>a<|end|>", false, NULL, "assistant(a)E ");
    check_stream("<|channel|>final one two three<|message|>a<|end|>", false, NULL,
                 "assistant#final( one two threea)E ");
    check_stream("one two to=f <|constrain|>json<|message|>a<|call|>", false, NULL,
                 "assistant>f!<|constrain|>json(one twoa)C ");
    check_stream("<|start|>user:bob<|message|>a<|end|>", true, NULL, "user:bob(a)E ");
    check_stream("<|start|>functions.f<|message|>a<|end|>", true, NULL, "tool:functions.f(a)E ");
    check_stream("<|start|>boss<|message|>a<|end|>", true, NULL, "assistant(bossa)E ");
    check_stream("<|start|><|message|>a<|end|>", true, NULL, "assistant(a)E ");
}

/* Streams that openai-harmony takes, with control tokens as words of the content. */
static void check_split(void)
{
    check_stream("<|channel|>analysis<|message|>a<|channel|>final<|message|>b<|return|>", false,
                 "assistant#analysis(a<|channel|>final<|message|>b)R ",
                 "assistant#analysis(a)X assistant#final(b)R ");
    check_stream("<|channel|>analysis<|message|>a<|start|>assistant<|channel|>final<|message|>b",
                 false, "assistant#analysis(a<|start|>assistant<|channel|>final<|message|>b)X ",
                 "assistant#analysis(a)X assistant#final(b)X ");
    check_stream("<|channel|>analysis a<|channel|>final<|message|>b<|end|>", false,
                 "assistant>a<|channel|>final#analysis(b)E ",
                 "assistant#analysis( a)X assistant#final(b)E ");
    check_stream("<|channel|>final<|message|>a<|message|>b<|end|>", false,
                 "assistant#final(a<|message|>b)E ", "assistant#final(ab)E ");
    check_stream("<|channel|>final<|message|>a<|end|>b<|end|><|end|>", false, NULL,
                 "assistant#final(a)E assistant(b)E ");
    check_stream("<|channel|>final<|message|>a<|end|><|channel|>final<|message|>b<|end|>", false,
                 NULL, "assistant#final(a)E assistant#final(b)E ");
}

/* What a model says without a header is heard before it ends. */
static void check_no_header(void)
{
    static const struct {
        const char *said;
        const char *heard;
    } cases[] = {
        {"it is not", ""},
        {"it is not so", "assistant(it is not so"},
        {"assistant it is not", ""},
        {"<|channel|>final one two three", ""},
        {"<|channel|>final one two three four five", "assistant#final( one two three four five"},
        {" to=functions.f<|channel|>commentary <|constrain|>json", ""},
        {" to=functions.f one two three four", "assistant>functions.f( one two three four"},
        {"\xe4\xb8\x96\xe4\xb8\x96\xe4\xb8\x96\xe4\xb8\x96\xe4\xb8\x96\xe4\xb8\x96\xe4\xb8\x96"
         "\xe4\xb8\x96\xe4\xb8\x96\xe4\xb8\x96\xe4\xb8\x96\xe4\xb8\x96\xe4\xb8\x96\xe4\xb8\x96"
         "\xe4\xb8\x96\xe4\xb8\x96\xe4\xb8\x96\xe4\xb8\x96\xe4\xb8\x96\xe4\xb8\x96\xe4\xb8\x96",
         ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text_buffer out = {0};
        gptoss_parser *parser;
        uint32_t *ids;
        size_t count;
        gptoss_parser_options options = {.event = note, .user = &out};
        text_append(&out, "%s", "");
        gptoss_parser_open(tokenizer, &options, &parser, NULL);
        gptoss_tokenizer_encode(tokenizer, cases[i].said, strlen(cases[i].said), true, &ids, &count,
                                NULL);
        for (size_t k = 0; k < count; k++)
            gptoss_parser_push(parser, ids[k], NULL);
        CHECK(strcmp(out.bytes, cases[i].heard) == 0, "%s: %s, expected %s", cases[i].said,
              out.bytes, cases[i].heard);
        gptoss_parser_close(parser);
        free(ids);
        text_free(&out);
    }
    /* In parts that end within a character, until it is long enough. */
    check_stream(
        "hello \xe4\xb8\x96 the \xe4\xb8\x96 and \xe4\xb8\x96 of \xe4\xb8\x96<|return|>", false,
        NULL, "assistant(hello \xe4\xb8\x96 the \xe4\xb8\x96 and \xe4\xb8\x96 of \xe4\xb8\x96)R ");
    check_stream("one two three four <|channel|>final<|message|>five<|return|>", false, NULL,
                 "assistant(one two three four )X assistant#final(five)R ");
}

/* Characters that come in parts, and bytes that are none. */
static void check_bytes(void)
{
    static const struct {
        const uint8_t bytes[6];
        size_t count;
        const char *expected;
    } cases[] = {
        {{0xf0, 0x9f, 0x91, 0x8d}, 4, "\xf0\x9f\x91\x8d"},
        {{0xc3}, 1, "\xef\xbf\xbd"},
        {{0xf0, 0x9f, 'a'},
         3,
         "\xef\xbf\xbd"
         "a"},
        {{0xff, 0xff, 0xc3, 0xa9}, 4, "\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9"},
        {{0, 'x'}, 2, "\0x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gptoss_parser *parser;
        uint32_t message;
        size_t count;
        gptoss_tokenizer_special(tokenizer, "<|message|>", &message);
        gptoss_parser_open(tokenizer, NULL, &parser, NULL);
        gptoss_parser_push(parser, message, NULL);
        for (size_t k = 0; k < cases[i].count; k++)
            for (uint32_t id = 0; id < 256; id++) {
                size_t length;
                const char *bytes = gptoss_tokenizer_bytes(tokenizer, id, &length);
                if (length == 1 && (uint8_t)*bytes == cases[i].bytes[k])
                    gptoss_parser_push(parser, id, NULL);
            }
        gptoss_parser_end(parser, NULL);
        const gptoss_message *made = gptoss_parser_messages(parser, &count);
        size_t expected = cases[i].expected[0] == '\0' ? 2 : strlen(cases[i].expected);
        CHECK(count == 1 && made->content->text.length == expected &&
                  memcmp(made->content->text.data, cases[i].expected, expected) == 0,
              "case %zu: %s", i, count == 1 ? made->content->text.data : "no message");
        gptoss_parser_close(parser);
    }
}

static uint32_t byte_token(uint8_t byte)
{
    uint32_t id = 0;
    size_t length;
    const char *bytes;
    while ((bytes = gptoss_tokenizer_bytes(tokenizer, id, &length)) == NULL || length != 1 ||
           (uint8_t)*bytes != byte)
        id++;
    return id;
}

/* A character does not reach over the end of a header, also of one that was taken for content. */
static void check_late_header(void)
{
    static const char said[] = "one two three four five ";
    text_buffer out = {0};
    gptoss_parser *parser;
    gptoss_parser_options options = {.event = note, .user = &out};
    uint32_t *ids;
    size_t count;
    uint32_t message;
    gptoss_tokenizer_special(tokenizer, "<|message|>", &message);
    gptoss_tokenizer_encode(tokenizer, said, sizeof said - 1, true, &ids, &count, NULL);
    gptoss_parser_open(tokenizer, &options, &parser, NULL);
    for (size_t i = 0; i < count; i++)
        gptoss_parser_push(parser, ids[i], NULL);
    const uint32_t rest[] = {byte_token(0xe4), byte_token(0xb8), message, byte_token(0x96),
                             byte_token(0xe4), byte_token(0xb8), message, byte_token(0x96)};
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        gptoss_parser_push(parser, rest[i], NULL);
    gptoss_parser_end(parser, NULL);
    CHECK(strcmp(out.bytes, "assistant(one two three four five \xef\xbf\xbd\xef\xbf\xbd"
                            "\xe4\xb8\x96)X ") == 0,
          "%s", out.bytes);
    gptoss_parser_close(parser);
    free(ids);
    text_free(&out);
}

/* Words that belong in a header are content all the same when there is no end of them. */
static void check_endless_header(void)
{
    text_buffer said = {0};
    text_buffer out = {0};
    text_append(&said, "<|channel|>final to=x");
    text_append(&out, "assistant>x#final(");
    size_t header = said.length;
    for (int i = 0; i < 100000; i++)
        text_append(&said, " to=x%d", i);
    text_append(&out, "%s)X ", said.bytes + header);
    char *expected = strdup(out.bytes);
    out.length = 0;
    CHECK(hear(said.bytes, &(gptoss_parser_options){0}, &out), "it is refused");
    CHECK(strcmp(out.bytes, expected) == 0, "%zu bytes are heard, expected %zu", out.length,
          strlen(expected));
    free(expected);
    text_free(&said);
    text_free(&out);
}

int main(void)
{
    gptoss_tokenizer_open(GPTOSS_SOURCE_DIR "/tests/cli/data/tokenizer.json", &tokenizer, NULL);
    CHECK(tokenizer != NULL, "there is no tokenizer");
    if (tokenizer == NULL)
        return test_result();
    check_good();
    check_refused();
    check_split();
    check_no_header();
    check_bytes();
    check_late_header();
    check_endless_header();
    gptoss_tokenizer_close(tokenizer);
    return test_result();
}
