/* Reading a sequence from a session file: everything is checked before any of it is used. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/sha256.h"
#include "checkpoint/safetensors.h"
#include "engine/sequence.h"
#include "engine/session.h"

/* Keys and values of a layer, [rows, kv_heads, head_dim] each. */
typedef struct stored_layer {
    const uint8_t *keys;
    const uint8_t *values;
} stored_layer;

typedef struct loading {
    const gptoss_model *model;
    const gptoss_config *config;
    const char *path;
    file_map map;
    safetensors file;
    gptoss_cache_format format;
    uint32_t *tokens; /* [length] */
    uint32_t length;
    uint32_t *marks; /* [mark_count] */
    uint32_t mark_count;
    uint32_t *positions; /* [held] */
    uint32_t held;
    stored_layer *layers; /* [config->layers] */
    const tensor *note;
} loading;

/* ---- the whole file -------------------------------------------------------------------------- */

static gptoss_status check_beginning(const loading *l, gptoss_error *error)
{
    static const char key[] = SESSION_KEY;
    size_t least = 8 + sizeof key - 1 + SHA256_BYTES;
    if (l->map.size < least || memcmp(l->map.data + 8, key, sizeof key - 1) != 0)
        return fail(error, GPTOSS_FORMAT,
                    "%s is no session of gptoss: it does not begin as sessions do", l->path);
    return GPTOSS_OK;
}

static gptoss_status check_digest(const loading *l, gptoss_error *error)
{
    uint8_t found[SHA256_BYTES];
    sha256 digest;
    size_t size = l->map.size - SHA256_BYTES;
    sha256_begin(&digest);
    sha256_add(&digest, l->map.data, size);
    sha256_end(&digest, found);
    if (memcmp(found, l->map.data + size, SHA256_BYTES) != 0)
        return fail(error, GPTOSS_FORMAT,
                    "%s is damaged or cut short: it does not end with the SHA-256 of its contents",
                    l->path);
    return GPTOSS_OK;
}

/* ---- metadata -------------------------------------------------------------------------------- */

static gptoss_status find_entry(const loading *l, const char *key, const char **out,
                                gptoss_error *error)
{
    const json_value *entry = json_member(l->file.metadata, key);
    *out = entry == NULL ? NULL : json_string(entry);
    return entry == NULL
               ? fail(error, GPTOSS_FORMAT, "%s: its metadata have no entry \"%s\"", l->path, key)
               : GPTOSS_OK;
}

static gptoss_status check_model(const loading *l, gptoss_error *error)
{
    const char *found;
    char expected[65];
    gptoss_status status = find_entry(l, "model", &found, error);
    if (status == GPTOSS_OK)
        status = gptoss_model_identity(l->model, expected, error);
    if (status == GPTOSS_OK && strcmp(found, expected) != 0)
        return fail(error, GPTOSS_FORMAT,
                    "%s is a session with another model: expected the one of %s, %.16s..., found "
                    "%.16s...",
                    l->path, gptoss_model_directory(l->model), expected, found);
    return status;
}

static gptoss_status read_format(loading *l, const gptoss_sequence_options *options,
                                 gptoss_error *error)
{
    const char *found;
    gptoss_status status = find_entry(l, "cache", &found, error);
    if (status != GPTOSS_OK)
        return status;
    l->format = strcmp(found, gptoss_cache_format_name(GPTOSS_CACHE_BF16)) == 0 ? GPTOSS_CACHE_BF16
                                                                                : GPTOSS_CACHE_F32;
    if (strcmp(found, gptoss_cache_format_name(l->format)) != 0)
        return fail(error, GPTOSS_FORMAT,
                    "%s keeps keys and values in \"%.32s\": expected f32 or "
                    "bf16",
                    l->path, found);
    if (options != NULL && options->cache != l->format)
        return fail(error, GPTOSS_USAGE, "%s keeps keys and values in %s: expected %s", l->path,
                    found, gptoss_cache_format_name(options->cache));
    return GPTOSS_OK;
}

static gptoss_status read_metadata(loading *l, const gptoss_sequence_options *options,
                                   gptoss_error *error)
{
    const char *found;
    gptoss_status status = find_entry(l, "format", &found, error);
    if (status == GPTOSS_OK && strcmp(found, SESSION_FORMAT) != 0)
        return fail(error, GPTOSS_UNSUPPORTED,
                    "%s has the format \"%.64s\": expected \"%s\", which this version reads",
                    l->path, found, SESSION_FORMAT);
    if (status == GPTOSS_OK)
        status = check_model(l, error);
    return status == GPTOSS_OK ? read_format(l, options, error) : status;
}

