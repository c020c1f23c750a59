#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "text/find_tokenizer.h"
#include "text/pretokenize.h"
#include "text/tokenizer_file.h"

#define MAX_FILE_BYTES (1U << 30)

struct gptoss_tokenizer {
    vocabulary vocab;
    merge_table merges;
    bool whole_pieces; /* a piece that is a token is not merged */
    pretokenizer *rules;
};

/* ---- opening --------------------------------------------------------------------------------- */

static bool begins_with(file_map map, const char *text)
{
    return map.size >= strlen(text) && memcmp(map.data, text, strlen(text)) == 0;
}

/* No line of ranks begins with a brace, and no path has to end in .json. */
static bool looks_like_json(file_map map, const char *path)
{
    size_t length = strlen(path);
    if (length >= 5 && strcmp(path + length - 5, ".json") == 0)
        return true;
    return begins_with(map, "{");
}

static gptoss_status read_file(file_map map, const char *path, tokenizer_file *out,
                               gptoss_error *error)
{
    const char *text = map.size == 0 ? "" : (const char *)map.data;
    if (begins_with(map, "version https://git-lfs"))
        return fail(error, GPTOSS_FORMAT,
                    "%s: a Git LFS pointer, not the tokenizer itself: fetch it with 'git lfs pull'",
                    path);
    if (looks_like_json(map, path))
        return tokenizer_json_parse(text, map.size, path, out, error);
    gptoss_status status = tiktoken_parse(text, map.size, path, out, error);
    return status == GPTOSS_OK ? tiktoken_add_harmony(out, path, error) : status;
}

gptoss_status tokenizer_build(tokenizer_file *file, const char *what, gptoss_tokenizer **out,
                              gptoss_error *error)
{
    *out = NULL;
    gptoss_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (tokenizer == NULL)
        return fail_memory(error, "a tokenizer", sizeof *tokenizer);
    tokenizer->whole_pieces = file->whole_pieces;
    tokenizer->vocab = file->vocab;
    file->vocab = (vocabulary){0};
    gptoss_status status = vocabulary_complete(&tokenizer->vocab, what, error);
    if (status == GPTOSS_OK)
        status = merge_table_build(&file->merges, what, &tokenizer->merges, error);
    if (status == GPTOSS_OK)
        status = pretokenizer_open(true, &tokenizer->rules, error);
    if (status == GPTOSS_OK)
        *out = tokenizer;
    else
        gptoss_tokenizer_close(tokenizer);
    return status;
}

gptoss_status gptoss_tokenizer_open(const char *path, gptoss_tokenizer **out, gptoss_error *error)
{
    *out = NULL;
    char *found = NULL;
    file_map map = {0};
    tokenizer_file file = {0};
    gptoss_status status = find_tokenizer(path, &found, error);
    if (status == GPTOSS_OK && found == NULL)
        status = fail(error, GPTOSS_IO,
                      "%s: neither here nor in the directory above is there a tokenizer.json or a "
                      ".tiktoken file",
                      path);
    if (status == GPTOSS_OK)
        status = file_map_read(found, MAX_FILE_BYTES, &map, error);
    if (status == GPTOSS_OK)
        status = read_file(map, found, &file, error);
    if (status == GPTOSS_OK)
        status = tokenizer_build(&file, found, out, error);
    tokenizer_file_free(&file);
    file_map_close(&map);
    free(found);
    return status;
}

