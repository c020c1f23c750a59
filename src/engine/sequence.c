#include "engine/sequence.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

const char *gptoss_cache_format_name(gptoss_cache_format format)
{
    static const char *const names[] = {"f32", "bf16"};
    return names[format];
}

static size_t token_bytes(const gptoss_sequence *sequence)
{
    return (size_t)sequence->cache.context * sizeof *sequence->tokens;
}

/* Forgets the marks beyond `length`. */
static void forget_marks(gptoss_sequence *sequence, uint32_t length)
{
    while (sequence->mark_count > 0 && sequence->marks[sequence->mark_count - 1].length > length)
        kv_mark_free(&sequence->marks[--sequence->mark_count]);
}

gptoss_status gptoss_sequence_open(const gptoss_model *model,
                                   const gptoss_sequence_options *options, gptoss_sequence **out,
                                   gptoss_error *error)
{
    const gptoss_config *config = gptoss_model_config(model);
    gptoss_sequence_options wanted = kv_cache_options(config, options);
    *out = NULL;
    if (wanted.context > config->context)
        return fail(error, GPTOSS_LIMIT, "context %u: the model is made for at most %u positions",
                    wanted.context, config->context);
    if (wanted.chunk > GPTOSS_MAX_CHUNK)
        return fail(error, GPTOSS_LIMIT, "a chunk of %u rows: expected at most %d", wanted.chunk,
                    GPTOSS_MAX_CHUNK);
    gptoss_sequence *sequence = calloc(1, sizeof *sequence);
    if (sequence == NULL)
        return fail_memory(error, "a sequence", sizeof *sequence);
    sequence->model = model;
    gptoss_status status = kv_cache_init(&sequence->cache, config, wanted, error);
    void *tokens = NULL;
    if (status == GPTOSS_OK)
        status = memory_reserve(token_bytes(sequence), "a sequence's tokens", &tokens, error);
    sequence->tokens = tokens;
    if (status != GPTOSS_OK) {
        gptoss_sequence_close(sequence);
        return status;
    }
    *out = sequence;
    return GPTOSS_OK;
}

void gptoss_sequence_close(gptoss_sequence *sequence)
{
    if (sequence == NULL)
        return;
    forget_marks(sequence, 0);
    memory_release(sequence->tokens, token_bytes(sequence));
    kv_cache_free(&sequence->cache);
    free(sequence);
}

uint32_t gptoss_sequence_length(const gptoss_sequence *sequence)
{
    return sequence->cache.length;
}

uint32_t gptoss_sequence_context(const gptoss_sequence *sequence)
{
    return sequence->cache.context;
}

gptoss_cache_format gptoss_sequence_cache(const gptoss_sequence *sequence)
{
    return sequence->cache.format;
}

const uint32_t *gptoss_sequence_tokens(const gptoss_sequence *sequence)
{
    return sequence->tokens;
}

void gptoss_sequence_clear(gptoss_sequence *sequence)
{
    forget_marks(sequence, 0);
    memory_discard(sequence->tokens, token_bytes(sequence));
    kv_cache_clear(&sequence->cache);
}

/* ---- going back ------------------------------------------------------------------------------ */

/* The last mark at `length` or before; NULL when there is none. */
static const kv_mark *mark_before(const gptoss_sequence *sequence, uint32_t length)
{
    uint32_t i = sequence->mark_count;
    while (i > 0 && sequence->marks[i - 1].length > length)
        i--;
    return i == 0 ? NULL : &sequence->marks[i - 1];
}

/* Puts a mark of `length` behind those of lesser lengths; the oldest makes room when there are as
 * many as are kept. */
static gptoss_status add_mark(gptoss_sequence *sequence, uint32_t length, gptoss_error *error)
{
    uint32_t count = sequence->mark_count;
    kv_mark *marks = sequence->marks;
    bool full = count == GPTOSS_MAX_MARKS; /* then the first one's memory serves the new one */
    kv_mark mark = full ? marks[0] : (kv_mark){0};
    gptoss_status status =
        kv_mark_take(&mark, &sequence->cache, gptoss_model_config(sequence->model), length, error);
    if (status != GPTOSS_OK)
        return status;
    if (full)
        memmove(marks, marks + 1, (--count) * sizeof *marks);
    uint32_t place = count;
    for (; place > 0 && marks[place - 1].length > length; place--)
        marks[place] = marks[place - 1];
    marks[place] = mark;
    sequence->mark_count = count + 1;
    return GPTOSS_OK;
}

gptoss_status gptoss_sequence_mark_at(gptoss_sequence *sequence, uint32_t length,
                                      gptoss_error *error)
{
    const kv_cache *cache = &sequence->cache;
    const kv_mark *mark = mark_before(sequence, length);
    if (length > cache->length)
        return fail(error, GPTOSS_USAGE, "cannot mark position %u of a sequence of %u tokens",
                    length, cache->length);
    if (length == 0 || (mark != NULL && mark->length == length))
        return GPTOSS_OK;
    if (!kv_cache_holds(cache, gptoss_model_config(sequence->model), length))
        return fail(error, GPTOSS_LIMIT,
                    "cannot mark position %u: of the %u tokens the sliding layers hold those from "
                    "position %u on only",
                    length, cache->length, cache->oldest);
    if (sequence->mark_count == GPTOSS_MAX_MARKS && length < sequence->marks[0].length)
        return GPTOSS_OK; /* it would be the first to go */
    return add_mark(sequence, length, error);
}

gptoss_status gptoss_sequence_mark(gptoss_sequence *sequence, gptoss_error *error)
{
    return gptoss_sequence_mark_at(sequence, sequence->cache.length, error);
}

gptoss_status gptoss_sequence_rewind(gptoss_sequence *sequence, uint32_t length,
                                     gptoss_error *error)
{
    kv_cache *cache = &sequence->cache;
    const gptoss_config *config = gptoss_model_config(sequence->model);
    const kv_mark *mark = mark_before(sequence, length);
    if (length > cache->length)
        return fail(error, GPTOSS_USAGE, "cannot go back to position %u of a sequence of %u tokens",
                    length, cache->length);
    if (kv_cache_holds(cache, config, length))
        kv_cache_truncate(cache, length);
    else if (mark != NULL && mark->length == length)
        kv_mark_restore(mark, cache, config);
    else
        return fail(error, GPTOSS_LIMIT,
                    "cannot go back to position %u, which is not marked: of the %u tokens the "
                    "sliding layers hold those from position %u on only",
                    length, cache->length, cache->oldest);
    forget_marks(sequence, length);
    return GPTOSS_OK;
}

uint32_t gptoss_sequence_resume(gptoss_sequence *sequence, const uint32_t *tokens, size_t count)
{
    const kv_cache *cache = &sequence->cache;
    uint32_t length = 0;
    while (length < cache->length && length + 1 < count &&
           sequence->tokens[length] == tokens[length])
        length++;
    if (!kv_cache_holds(cache, gptoss_model_config(sequence->model), length)) {
        const kv_mark *mark = mark_before(sequence, length);
        length = mark == NULL ? 0 : mark->length;
    }
    gptoss_sequence_rewind(sequence, length, NULL);
    return length;
}