/* ---- tensors --------------------------------------------------------------------------------- */

static gptoss_status find_tensor(const loading *l, const char *name, dtype type, uint32_t rank,
                                 const tensor **out, gptoss_error *error)
{
    const tensor *found = safetensors_find(&l->file, name);
    *out = found;
    if (found == NULL)
        return fail(error, GPTOSS_FORMAT, "%s: tensor \"%s\" is missing", l->path, name);
    if (found->type != type || found->rank != rank)
        return fail(error, GPTOSS_FORMAT,
                    "%s: tensor \"%s\": expected %s of %" PRIu32
                    " dimensions, found %s of %" PRIu32,
                    l->path, name, dtype_name(type), rank, dtype_name(found->type), found->rank);
    return GPTOSS_OK;
}

/* A list of at most `most` numbers, whose that is in `bound`, copied to where they are aligned. */
static gptoss_status read_list(const loading *l, const char *name, uint32_t most, const char *bound,
                               uint32_t **out, uint32_t *count, gptoss_error *error)
{
    const tensor *from;
    gptoss_status status = find_tensor(l, name, DTYPE_U32, 1, &from, error);
    if (status != GPTOSS_OK)
        return status;
    if (from->shape[0] > most)
        return fail(error, GPTOSS_LIMIT, "%s holds %" PRIu64 " %s: expected at most %s%" PRIu32,
                    l->path, from->shape[0], name, bound, most);
    *out = malloc(from->bytes + 1);
    if (*out == NULL)
        return fail_memory(error, l->path, from->bytes);
    memcpy(*out, from->data, from->bytes);
    *count = (uint32_t)from->shape[0];
    return GPTOSS_OK;
}

/* Each above the one before, and from `least` to `most`. */
static gptoss_status check_ascending(const loading *l, const char *name, const uint32_t *list,
                                     uint32_t count, uint32_t least, uint32_t most,
                                     gptoss_error *error)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i] < (i == 0 ? least : list[i - 1] + 1) || list[i] > most)
            return fail(error, GPTOSS_FORMAT,
                        "%s: number %" PRIu32 " of its %s is %" PRIu32
                        ": expected ascending ones from %" PRIu32 " to %" PRIu32,
                        l->path, i, name, list[i], least, most);
    return GPTOSS_OK;
}

static gptoss_status check_tokens(const loading *l, gptoss_error *error)
{
    for (uint32_t i = 0; i < l->length; i++)
        if (l->tokens[i] >= l->config->vocab)
            return fail(error, GPTOSS_FORMAT,
                        "%s: token %" PRIu32 " is %" PRIu32
                        ": expected an id below the vocabulary's %" PRIu32,
                        l->path, i, l->tokens[i], l->config->vocab);
    return GPTOSS_OK;
}

