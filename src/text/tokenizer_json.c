#include <stdlib.h>
#include <string.h>

#include "base/json_pull.h"
#include "base/utf8.h"
#include "text/pretokenize.h"
#include "text/tokenizer_file.h"

/* ---- the byte alphabet ----------------------------------------------------------------------- */

/*
 * Tokens are spelled in an alphabet of 256 printable characters, one for each byte: bytes that are
 * printable in Latin-1 stand for themselves, the others become U+0100 and on, in order. Source:
 * openai/gpt-2, encoder.py, bytes_to_unicode.
 */
#define ALPHABET_FIRST 0x100
#define ALPHABET_END   0x144

static bool stands_for_itself(uint32_t code)
{
    return (code > 0x20 && code < 0x7f) || (code > 0xa0 && code < 0x100 && code != 0xad);
}

/* The byte that a character of the alphabet stands for, or -1. */
static int alphabet_byte(uint32_t code)
{
    if (stands_for_itself(code))
        return (int)code;
    if (code < ALPHABET_FIRST || code >= ALPHABET_END)
        return -1;
    uint32_t place = code - ALPHABET_FIRST; /* 0x00 to 0x20, 0x7f to 0xa0, 0xad */
    return place <= 0x20 ? (int)place : place <= 0x42 ? (int)(place - 0x21 + 0x7f) : 0xad;
}

/* What is being read, and the bytes of the token that was read last. */
typedef struct json_source {
    json_pull reader;
    tokenizer_file file;
    char *bytes;
    size_t capacity;
} json_source;

static bool fail_spelling(json_source *source, byte_span spelled, const char *what)
{
    int length = spelled.length > 80 ? 80 : (int)spelled.length;
    return pull_fail(&source->reader, GPTOSS_FORMAT, "%s '%.*s'", what, length, spelled.data);
}

static bool bytes_reserve(json_source *source, size_t bytes)
{
    if (bytes <= source->capacity)
        return true;
    size_t capacity = 2 * bytes < 256 ? 256 : 2 * bytes;
    char *moved = realloc(source->bytes, capacity);
    if (moved == NULL)
        return pull_fail(&source->reader, GPTOSS_MEMORY, "no memory for a token of %zu bytes",
                         bytes);
    source->bytes = moved;
    source->capacity = capacity;
    return true;
}

/* Writes the bytes that `spelled` stands for behind the first `*length` of source->bytes. */
static bool append_spelled(json_source *source, byte_span spelled, size_t *length)
{
    if (!bytes_reserve(source, *length + spelled.length))
        return false;
    for (size_t at = 0; at < spelled.length;) {
        int32_t code = (uint8_t)spelled.data[at];
        at += code < 0x80
                  ? 1
                  : utf8_next((const uint8_t *)spelled.data + at, spelled.length - at, &code);
        int byte = alphabet_byte((uint32_t)code);
        if (byte < 0)
            return fail_spelling(source, spelled, "not in the byte-level alphabet:");
        source->bytes[(*length)++] = (char)byte;
    }
    return true;
}

/* ---- vocabulary and merges ------------------------------------------------------------------- */

static bool read_vocab(json_source *source)
{
    json_pull *reader = &source->reader;
    byte_span name;
    if (!pull_object(reader))
        return false;
    while (pull_member(reader, &name)) {
        size_t length = 0;
        uint64_t id;
        if (append_spelled(source, name, &length) && pull_u64(reader, TOKEN_MAX_ID - 1, &id))
            pull_accept(reader, vocabulary_add(&source->file.vocab, TOKEN_LEARNED, (uint32_t)id,
                                               source->bytes, length, reader->what, reader->error));
    }
    return reader->status == GPTOSS_OK;
}

static bool read_part(json_source *source, byte_span spelled, size_t *length, uint32_t *id)
{
    size_t begin = *length;
    if (!append_spelled(source, spelled, length))
        return false;
    *id = vocabulary_find(&source->file.vocab, source->bytes + begin, *length - begin);
    return *id != TOKEN_NONE ||
           fail_spelling(source, spelled, "a merge names a token that is not in the vocabulary:");
}

/* Both parts of a merge from one string, "left right"; no token is spelled with a space. */
static bool read_joined_parts(json_source *source, size_t *length, merge *out)
{
    byte_span both;
    if (!pull_string(&source->reader, &both))
        return false;
    const char *space = memchr(both.data, ' ', both.length);
    if (space == NULL)
        return fail_spelling(source, both, "a merge has no space:");
    byte_span left = {both.data, (size_t)(space - both.data)};
    byte_span right = {space + 1, both.length - left.length - 1};
    return read_part(source, left, length, &out->left) &&
           read_part(source, right, length, &out->right);
}

