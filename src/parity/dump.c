/* Writing what the model computes to a safetensors file. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"

enum { LOGIT_ROWS = 64 }; /* positions whose logits are in memory at once */

/*
 *     | header length | JSON header, padded to 8 | hidden.0 | ... | hidden.L | logits |
 */
typedef struct dump {
    const gptoss_config *config;
    const char *path;
    char *temporary; /* written under this name, then renamed */
    int file;
    uint64_t data; /* offset of the first tensor */
    size_t count;  /* positions */
    size_t done;   /* positions of earlier chunks */
    gptoss_status status;
    gptoss_error *error;
} dump;

/* Text that grows; a failed allocation leaves text NULL and stays failed. */
typedef struct text_buffer {
    char *text;
    size_t length;
    size_t room;
    bool failed;
} text_buffer;

__attribute__((format(printf, 2, 3))) static void append(text_buffer *b, const char *format, ...)
{
    for (int attempt = 0; attempt < 2 && !b->failed; attempt++) {
        va_list arguments;
        va_start(arguments, format);
        int need = vsnprintf(b->text == NULL ? NULL : b->text + b->length, b->room - b->length,
                             format, arguments);
        va_end(arguments);
        if (b->length + (size_t)need < b->room) {
            b->length += (size_t)need;
            return;
        }
        size_t room = 2 * (b->length + (size_t)need) + 256;
        char *larger = realloc(b->text, room);
        b->failed = larger == NULL;
        b->text = b->failed ? b->text : larger;
        b->room = b->failed ? b->room : room;
    }
}

static uint64_t hidden_bytes(const dump *d)
{
    return (uint64_t)d->count * d->config->hidden * sizeof(float);
}

static uint64_t logit_bytes(const dump *d)
{
    return (uint64_t)d->count * d->config->vocab * sizeof(float);
}

static void append_config(text_buffer *b, const gptoss_config *c)
{
    append(b,
           "{\\\"num_hidden_layers\\\":%" PRIu32 ",\\\"hidden_size\\\":%" PRIu32
           ",\\\"intermediate_size\\\":%" PRIu32 ",\\\"vocab_size\\\":%" PRIu32
           ",\\\"num_attention_heads\\\":%" PRIu32 ",\\\"num_key_value_heads\\\":%" PRIu32
           ",\\\"head_dim\\\":%" PRIu32 ",\\\"num_local_experts\\\":%" PRIu32
           ",\\\"num_experts_per_tok\\\":%" PRIu32 ",\\\"sliding_window\\\":%" PRIu32
           ",\\\"max_position_embeddings\\\":%" PRIu32 ",\\\"rms_norm_eps\\\":%.9g"
           ",\\\"swiglu_limit\\\":%.9g,\\\"swiglu_alpha\\\":%.9g",
           c->layers, c->hidden, c->intermediate, c->vocab, c->heads, c->kv_heads, c->head_dim,
           c->experts, c->experts_per_token, c->window, c->context, (double)c->norm_eps,
           (double)c->swiglu_limit, (double)c->swiglu_alpha);
    append(b,
           ",\\\"rope_theta\\\":%.17g,\\\"rope_factor\\\":%.17g,\\\"rope_original_context\\\":%.17g"
           ",\\\"layer_types\\\":[",
           c->rope.theta, c->rope.factor, c->rope.original_context);
    for (uint32_t layer = 0; layer < c->layers; layer++)
        append(b, "%s\\\"%s\\\"", layer == 0 ? "" : ",",
               c->sliding[layer] ? "sliding_attention" : "full_attention");
    append(b, "]}");
}

static void append_tensor(text_buffer *b, const char *name, size_t rows, uint32_t columns,
                          uint64_t begin, uint64_t bytes)
{
    append(b,
           ",\"%s\":{\"dtype\":\"F32\",\"shape\":[%zu,%" PRIu32 "],\"data_offsets\":[%" PRIu64
           ",%" PRIu64 "]}",
           name, rows, columns, begin, begin + bytes);
}

static text_buffer make_header(const dump *d, const uint32_t *tokens)
{
    text_buffer b = {0};
    append(&b,
           "{\"__metadata__\":{\"format\":\"gptoss-dump-1\",\"producer\":\"gptoss %s\","
           "\"dtype\":\"float32\",\"config\":\"",
           gptoss_version());
    append_config(&b, d->config);
    append(&b, "\",\"ids\":\"[");
    for (size_t i = 0; i < d->count; i++)
        append(&b, "%s%" PRIu32, i == 0 ? "" : ",", tokens[i]);
    append(&b, "]\"}");
    uint64_t offset = 0;
    for (uint32_t layer = 0; layer <= d->config->layers; layer++) {
        char name[32];
        snprintf(name, sizeof name, "hidden.%" PRIu32, layer);
        append_tensor(&b, name, d->count, d->config->hidden, offset, hidden_bytes(d));
        offset += hidden_bytes(d);
    }
    append_tensor(&b, "logits", d->count, d->config->vocab, offset, logit_bytes(d));
    append(&b, "}");
    while (b.length % 8 != 0 && !b.failed)
        append(&b, " ");
    return b;
}

/* Writes all bytes at an offset; keeps the first failure. */
static void write_at(dump *d, const void *data, uint64_t bytes, uint64_t offset)
{
    const uint8_t *from = data;
    while (bytes > 0 && d->status == GPTOSS_OK) {
        ssize_t written = pwrite(d->file, from, bytes, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            d->status = fail(d->error, GPTOSS_IO, "%s: cannot write: %s", d->temporary,
                             strerror(written < 0 ? errno : ENOSPC));
            return;
        }
        from += written;
        bytes -= (uint64_t)written;
        offset += (uint64_t)written;
    }
}