void gptoss_tokenizer_close(gptoss_tokenizer *tokenizer)
{
    if (tokenizer == NULL)
        return;
    vocabulary_free(&tokenizer->vocab);
    merge_table_free(&tokenizer->merges);
    pretokenizer_close(tokenizer->rules);
    free(tokenizer);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

uint32_t gptoss_tokenizer_size(const gptoss_tokenizer *tokenizer)
{
    return tokenizer->vocab.size;
}

const char *gptoss_tokenizer_bytes(const gptoss_tokenizer *tokenizer, uint32_t id, size_t *length)
{
    token found = vocabulary_token(&tokenizer->vocab, id);
    *length = found.length;
    return found.kind == TOKEN_ABSENT ? NULL : tokenizer->vocab.bytes + found.offset;
}

bool gptoss_tokenizer_is_special(const gptoss_tokenizer *tokenizer, uint32_t id)
{
    return vocabulary_token(&tokenizer->vocab, id).kind == TOKEN_SPECIAL;
}

bool gptoss_tokenizer_special(const gptoss_tokenizer *tokenizer, const char *text, uint32_t *id)
{
    uint32_t found;
    size_t length = strlen(text);
    const vocabulary *vocab = &tokenizer->vocab;
    if (vocabulary_find_added(vocab, text, length, true, &found) != 0 || found == TOKEN_NONE)
        return false;
    token special = vocabulary_token(vocab, found);
    if (special.length != length || special.kind != TOKEN_SPECIAL)
        return false;
    *id = found;
    return true;
}

/* ---- encoding -------------------------------------------------------------------------------- */

/* The ids so far, with room for more. */
typedef struct id_list {
    uint32_t *ids;
    size_t count;
    size_t capacity;
} id_list;

static gptoss_status id_list_reserve(id_list *list, size_t more, gptoss_error *error)
{
    size_t needed = list->count + more;
    if (needed <= list->capacity)
        return GPTOSS_OK;
    size_t capacity = needed < 2 * list->capacity ? 2 * list->capacity : needed;
    uint32_t *ids =
        memory_suffices(capacity * sizeof *ids) ? realloc(list->ids, capacity * sizeof *ids) : NULL;
    if (ids == NULL)
        return fail_memory(error, "token ids", capacity * sizeof *ids);
    list->ids = ids;
    list->capacity = capacity;
    return GPTOSS_OK;
}

typedef struct encoder {
    const gptoss_tokenizer *tokenizer;
    id_list out;
    bpe_scratch scratch;
    gptoss_error *error;
} encoder;

static gptoss_status encode_piece(encoder *state, const char *piece, size_t length)
{
    const gptoss_tokenizer *tokenizer = state->tokenizer;
    id_list *out = &state->out;
    gptoss_status status = id_list_reserve(out, length, state->error);
    if (status != GPTOSS_OK)
        return status;
    uint32_t *ids = out->ids + out->count;
    if (tokenizer->whole_pieces) {
        ids[0] = vocabulary_find(&tokenizer->vocab, piece, length);
        if (ids[0] != TOKEN_NONE) {
            out->count++;
            return GPTOSS_OK;
        }
    }
    for (size_t i = 0; i < length; i++)
        ids[i] = tokenizer->vocab.of_byte[(uint8_t)piece[i]];
    size_t count = length;
    status = bpe_merge(&tokenizer->merges, &state->scratch, ids, &count, state->error);
    if (status == GPTOSS_OK)
        out->count += count;
    return status;
}

/* Text without added tokens. */
static gptoss_status encode_plain(encoder *state, const char *text, size_t length)
{
    piece_walk *walk;
    gptoss_status status =
        piece_walk_open(state->tokenizer->rules, text, length, &walk, state->error);
    while (status == GPTOSS_OK) {
        const char *piece;
        size_t piece_length;
        status = piece_walk_next(walk, &piece, &piece_length, state->error);
        if (status != GPTOSS_OK || piece_length == 0)
            break;
        status = encode_piece(state, piece, piece_length);
    }
    piece_walk_close(walk);
    return status;
}

/* Well-formed text: plain parts and the added tokens between them. */
static gptoss_status encode_text(encoder *state, const char *text, size_t length, bool specials)
{
    const vocabulary *vocab = &state->tokenizer->vocab;
    gptoss_status status = GPTOSS_OK;
    while (status == GPTOSS_OK && length > 0) {
        uint32_t id;
        size_t plain = vocabulary_find_added(vocab, text, length, specials, &id);
        status = plain == 0 ? GPTOSS_OK : encode_plain(state, text, plain);
        text += plain;
        length -= plain;
        if (status != GPTOSS_OK || id == TOKEN_NONE)
            continue;
        status = id_list_reserve(&state->out, 1, state->error);
        if (status == GPTOSS_OK)
            state->out.ids[state->out.count++] = id;
        uint32_t matched = vocabulary_token(vocab, id).length;
        text += matched;
        length -= matched;
    }
    return status;
}

/* A well-formed copy of `text`, with U+FFFD for each maximal ill-formed part. */
static gptoss_status repair_text(const char *text, size_t length, char **out, size_t *out_length,
                                 gptoss_error *error)
{
    size_t room = 0;
    char *copy = NULL;
    if (!__builtin_mul_overflow(length, 3, &room) && !__builtin_add_overflow(room, 12, &room) &&
        memory_suffices(room))
        copy = malloc(room); /* GPTOSS_UTF8_ROOM(length), checked */
    if (copy == NULL)
        return fail_memory(error, "a copy of a text that is not well-formed UTF-8", room);
    gptoss_utf8_stream stream = {0};
    size_t written = gptoss_utf8_push(&stream, text, length, copy);
    *out_length = written + gptoss_utf8_end(&stream, copy + written);
    *out = copy;
    return GPTOSS_OK;
}

gptoss_status gptoss_tokenizer_encode(const gptoss_tokenizer *tokenizer, const char *text,
                                      size_t length, bool specials, uint32_t **ids, size_t *count,
                                      gptoss_error *error)
{
    *ids = NULL;
    *count = 0;
    char *repaired = NULL;
    encoder state = {.tokenizer = tokenizer, .error = error};
    gptoss_status status = GPTOSS_OK;
    if (length > 0 && utf8_valid_prefix((const uint8_t *)text, length) < length) {
        status = repair_text(text, length, &repaired, &length, error);
        text = repaired;
    }
    if (status == GPTOSS_OK) /* something to free, also for no text */
        status = id_list_reserve(&state.out, length / 4 + 1, error);
    if (status == GPTOSS_OK)
        status = encode_text(&state, text, length, specials);
    bpe_scratch_free(&state.scratch);
    free(repaired);
    if (status != GPTOSS_OK) {
        free(state.out.ids);
        return status;
    }
    *ids = state.out.ids;
    *count = state.out.count;
    return GPTOSS_OK;
}
