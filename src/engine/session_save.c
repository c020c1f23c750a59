/* Writing a sequence to a session file. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/output_file.h"
#include "base/sha256.h"
#include "checkpoint/safetensors_writer.h"
#include "engine/sequence.h"
#include "engine/session.h"

enum { PARCEL_BYTES = 1 << 20 }; /* what is written at once, at least one row */

typedef struct saving {
    const gptoss_sequence *sequence;
    const gptoss_config *config;
    uint32_t *positions; /* [held] of the sliding layers */
    uint32_t held;
    size_t row_bytes; /* keys or values of one position in one layer */
    safetensors_header header;
    output_file file;
    sha256 digest;
    uint64_t written;
    struct {
        uint8_t *bytes;
        size_t room;
        size_t used;
    } parcel; /* bytes on their way to the file, not yet digested */
} saving;

/* ---- what there is to save ------------------------------------------------------------------- */

/* The mark that has a position which the rings have lost; NULL when there is none. */
static const kv_mark *mark_with(const saving *s, uint32_t position)
{
    for (uint32_t i = 0; i < s->sequence->mark_count; i++) {
        const kv_mark *mark = &s->sequence->marks[i];
        if (position < mark->length && position >= kv_cache_window(s->config, mark->length))
            return mark;
    }
    return NULL;
}

/* Those of the marks, then those of the rings. */
static gptoss_status find_positions(saving *s, gptoss_error *error)
{
    const kv_cache *cache = &s->sequence->cache;
    s->positions = malloc(((size_t)cache->length + 1) * sizeof *s->positions);
    if (s->positions == NULL)
        return fail_memory(error, "the positions of a session",
                           ((size_t)cache->length + 1) * sizeof *s->positions);
    for (uint32_t p = 0; p < cache->length; p++)
        if (p >= cache->oldest || mark_with(s, p) != NULL)
            s->positions[s->held++] = p;
    return GPTOSS_OK;
}

/* ---- the header ------------------------------------------------------------------------------ */

/* Behind the tensor before. */
static void put_tensor(saving *s, const char *name, dtype type, const uint64_t *shape,
                       uint32_t rank)
{
    safetensors_put_tensor(&s->header, name, type, shape, rank, s->header.bytes);
}

static void put_list(saving *s, const char *name, dtype type, uint64_t count)
{
    put_tensor(s, name, type, &count, 1);
}

static gptoss_status make_header(saving *s, size_t note_length, const char *path,
                                 gptoss_error *error)
{
    const kv_cache *cache = &s->sequence->cache;
    dtype type = cache->format == GPTOSS_CACHE_BF16 ? DTYPE_BF16 : DTYPE_F32;
    char identity[65];
    char producer[64];
    gptoss_status status = gptoss_model_identity(s->sequence->model, identity, error);
    if (status != GPTOSS_OK)
        return status;
    snprintf(producer, sizeof producer, "gptoss %s", gptoss_version());
    safetensors_put_entry(&s->header, "format", SESSION_FORMAT);
    safetensors_put_entry(&s->header, "producer", producer);
    safetensors_put_entry(&s->header, "model", identity);
    safetensors_put_entry(&s->header, "cache", gptoss_cache_format_name(cache->format));
    put_list(s, "tokens", DTYPE_U32, cache->length);
    put_list(s, "marks", DTYPE_U32, s->sequence->mark_count);
    put_list(s, "positions", DTYPE_U32, s->held);
    for (uint32_t layer = 0; layer < s->config->layers; layer++) {
        uint64_t shape[3] = {s->config->sliding[layer] ? s->held : cache->length,
                             s->config->kv_heads, s->config->head_dim};
        char name[SESSION_NAME];
        snprintf(name, sizeof name, "layers.%" PRIu32 ".keys", layer);
        put_tensor(s, name, type, shape, 3);
        snprintf(name, sizeof name, "layers.%" PRIu32 ".values", layer);
        put_tensor(s, name, type, shape, 3);
    }
    put_list(s, "note", DTYPE_U8, note_length);
    put_list(s, "sha256", DTYPE_U8, SHA256_BYTES);
    return safetensors_end_header(&s->header, path, error);
}

/* ---- the bytes ------------------------------------------------------------------------------- */