static void write_header(dump *d, const uint32_t *tokens)
{
    text_buffer header = make_header(d, tokens);
    if (header.failed) {
        d->status = fail_memory(d->error, "the dump's header", header.room);
    } else {
        uint8_t length[8];
        for (int i = 0; i < 8; i++)
            length[i] = (uint8_t)((uint64_t)header.length >> (8 * i));
        write_at(d, length, sizeof length, 0);
        write_at(d, header.text, header.length, sizeof length);
        d->data = sizeof length + header.length;
    }
    free(header.text);
}

/* The tap: one chunk of a hidden state to its place. */
static void write_hidden(void *user, const gptoss_tap_view *view)
{
    dump *d = user;
    if (view->stage != GPTOSS_STAGE_EMBEDDING && view->stage != GPTOSS_STAGE_RESIDUAL)
        return;
    uint64_t index = view->stage == GPTOSS_STAGE_EMBEDDING ? 0 : view->layer + 1ULL;
    uint64_t row = (uint64_t)d->config->hidden * sizeof(float);
    write_at(d, view->data, view->rows * row, d->data + index * hidden_bytes(d) + d->done * row);
}

static void write_logits(dump *d, const float *logits, size_t rows)
{
    uint64_t row = (uint64_t)d->config->vocab * sizeof(float);
    uint64_t start = d->data + (d->config->layers + 1ULL) * hidden_bytes(d);
    write_at(d, logits, rows * row, start + d->done * row);
}

static void run_chunks(dump *d, gptoss_executor *executor, gptoss_sequence *sequence,
                       const uint32_t *tokens, gptoss_progress_fn progress, void *user)
{
    size_t chunk = gptoss_executor_chunk(executor);
    chunk = chunk < LOGIT_ROWS ? chunk : LOGIT_ROWS;
    while (d->done < d->count && d->status == GPTOSS_OK) {
        gptoss_row rows[LOGIT_ROWS];
        const float *logits;
        size_t part = d->count - d->done < chunk ? d->count - d->done : chunk;
        if (progress != NULL && !progress(user, "dump", d->done, d->count)) {
            d->status = fail(d->error, GPTOSS_INTERRUPTED, "interrupted after %zu of %zu tokens",
                             d->done, d->count);
            return;
        }
        for (size_t i = 0; i < part; i++)
            rows[i] = (gptoss_row){sequence, (uint32_t)(d->done + i), tokens[d->done + i], true};
        gptoss_status status = gptoss_executor_forward(executor, rows, part, &logits, d->error);
        if (status != GPTOSS_OK) {
            d->status = status;
            return;
        }
        write_logits(d, logits, part);
        d->done += part;
    }
    if (d->status == GPTOSS_OK && progress != NULL)
        progress(user, "dump", d->count, d->count);
}

/* Everything between the opening of the temporary file and its renaming. */
static void write_dump(dump *d, gptoss_executor *executor, const uint32_t *tokens,
                       gptoss_progress_fn progress, void *user)
{
    gptoss_sequence *sequence = NULL;
    d->status = gptoss_sequence_open(gptoss_executor_model(executor), (uint32_t)d->count,
                                     gptoss_executor_chunk(executor), &sequence, d->error);
    if (d->status != GPTOSS_OK)
        return;
    write_header(d, tokens);
    gptoss_executor_tap(executor, write_hidden, d);
    run_chunks(d, executor, sequence, tokens, progress, user);
    gptoss_executor_tap(executor, NULL, NULL);
    gptoss_sequence_close(sequence);
    if (d->status == GPTOSS_OK && fsync(d->file) != 0 && errno != EINVAL)
        d->status =
            fail(d->error, GPTOSS_IO, "%s: cannot write: %s", d->temporary, strerror(errno));
}

gptoss_status gptoss_dump(gptoss_executor *executor, const uint32_t *tokens, size_t count,
                          const gptoss_dump_options *options, const char *path,
                          gptoss_progress_fn progress, void *user, gptoss_error *error)
{
    dump d = {.config = gptoss_model_config(gptoss_executor_model(executor)),
              .path = path,
              .count = count,
              .error = error};
    (void)options;
    if (count == 0)
        return fail(error, GPTOSS_USAGE, "nothing to dump: expected at least one token");
    if (count > d.config->context)
        return fail(error, GPTOSS_LIMIT, "%zu tokens: the model is made for at most %" PRIu32,
                    count, d.config->context);
    if (asprintf(&d.temporary, "%s.%ld.part", path, (long)getpid()) < 0)
        return fail_memory(error, "a file name", strlen(path));
    d.file = open(d.temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (d.file < 0) {
        d.status = fail(error, GPTOSS_IO, "%s: cannot create: %s", d.temporary, strerror(errno));
        free(d.temporary);
        return d.status;
    }
    write_dump(&d, executor, tokens, progress, user);
    if (close(d.file) != 0 && d.status == GPTOSS_OK)
        d.status = fail(error, GPTOSS_IO, "%s: cannot write: %s", d.temporary, strerror(errno));
    if (d.status == GPTOSS_OK && rename(d.temporary, path) != 0)
        d.status = fail(error, GPTOSS_IO, "%s: cannot rename to %s: %s", d.temporary, path,
                        strerror(errno));
    if (d.status != GPTOSS_OK)
        unlink(d.temporary);
    free(d.temporary);
    return d.status;
}
