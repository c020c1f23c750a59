#include <stdio.h>
#include <string.h>

#include "text/tokenizer_file.h"

#define O200K_TOKENS  199998
#define HARMONY_FIRST O200K_TOKENS /* ids of special tokens, both included */
#define HARMONY_LAST  200018

void tokenizer_file_free(tokenizer_file *file)
{
    vocabulary_free(&file->vocab);
    merge_list_free(&file->merges);
}

/* ---- one line -------------------------------------------------------------------------------- */

/* What is left of the text, and where it is for errors. */
typedef struct line_reader {
    const char *at;
    const char *end;
    const char *what;
    size_t line;
} line_reader;

static gptoss_status fail_line(const line_reader *reader, const char *sentence, gptoss_error *error)
{
    return fail(error, GPTOSS_FORMAT, "%s: line %zu: %s", reader->what, reader->line, sentence);
}

/* The six bits of a base64 digit, or -1. */
static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes padded base64 up to the first other character; returns false when it is malformed. */
static bool read_base64(line_reader *reader, char out[TOKEN_MAX_BYTES], size_t *length)
{
    uint32_t bits = 0;
    size_t digits = 0;
    *length = 0;
    for (; reader->at < reader->end && base64_digit(*reader->at) >= 0; reader->at++) {
        bits = bits << 6 | (uint32_t)base64_digit(*reader->at);
        if (digits++ % 4 == 0)
            continue;
        if (*length == TOKEN_MAX_BYTES)
            return false;
        unsigned spare = 6 - 2 * (unsigned)((digits - 1) % 4); /* bits of the next byte: 4, 2, 0 */
        out[(*length)++] = (char)(bits >> spare);
        bits &= (1U << spare) - 1;
    }
    for (; digits % 4 >= 2 && reader->at < reader->end && *reader->at == '='; reader->at++)
        digits++;
    return digits % 4 == 0 && bits == 0;
}

static bool read_rank(line_reader *reader, uint32_t *out)
{
    const char *begin = reader->at;
    *out = 0;
    for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++) {
        *out = *out * 10 + (uint32_t)(*reader->at - '0');
        if (*out >= TOKEN_MAX_ID)
            return false;
    }
    return reader->at > begin;
}

static bool read_newline(line_reader *reader)
{
    if (reader->at < reader->end && *reader->at == '\r')
        reader->at++;
    if (reader->at == reader->end)
        return true;
    return *reader->at++ == '\n';
}

static gptoss_status read_line(line_reader *reader, vocabulary *vocab, gptoss_error *error)
{
    char bytes[TOKEN_MAX_BYTES];
    size_t length;
    uint32_t rank;
    if (!read_base64(reader, bytes, &length) || length == 0)
        return fail_line(reader, "expected a token of 1 to 4096 bytes in base64", error);
    if (reader->at == reader->end || *reader->at++ != ' ')
        return fail_line(reader, "expected a space between token and rank", error);
    if (!read_rank(reader, &rank))
        return fail_line(reader, "expected a rank below 16777216", error);
    if (!read_newline(reader))
        return fail_line(reader, "expected nothing after the rank", error);
    return vocabulary_add(vocab, TOKEN_LEARNED, rank, bytes, length, reader->what, error);
}

/* ---- the file -------------------------------------------------------------------------------- */

gptoss_status tiktoken_parse(const char *text, size_t length, const char *what, tokenizer_file *out,
                             gptoss_error *error)
{
    tokenizer_file file = {.whole_pieces = true};
    line_reader reader = {text, text + length, what, 0};
    gptoss_status status = GPTOSS_OK;
    while (status == GPTOSS_OK && reader.at < reader.end) {
        reader.line++;
        if (*reader.at == '\n') /* tiktoken skips blank lines too */
            reader.at++;
        else
            status = read_line(&reader, &file.vocab, error);
    }
    if (status == GPTOSS_OK)
        status = vocabulary_list_merges(&file.vocab, &file.merges, error);
    if (status != GPTOSS_OK)
        tokenizer_file_free(&file);
    *out = file;
    return status;
}

/* The text of a special token; ids without a name of their own are <|reserved_ID|>. */
static void harmony_text(uint32_t id, char out[32])
{
    static const struct {
        uint32_t id;
        const char *text;
    } named[] = {
        {199998, "<|startoftext|>"}, {199999, "<|endoftext|>"}, {200002, "<|return|>"},
        {200003, "<|constrain|>"},   {200005, "<|channel|>"},   {200006, "<|start|>"},
        {200007, "<|end|>"},         {200008, "<|message|>"},   {200012, "<|call|>"},
        {200018, "<|endofprompt|>"},
    };
    snprintf(out, 32, "<|reserved_%u|>", id);
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
        if (named[i].id == id)
            snprintf(out, 32, "%s", named[i].text);
}

gptoss_status tiktoken_add_harmony(tokenizer_file *file, const char *what, gptoss_error *error)
{
    vocabulary *vocab = &file->vocab;
    if (vocab->learned != O200K_TOKENS || vocab->size != O200K_TOKENS)
        return fail(error, GPTOSS_UNSUPPORTED,
                    "%s: expected the %u ranks of o200k_base from 0, found %u up to %u", what,
                    O200K_TOKENS, vocab->learned, vocab->size == 0 ? 0 : vocab->size - 1);
    for (uint32_t id = HARMONY_FIRST; id <= HARMONY_LAST; id++) {
        char text[32];
        harmony_text(id, text);
        gptoss_status status =
            vocabulary_add(vocab, TOKEN_SPECIAL, id, text, strlen(text), what, error);
        if (status != GPTOSS_OK)
            return status;
    }
    return GPTOSS_OK;
}