/* Both parts of a merge from an array of two strings. */
static bool read_listed_parts(json_source *source, size_t *length, merge *out)
{
    json_pull *reader = &source->reader;
    byte_span part;
    if (!pull_array(reader))
        return false;
    for (int i = 0; i < 2; i++) {
        if (!pull_element(reader))
            return pull_fail(reader, GPTOSS_FORMAT, "a merge of %d parts, expected 2", i);
        if (!pull_string(reader, &part) ||
            !read_part(source, part, length, i == 0 ? &out->left : &out->right))
            return false;
    }
    return !pull_element(reader) ||
           pull_fail(reader, GPTOSS_FORMAT, "a merge of more than 2 parts");
}

static bool read_merge(json_source *source)
{
    json_pull *reader = &source->reader;
    merge item = {0};
    size_t length = 0;
    bool read = pull_peek(reader) == JSON_STRING ? read_joined_parts(source, &length, &item)
                                                 : read_listed_parts(source, &length, &item);
    if (!read)
        return false;
    item.merged = vocabulary_find(&source->file.vocab, source->bytes, length);
    if (item.merged == TOKEN_NONE)
        return pull_fail(reader, GPTOSS_FORMAT,
                         "tokens %u and %u merge into one that is not in the vocabulary", item.left,
                         item.right);
    return pull_accept(reader, merge_list_add(&source->file.merges, item, reader->error));
}

static bool read_merges(json_source *source)
{
    json_pull *reader = &source->reader;
    if (!pull_array(reader))
        return false;
    while (pull_element(reader))
        read_merge(source);
    return reader->status == GPTOSS_OK;
}

/* ---- members of which only one value is supported -------------------------------------------- */

/* A member that must have a certain value for the ids to be those that this library makes. */
typedef struct expectation {
    const char *name;
    bool (*check)(json_pull *reader, const struct expectation *self);
    const char *value; /* the string that check_string wants */
} expectation;

#define MAX_EXPECTATIONS 4

static bool fail_unsupported(json_pull *reader, const char *name, const char *wanted)
{
    return pull_fail(reader, GPTOSS_UNSUPPORTED, "\"%s\" is something else than %s", name, wanted);
}

static bool check_string(json_pull *reader, const expectation *self)
{
    byte_span text;
    return pull_string(reader, &text) &&
           (byte_span_is(text, self->value) || fail_unsupported(reader, self->name, self->value));
}

static bool check_false(json_pull *reader, const expectation *self)
{
    bool value;
    return pull_bool(reader, &value) && (!value || fail_unsupported(reader, self->name, "false"));
}

/* Null, or a string without characters. */
static bool check_nothing(json_pull *reader, const char *name)
{
    byte_span text = {"", 0};
    json_kind kind = pull_peek(reader);
    if (kind == JSON_NULL || kind == JSON_FAULT)
        return pull_skip(reader);
    if (kind == JSON_STRING && pull_string(reader, &text) && text.length == 0)
        return true;
    return fail_unsupported(reader, name, "null");
}

/* Reads an object that must have these members as expected; others are skipped. */
static bool check_object(json_pull *reader, const char *what, const expectation *members,
                         size_t count)
{
    bool seen[MAX_EXPECTATIONS] = {false};
    byte_span name;
    if (!pull_object(reader))
        return false;
    while (pull_member(reader, &name)) {
        size_t i = 0;
        while (i < count && !byte_span_is(name, members[i].name))
            i++;
        if (i == count) {
            pull_skip(reader);
        } else {
            seen[i] = true;
            members[i].check(reader, &members[i]);
        }
    }
    for (size_t i = 0; i < count; i++)
        if (!seen[i])
            return pull_fail(reader, GPTOSS_UNSUPPORTED, "\"%s\" has no \"%s\"", what,
                             members[i].name);
    return reader->status == GPTOSS_OK;
}

#define CHECK_OBJECT(reader, what, members)                                                        \
    check_object(reader, what, members, sizeof(members) / sizeof((members)[0]))

static bool check_regex(json_pull *reader, const expectation *self)
{
    byte_span pattern;
    (void)self;
    if (!pull_string(reader, &pattern))
        return false;
    if (byte_span_is(pattern, o200k_pattern))
        return true;
    int length = pattern.length > 200 ? 200 : (int)pattern.length;
    return pull_fail(reader, GPTOSS_UNSUPPORTED,
                     "the pre-tokenizer's regular expression is not that of o200k, but '%.*s'",
                     length, pattern.data);
}