static void write_out(saving *s, const void *bytes, size_t size)
{
    sha256_add(&s->digest, bytes, size);
    output_file_write(&s->file, bytes, size, s->written);
    s->written += size;
}

static void send_parcel(saving *s)
{
    write_out(s, s->parcel.bytes, s->parcel.used);
    s->parcel.used = 0;
}

static void put_bytes(saving *s, const void *bytes, size_t size)
{
    send_parcel(s);
    if (size > 0)
        write_out(s, bytes, size);
}

/* Room for a row that is about to be put there. */
static uint8_t *next_row(saving *s)
{
    if (s->row_bytes > s->parcel.room - s->parcel.used)
        send_parcel(s);
    uint8_t *place = s->parcel.bytes + s->parcel.used;
    s->parcel.used += s->row_bytes;
    return place;
}

static void put_row(saving *s, uint32_t layer, uint32_t position, bool values)
{
    const kv_cache *cache = &s->sequence->cache;
    uint8_t *place = next_row(s);
    if (!s->config->sliding[layer] || position >= cache->oldest)
        kv_take(&cache->views[layer], s->config->kv_heads, s->config->head_dim, position,
                values ? NULL : place, values ? place : NULL);
    else
        memcpy(place,
               kv_mark_at(mark_with(s, position), cache, s->config, layer, position) +
                   (values ? s->row_bytes : 0),
               s->row_bytes);
}

static void put_layer(saving *s, uint32_t layer, bool values)
{
    bool sliding = s->config->sliding[layer];
    uint32_t count = sliding ? s->held : s->sequence->cache.length;
    for (uint32_t i = 0; i < count && s->file.status == GPTOSS_OK; i++)
        put_row(s, layer, sliding ? s->positions[i] : i, values);
}

static void put_marks(saving *s)
{
    uint32_t lengths[GPTOSS_MAX_MARKS];
    for (uint32_t i = 0; i < s->sequence->mark_count; i++)
        lengths[i] = s->sequence->marks[i].length;
    put_bytes(s, lengths, s->sequence->mark_count * sizeof *lengths);
}

/* All of the file, in order. */
static void put_all(saving *s, const char *note, size_t note_length)
{
    const gptoss_sequence *sequence = s->sequence;
    uint8_t digest[SHA256_BYTES];
    sha256_begin(&s->digest);
    output_file_reserve(&s->file, s->header.text.length + s->header.bytes);
    put_bytes(s, s->header.text.bytes, s->header.text.length);
    put_bytes(s, sequence->tokens, sequence->cache.length * sizeof *sequence->tokens);
    put_marks(s);
    put_bytes(s, s->positions, s->held * sizeof *s->positions);
    for (uint32_t layer = 0; layer < s->config->layers; layer++) {
        put_layer(s, layer, false);
        put_layer(s, layer, true);
    }
    put_bytes(s, note, note_length);
    sha256_end(&s->digest, digest);
    output_file_write(&s->file, digest, sizeof digest, s->written);
}

static gptoss_status make_parcel(saving *s, gptoss_error *error)
{
    s->parcel.room = s->row_bytes > PARCEL_BYTES ? s->row_bytes : PARCEL_BYTES;
    s->parcel.bytes = malloc(s->parcel.room);
    return s->parcel.bytes == NULL ? fail_memory(error, "a row of the session", s->parcel.room)
                                   : GPTOSS_OK;
}

gptoss_status gptoss_sequence_save(const gptoss_sequence *sequence, const char *note,
                                   size_t note_length, const char *path, gptoss_error *error)
{
    const gptoss_config *config = gptoss_model_config(sequence->model);
    saving s = {.sequence = sequence,
                .config = config,
                .row_bytes = kv_cache_position_bytes(config, sequence->cache.format) / 2};
    gptoss_status status = find_positions(&s, error);
    if (status == GPTOSS_OK)
        status = make_header(&s, note_length, path, error);
    if (status == GPTOSS_OK)
        status = make_parcel(&s, error);
    if (status == GPTOSS_OK)
        status = output_file_create(&s.file, path, 0600, error);
    if (status == GPTOSS_OK) {
        put_all(&s, note, note_length);
        status = output_file_finish(&s.file, GPTOSS_OK);
    }
    free(s.parcel.bytes);
    safetensors_free_header(&s.header);
    free(s.positions);
    return status;
}