/* Where a position lies among those of the sliding layers, or would. */
static uint32_t row_of(const loading *l, uint32_t position)
{
    uint32_t begin = 0;
    uint32_t end = l->held;
    while (begin < end) {
        uint32_t middle = begin + (end - begin) / 2;
        if (l->positions[middle] < position)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

/* Whether the sliding layers have what is looked at from `length`. */
static gptoss_status check_window(const loading *l, uint32_t length, gptoss_error *error)
{
    uint32_t begin = kv_cache_window(l->config, length);
    uint32_t row = row_of(l, begin);
    if (length - begin > l->held - row ||
        (length > begin && l->positions[row + (length - begin) - 1] != length - 1))
        return fail(error, GPTOSS_FORMAT,
                    "%s: its sliding layers lack positions from %" PRIu32 " to %" PRIu32, l->path,
                    begin, length - 1);
    return GPTOSS_OK;
}

static gptoss_status read_lists(loading *l, uint32_t context, gptoss_error *error)
{
    gptoss_status status =
        read_list(l, "tokens", context, "the context's ", &l->tokens, &l->length, error);
    if (status == GPTOSS_OK)
        status = read_list(l, "marks", GPTOSS_MAX_MARKS, "", &l->marks, &l->mark_count, error);
    if (status == GPTOSS_OK)
        status =
            read_list(l, "positions", l->length, "its tokens' ", &l->positions, &l->held, error);
    if (status == GPTOSS_OK)
        status = check_tokens(l, error);
    if (status == GPTOSS_OK)
        status = check_ascending(l, "marks", l->marks, l->mark_count, 1, l->length, error);
    if (status == GPTOSS_OK && l->held > 0)
        status = check_ascending(l, "positions", l->positions, l->held, 0, l->length - 1, error);
    if (status == GPTOSS_OK)
        status = check_window(l, l->length, error);
    for (uint32_t i = 0; i < l->mark_count && status == GPTOSS_OK; i++)
        status = check_window(l, l->marks[i], error);
    return status;
}

static gptoss_status find_numbers(const loading *l, uint32_t layer, const char *what,
                                  const uint8_t **out, gptoss_error *error)
{
    uint64_t rows = l->config->sliding[layer] ? l->held : l->length;
    char name[SESSION_NAME];
    const tensor *found;
    snprintf(name, sizeof name, "layers.%" PRIu32 ".%s", layer, what);
    gptoss_status status = find_tensor(
        l, name, l->format == GPTOSS_CACHE_BF16 ? DTYPE_BF16 : DTYPE_F32, 3, &found, error);
    if (status != GPTOSS_OK)
        return status;
    if (found->shape[0] != rows || found->shape[1] != l->config->kv_heads ||
        found->shape[2] != l->config->head_dim)
        return fail(error, GPTOSS_FORMAT,
                    "%s: tensor \"%s\": expected the shape [%" PRIu64 ", %" PRIu32 ", %" PRIu32
                    "], found [%" PRIu64 ", %" PRIu64 ", %" PRIu64 "]",
                    l->path, name, rows, l->config->kv_heads, l->config->head_dim, found->shape[0],
                    found->shape[1], found->shape[2]);
    *out = found->data;
    return GPTOSS_OK;
}

static gptoss_status find_layers(loading *l, gptoss_error *error)
{
    gptoss_status status = GPTOSS_OK;
    l->layers = calloc(l->config->layers, sizeof *l->layers);
    if (l->layers == NULL)
        return fail_memory(error, l->path, l->config->layers * sizeof *l->layers);
    for (uint32_t i = 0; i < l->config->layers && status == GPTOSS_OK; i++) {
        status = find_numbers(l, i, "keys", &l->layers[i].keys, error);
        if (status == GPTOSS_OK)
            status = find_numbers(l, i, "values", &l->layers[i].values, error);
    }
    return status;
}

/* The digest is that of the file only when it stands at its end; and there is nothing else. */
static gptoss_status check_rest(loading *l, gptoss_error *error)
{
    const tensor *digest;
    size_t expected = SESSION_TENSORS + (size_t)2 * l->config->layers;
    gptoss_status status = find_tensor(l, "note", DTYPE_U8, 1, &l->note, error);
    if (status == GPTOSS_OK)
        status = find_tensor(l, "sha256", DTYPE_U8, 1, &digest, error);
    if (status != GPTOSS_OK)
        return status;
    if (digest->bytes != SHA256_BYTES || digest->offset != l->map.size - SHA256_BYTES)
        return fail(error, GPTOSS_FORMAT, "%s: its SHA-256 does not end it", l->path);
    if (l->file.count != expected)
        return fail(error, GPTOSS_FORMAT, "%s has %zu tensors: expected %zu", l->path,
                    l->file.count, expected);
    return GPTOSS_OK;
}

static gptoss_status read_all(loading *l, const gptoss_sequence_options *options,
                              gptoss_error *error)
{
    gptoss_status status = file_map_open(l->path, &l->map, error);
    if (status == GPTOSS_OK)
        status = check_beginning(l, error);
    if (status == GPTOSS_OK)
        status = check_digest(l, error);
    if (status == GPTOSS_OK)
        status = safetensors_parse(l->map.data, l->map.size, l->path, &l->file, error);
    if (status == GPTOSS_OK)
        status = read_metadata(l, options, error);
    if (status == GPTOSS_OK)
        status = read_lists(l, kv_cache_options(l->config, options).context, error);
    if (status == GPTOSS_OK)
        status = find_layers(l, error);
    return status == GPTOSS_OK ? check_rest(l, error) : status;
}

/* ---- the sequence ---------------------------------------------------------------------------- */

/* Puts positions [begin, end) into the layers that are sliding, or into the others, in which a
 * position is a row. */
static void fill_layers(const loading *l, kv_cache *cache, bool sliding, uint32_t begin,
                        uint32_t end)
{
    size_t bytes = kv_cache_position_bytes(l->config, l->format) / 2;
    size_t first = sliding ? row_of(l, begin) : begin;
    for (uint32_t layer = 0; layer < l->config->layers; layer++)
        for (uint32_t p = begin; p < end && l->config->sliding[layer] == sliding; p++)
            kv_return(&cache->views[layer], l->config->kv_heads, l->config->head_dim, p,
                      l->layers[layer].keys + (first + (p - begin)) * bytes,
                      l->layers[layer].values + (first + (p - begin)) * bytes);
}

/* Each mark is taken as it once was, when the sequence ended there. */
static gptoss_status make_marks(const loading *l, gptoss_sequence *sequence, gptoss_error *error)
{
    gptoss_status status = GPTOSS_OK;
    for (uint32_t i = 0; i < l->mark_count && status == GPTOSS_OK; i++) {
        uint32_t begin = kv_cache_window(l->config, l->marks[i]);
        fill_layers(l, &sequence->cache, true, begin, l->marks[i]);
        sequence->cache.length = l->marks[i];
        sequence->cache.oldest = begin;
        status = gptoss_sequence_mark(sequence, error);
    }
    return status;
}

/* The first of the positions up to the last one that sliding layers have and rings have room for.
 */
static uint32_t oldest_position(const loading *l, const kv_cache *cache)
{
    uint32_t row = l->held;
    uint32_t oldest = l->length;
    while (row > 0 && l->positions[row - 1] + 1 == oldest &&
           (cache->ring == 0 || l->length - oldest < cache->ring)) {
        row--;
        oldest--;
    }
    return oldest;
}

static gptoss_status fill_sequence(const loading *l, gptoss_sequence *sequence, gptoss_error *error)
{
    kv_cache *cache = &sequence->cache;
    memcpy(sequence->tokens, l->tokens, l->length * sizeof *l->tokens);
    fill_layers(l, cache, false, 0, l->length);
    gptoss_status status = make_marks(l, sequence, error);
    if (status != GPTOSS_OK)
        return status;
    cache->length = l->length;
    cache->oldest = oldest_position(l, cache);
    fill_layers(l, cache, true, cache->oldest, l->length);
    return GPTOSS_OK;
}

static gptoss_status copy_note(const loading *l, char **note, size_t *note_length,
                               gptoss_error *error)
{
    char *copy = malloc(l->note->bytes + 1);
    if (copy == NULL)
        return fail_memory(error, "the note of a session", l->note->bytes);
    memcpy(copy, l->note->data, l->note->bytes);
    copy[l->note->bytes] = '\0';
    *note = copy;
    *note_length = l->note->bytes;
    return GPTOSS_OK;
}

gptoss_status gptoss_sequence_load(const gptoss_model *model, const char *path,
                                   const gptoss_sequence_options *options, gptoss_sequence **out,
                                   char **note, size_t *note_length, gptoss_error *error)
{
    loading l = {.model = model, .config = gptoss_model_config(model), .path = path};
    gptoss_sequence *sequence = NULL;
    *out = NULL;
    *note = NULL;
    *note_length = 0;
    gptoss_status status = read_all(&l, options, error);
    if (status == GPTOSS_OK) {
        gptoss_sequence_options wanted = kv_cache_options(l.config, options);
        wanted.cache = l.format;
        status = gptoss_sequence_open(model, &wanted, &sequence, error);
    }
    if (status == GPTOSS_OK)
        status = fill_sequence(&l, sequence, error);
    if (status == GPTOSS_OK) /* nor since its digest was checked */
        status = file_map_unchanged(&l.map, path, error);
    if (status == GPTOSS_OK)
        status = copy_note(&l, note, note_length, error);
    if (status == GPTOSS_OK)
        *out = sequence;
    else
        gptoss_sequence_close(sequence);
    free(l.layers);
    free(l.positions);
    free(l.marks);
    free(l.tokens);
    safetensors_free(&l.file);
    file_map_close(&l.map);
    return status;
}