static bool check_pattern(json_pull *reader, const expectation *self)
{
    static const expectation members[] = {{.name = "Regex", .check = check_regex}};
    return CHECK_OBJECT(reader, self->name, members);
}

/* The two pre-tokenizers that make up o200k's. */
static bool check_sequence(json_pull *reader, const expectation *self)
{
    static const expectation split[] = {
        {.name = "type", .check = check_string, .value = "Split"},
        {.name = "pattern", .check = check_pattern},
        {.name = "behavior", .check = check_string, .value = "Isolated"},
        {.name = "invert", .check = check_false},
    };
    static const expectation byte_level[] = {
        {.name = "type", .check = check_string, .value = "ByteLevel"},
        {.name = "add_prefix_space", .check = check_false},
        {.name = "use_regex", .check = check_false},
    };
    bool good = pull_array(reader) && pull_element(reader) &&
                CHECK_OBJECT(reader, self->name, split) && pull_element(reader) &&
                CHECK_OBJECT(reader, self->name, byte_level) && !pull_element(reader);
    return (good && reader->status == GPTOSS_OK) ||
           fail_unsupported(reader, self->name, "Split followed by ByteLevel");
}

static bool check_pre_tokenizer(json_pull *reader)
{
    static const expectation members[] = {
        {.name = "type", .check = check_string, .value = "Sequence"},
        {.name = "pretokenizers", .check = check_sequence},
    };
    if (pull_peek(reader) == JSON_NULL)
        return fail_unsupported(reader, "pre_tokenizer", "that of o200k");
    return CHECK_OBJECT(reader, "pre_tokenizer", members);
}

/* A decoder or post-processor: ByteLevel, whose settings change no ids and no bytes. */
static bool check_byte_level(json_pull *reader, const char *name)
{
    static const expectation members[] = {
        {.name = "type", .check = check_string, .value = "ByteLevel"}};
    return CHECK_OBJECT(reader, name, members);
}

/* ---- the document ---------------------------------------------------------------------------- */

static bool fail_repeated(json_pull *reader, const char *name)
{
    return pull_fail(reader, GPTOSS_FORMAT, "a second \"%s\"", name);
}

/* Where a value that is read later begins, NULL until it is met. */
typedef const char *deferred;

static bool defer(json_pull *reader, const char *name, deferred *mark)
{
    if (*mark != NULL)
        return fail_repeated(reader, name);
    *mark = pull_mark(reader);
    return pull_skip(reader);
}

/* Reads a deferred value, if there is one, and comes back. */
static bool read_deferred(json_source *source, deferred mark, bool (*read)(json_source *))
{
    const char *here = pull_mark(&source->reader);
    if (mark == NULL || source->reader.status != GPTOSS_OK)
        return source->reader.status == GPTOSS_OK;
    pull_seek(&source->reader, mark);
    bool good = read(source);
    pull_seek(&source->reader, here);
    return good;
}

/* What of the model and the document has been met. */
typedef struct document_parts {
    bool model;
    bool vocab;
    bool merges;
    bool pre_tokenizer;
    bool decoder;
    deferred early_merges; /* merges that stand before the vocabulary */
    deferred added_tokens;
} document_parts;

static bool read_model_member(json_source *source, byte_span name, document_parts *parts)
{
    static const char *const absent[] = {"dropout", "continuing_subword_prefix",
                                         "end_of_word_suffix"};
    json_pull *reader = &source->reader;
    if (byte_span_is(name, "vocab")) {
        if (parts->vocab)
            return fail_repeated(reader, "vocab");
        parts->vocab = true;
        return read_vocab(source);
    }
    if (byte_span_is(name, "merges")) {
        if (parts->merges)
            return fail_repeated(reader, "merges");
        parts->merges = true;
        return parts->vocab ? read_merges(source) : defer(reader, "merges", &parts->early_merges);
    }
    if (byte_span_is(name, "type"))
        return check_string(reader, &(expectation){.name = "type", .value = "BPE"});
    if (byte_span_is(name, "ignore_merges"))
        return pull_bool(reader, &source->file.whole_pieces);
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        if (byte_span_is(name, absent[i]))
            return check_nothing(reader, absent[i]);
    return pull_skip(reader);
}

static bool read_model(json_source *source, document_parts *parts)
{
    json_pull *reader = &source->reader;
    byte_span name;
    if (parts->model)
        return fail_repeated(reader, "model");
    parts->model = true;
    if (!pull_object(reader))
        return false;
    while (pull_member(reader, &name))
        read_model_member(source, name, parts);
    if (reader->status == GPTOSS_OK && !(parts->vocab && parts->merges))
        return pull_fail(reader, GPTOSS_FORMAT, "the model has no \"%s\"",
                         parts->vocab ? "merges" : "vocab");
    return read_deferred(source, parts->early_merges, read_merges);
}

