/* Writing what the model computes to a safetensors file. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/output_file.h"
#include "parity/dump_header.h"

enum { LOGIT_ROWS = 64 };        /* positions whose logits are in memory at once */
enum { PARCEL_BYTES = 1 << 20 }; /* what is written at once, at least one row */

typedef struct dump {
    dump_layout layout;
    output_file file;
    gptoss_executor *executor;
    const uint32_t *tokens;
    size_t needed;      /* tokens to run; nothing depends on the others */
    uint64_t data;      /* offset of the first tensor */
    uint64_t remaining; /* bytes of stages not yet written */
    struct {
        uint8_t *bytes;
        uint64_t room;
        uint64_t used;
        uint64_t offset;
    } parcel; /* rows on their way that lie side by side in the file */
    gptoss_progress_fn progress;
    void *user;
    gptoss_error *error;
} dump;

/* ---- the tap: stages to their places --------------------------------------------------------- */

static void send_parcel(dump *d)
{
    output_file_write(&d->file, d->parcel.bytes, d->parcel.used, d->parcel.offset);
    d->remaining -= d->parcel.used;
    d->parcel.used = 0;
}

/* Room in the parcel for `bytes` bytes that belong at `offset`. */
static uint8_t *in_parcel(dump *d, uint64_t bytes, uint64_t offset)
{
    if (offset != d->parcel.offset + d->parcel.used || bytes > d->parcel.room - d->parcel.used)
        send_parcel(d);
    if (d->parcel.used == 0)
        d->parcel.offset = offset;
    uint8_t *place = d->parcel.bytes + d->parcel.used;
    d->parcel.used += bytes;
    return place;
}

static void copy_floats(const float *from, size_t count, bool bf16, uint8_t *to)
{
    if (!bf16) {
        memcpy(to, from, count * sizeof *from);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t rounded = bf16_from_float(from[i]);
        memcpy(to + i * sizeof rounded, &rounded, sizeof rounded);
    }
}

static void copy_row(const gptoss_tap_view *view, size_t row, bool bf16, uint8_t *to)
{
    if (view->stage == GPTOSS_STAGE_EXPERTS) {
        memcpy(to, view->ids + row * view->columns, view->columns * sizeof *view->ids);
        return;
    }
    size_t piece_bytes = view->columns * (bf16 ? sizeof(uint16_t) : sizeof(float));
    for (size_t piece = 0; piece < view->pieces; piece++)
        copy_floats(gptoss_tap_piece(view, row, piece), view->columns, bf16,
                    to + piece * piece_bytes);
}

static void write_stage(void *user, const gptoss_tap_view *view)
{
    dump *d = user;
    const dump_layout *l = &d->layout;
    if (!dump_layout_holds(l, view->stage, view->layer))
        return;
    for (size_t row = 0; row < view->rows; row++) {
        size_t place;
        if (!dump_layout_row(l, view->positions[row], &place))
            continue;
        uint64_t offset = d->data + dump_layout_offset(l, view->stage, view->layer, place);
        copy_row(view, row, l->bf16, in_parcel(d, l->row_bytes[view->stage], offset));
    }
    send_parcel(d);
}

/* ---- the run --------------------------------------------------------------------------------- */

static gptoss_status interrupted(const dump *d, size_t done)
{
    return fail(d->error, GPTOSS_INTERRUPTED, "interrupted after %zu of %zu tokens", done,
                d->needed);
}

/* The rows of the next pass, as many as it may have; at most LOGIT_ROWS of them want logits. */
static size_t next_rows(const dump *d, gptoss_sequence *sequence, gptoss_row *rows)
{
    size_t done = gptoss_sequence_length(sequence);
    size_t count = 0;
    size_t wanted = 0;
    while (count < gptoss_executor_chunk(d->executor) && done + count < d->needed &&
           wanted < LOGIT_ROWS) {
        uint32_t position = (uint32_t)(done + count);
        size_t place;
        bool wants = dump_layout_row(&d->layout, position, &place);
        rows[count++] = (gptoss_row){sequence, position, d->tokens[position], wants};
        wanted += wants;
    }
    return count;
}

static gptoss_status run_with_logits(dump *d, gptoss_sequence *sequence)
{
    size_t chunk = gptoss_executor_chunk(d->executor);
    gptoss_status status = GPTOSS_OK;
    gptoss_row *rows = calloc(chunk, sizeof *rows);
    if (rows == NULL)
        return fail_memory(d->error, "a batch", chunk * sizeof *rows);
    size_t done = 0;
    while (done < d->needed && status == GPTOSS_OK && d->file.status == GPTOSS_OK) {
        if (d->progress != NULL && !d->progress(d->user, "dump", done, d->needed)) {
            status = interrupted(d, done);
        } else {
            size_t count = next_rows(d, sequence, rows);
            status = gptoss_executor_forward(d->executor, rows, count, NULL, d->error);
            done += count;
        }
    }
    free(rows);
    return status;
}