/* One element of added_tokens. */
static bool read_added_token(json_source *source)
{
    static const char *const flags[] = {"single_word", "lstrip", "rstrip"};
    json_pull *reader = &source->reader;
    byte_span name;
    byte_span content;
    uint64_t id = TOKEN_NONE;
    size_t length = 0;
    bool special = false;
    if (!pull_object(reader))
        return false;
    while (pull_member(reader, &name)) {
        const char *flag = NULL;
        for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
            if (byte_span_is(name, flags[i]))
                flag = flags[i];
        if (flag != NULL) {
            check_false(reader, &(expectation){.name = flag});
        } else if (byte_span_is(name, "id")) {
            pull_u64(reader, TOKEN_MAX_ID - 1, &id);
        } else if (byte_span_is(name, "special")) {
            pull_bool(reader, &special);
        } else if (byte_span_is(name, "content")) {
            if (pull_string(reader, &content) && bytes_reserve(source, content.length))
                memcpy(source->bytes, content.data, length = content.length);
        } else {
            pull_skip(reader);
        }
    }
    if (reader->status == GPTOSS_OK && (id == TOKEN_NONE || length == 0))
        return pull_fail(reader, GPTOSS_FORMAT, "an added token without \"%s\"",
                         id == TOKEN_NONE ? "id" : "content");
    return reader->status == GPTOSS_OK &&
           pull_accept(reader, vocabulary_add(&source->file.vocab,
                                              special ? TOKEN_SPECIAL : TOKEN_ADDED, (uint32_t)id,
                                              source->bytes, length, reader->what, reader->error));
}

static bool read_added_tokens(json_source *source)
{
    json_pull *reader = &source->reader;
    if (!pull_array(reader))
        return false;
    while (pull_element(reader))
        read_added_token(source);
    return reader->status == GPTOSS_OK;
}

/* An added token that BPE makes too would turn up where nobody wrote it as one. */
static bool check_merged_tokens(json_source *source)
{
    for (size_t i = 0; i < source->file.merges.count; i++) {
        merge item = source->file.merges.items[i];
        if (vocabulary_token(&source->file.vocab, item.merged).kind != TOKEN_LEARNED)
            return pull_fail(&source->reader, GPTOSS_UNSUPPORTED,
                             "tokens %u and %u merge into the added token %u", item.left,
                             item.right, item.merged);
    }
    return true;
}

static bool read_document_member(json_source *source, byte_span name, document_parts *parts)
{
    json_pull *reader = &source->reader;
    if (byte_span_is(name, "model"))
        return read_model(source, parts);
    if (byte_span_is(name, "added_tokens"))
        return defer(reader, "added_tokens", &parts->added_tokens);
    if (byte_span_is(name, "normalizer"))
        return check_nothing(reader, "normalizer");
    if (byte_span_is(name, "post_processor"))
        return pull_peek(reader) == JSON_NULL ? pull_skip(reader)
                                              : check_byte_level(reader, "post_processor");
    if (byte_span_is(name, "pre_tokenizer")) {
        parts->pre_tokenizer = true;
        return check_pre_tokenizer(reader);
    }
    if (byte_span_is(name, "decoder")) {
        parts->decoder = true;
        return check_byte_level(reader, "decoder");
    }
    return pull_skip(reader);
}

static bool read_document(json_source *source)
{
    json_pull *reader = &source->reader;
    document_parts parts = {0};
    byte_span name;
    if (!pull_object(reader))
        return false;
    while (pull_member(reader, &name))
        read_document_member(source, name, &parts);
    if (!pull_end(reader))
        return false;
    const char *missing = !parts.model           ? "model"
                          : !parts.pre_tokenizer ? "pre_tokenizer"
                          : !parts.decoder       ? "decoder"
                                                 : NULL;
    if (missing != NULL)
        return pull_fail(reader, GPTOSS_FORMAT, "the document has no \"%s\"", missing);
    return read_deferred(source, parts.added_tokens, read_added_tokens) &&
           check_merged_tokens(source);
}

gptoss_status tokenizer_json_parse(const char *text, size_t length, const char *what,
                                   tokenizer_file *out, gptoss_error *error)
{
    json_source source = {0};
    pull_open(&source.reader, text, length, what, error);
    if (!read_document(&source))
        tokenizer_file_free(&source.file);
    pull_close(&source.reader);
    free(source.bytes);
    *out = source.file;
    return source.reader.status;
}