/* Asked before each layer: stops also when all is written, or when nothing more can be. */
static bool goes_on(void *user, const char *what, uint64_t done, uint64_t total)
{
    dump *d = user;
    (void)what;
    if (d->remaining == 0 || d->file.status != GPTOSS_OK)
        return false;
    return d->progress == NULL || d->progress(d->user, "dump", done, total);
}

static gptoss_status run_without_logits(dump *d, gptoss_sequence *sequence)
{
    gptoss_error error;
    gptoss_status status =
        gptoss_executor_feed(d->executor, sequence, d->tokens, d->needed, goes_on, d, NULL, &error);
    if (d->file.status != GPTOSS_OK || (status == GPTOSS_INTERRUPTED && d->remaining == 0))
        return GPTOSS_OK;
    if (status == GPTOSS_INTERRUPTED)
        return interrupted(d, gptoss_sequence_length(sequence));
    return status == GPTOSS_OK ? status : fail(d->error, status, "%s", error.message);
}

static gptoss_status run(dump *d)
{
    gptoss_sequence_options wanted = {.context = (uint32_t)d->needed,
                                      .chunk = gptoss_executor_chunk(d->executor)};
    gptoss_sequence *sequence = NULL;
    gptoss_status status =
        gptoss_sequence_open(gptoss_executor_model(d->executor), &wanted, &sequence, d->error);
    if (status != GPTOSS_OK)
        return status;
    gptoss_executor_tap(d->executor, write_stage, d);
    status = (d->layout.stages >> GPTOSS_STAGE_LOGITS & 1U) != 0 ? run_with_logits(d, sequence)
                                                                 : run_without_logits(d, sequence);
    gptoss_executor_tap(d->executor, NULL, NULL);
    gptoss_sequence_close(sequence);
    if (status == GPTOSS_OK && d->file.status == GPTOSS_OK && d->progress != NULL)
        d->progress(d->user, "dump", d->needed, d->needed);
    return status;
}

/* ---- the file -------------------------------------------------------------------------------- */

/* Header, ids and positions; the rest of the file is only reserved. */
static gptoss_status write_beginning(dump *d, const gptoss_dump_options *options)
{
    const dump_layout *l = &d->layout;
    safetensors_header header;
    gptoss_status status = dump_header_make(l, d->executor, options, &header, d->error);
    if (status == GPTOSS_OK) {
        d->data = header.text.length;
        d->remaining = l->bytes - l->tokens * sizeof *d->tokens;
        output_file_reserve(&d->file, d->data + l->bytes);
        output_file_write(&d->file, header.text.bytes, header.text.length, 0);
        output_file_write(&d->file, d->tokens, l->tokens * sizeof *d->tokens, d->data);
    }
    if (status == GPTOSS_OK && l->positions != NULL) {
        uint64_t bytes = l->rows * sizeof *l->positions;
        output_file_write(&d->file, l->positions, bytes, d->data + l->positions_begin);
        d->remaining -= bytes;
    }
    safetensors_free_header(&header);
    return status == GPTOSS_OK ? d->file.status : status;
}

static gptoss_status make_parcel(dump *d)
{
    d->parcel.room = PARCEL_BYTES;
    for (unsigned stage = 0; stage < GPTOSS_STAGE_COUNT; stage++)
        if (d->parcel.room < d->layout.row_bytes[stage])
            d->parcel.room = d->layout.row_bytes[stage];
    d->parcel.bytes = malloc(d->parcel.room);
    return d->parcel.bytes == NULL ? fail_memory(d->error, "a row of the dump", d->parcel.room)
                                   : GPTOSS_OK;
}

gptoss_status gptoss_dump(gptoss_executor *executor, const uint32_t *tokens, size_t count,
                          const gptoss_dump_options *options, const char *path,
                          gptoss_progress_fn progress, void *user, gptoss_error *error)
{
    dump d = {
        .executor = executor, .tokens = tokens, .progress = progress, .user = user, .error = error};
    gptoss_status status = dump_layout_init(
        &d.layout, gptoss_model_config(gptoss_executor_model(executor)), count, options,
        gptoss_executor_numerics(executor) == GPTOSS_NUMERICS_TORCH_BF16, error);
    if (status != GPTOSS_OK)
        return status;
    d.needed = dump_layout_needed(&d.layout);
    status = make_parcel(&d);
    if (status == GPTOSS_OK)
        status = output_file_create(&d.file, path, 0666, error);
    if (status == GPTOSS_OK) {
        status = write_beginning(&d, options);
        if (status == GPTOSS_OK)
            status = run(&d);
        if (status == GPTOSS_OK)
            status = gptoss_model_unchanged(gptoss_executor_model(executor), error);
        status = output_file_finish(&d.file, status);
    }
    free(d.parcel.bytes);
    return status;
}
