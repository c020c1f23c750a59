#include "model/read_ahead.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/memory.h"
#include "base/residency.h"
#include "op/parallel.h"

enum { PIECE = 4 << 20 }; /* bytes read between two calls of progress */

typedef struct piece {
    const uint8_t *start;
    size_t bytes;
} piece;

/* Pieces that the threads of a team read, each the next one that nobody has taken. */
typedef struct sweep {
    piece *pieces;
    size_t count;
    uint64_t total;
    atomic_size_t next;
    atomic_uint_fast64_t done;
    atomic_bool stopped;
    const char *what;
    gptoss_progress_fn progress; /* or NULL */
    void *user;
} sweep;

/* ---- reading --------------------------------------------------------------------------------- */

static void read_pieces(const team *self, void *user)
{
    sweep *s = user;
    while (!atomic_load(&s->stopped)) {
        size_t index = atomic_fetch_add(&s->next, 1);
        if (index >= s->count)
            return;
        residency_read(s->pieces[index].start, s->pieces[index].bytes);
        uint64_t done = atomic_fetch_add(&s->done, s->pieces[index].bytes);
        done += s->pieces[index].bytes;
        if (self->rank == 0 && s->progress != NULL && done < s->total &&
            !s->progress(s->user, s->what, done, s->total))
            atomic_store(&s->stopped, true);
    }
}

/* Reads all pieces and frees them. */
static gptoss_status run_sweep(sweep *s, uint32_t threads, gptoss_error *error)
{
    if (s->count > 0) {
        parallel_run(threads, read_pieces, s);
        if (s->progress != NULL && !s->progress(s->user, s->what, s->total, s->total))
            atomic_store(&s->stopped, true);
    }
    free(s->pieces);
    if (atomic_load(&s->stopped))
        return fail(error, GPTOSS_INTERRUPTED, "interrupted while %s", s->what);
    return GPTOSS_OK;
}

static uint64_t file_bytes(const gptoss_model *model)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < checkpoint_file_count(model->files); i++)
        bytes += checkpoint_file_map(model->files, i).size;
    return bytes;
}

/* Lists the pieces of the weight files, all of them or those of which something is missing. */
static gptoss_status list_pieces(const gptoss_model *model, bool all, sweep *s, gptoss_error *error)
{
    size_t files = checkpoint_file_count(model->files);
    size_t most = (size_t)(file_bytes(model) / PIECE) + files;
    s->pieces = calloc(most, sizeof *s->pieces);
    if (s->pieces == NULL)
        return fail_memory(error, "a list of pieces of weights", most * sizeof *s->pieces);
    for (size_t i = 0; i < files; i++) {
        file_map map = checkpoint_file_map(model->files, i);
        for (size_t at = 0; at < map.size; at += PIECE) {
            size_t bytes = map.size - at < PIECE ? map.size - at : PIECE;
            if (!all && residency_missing(map.data + at, bytes) == 0)
                continue;
            s->pieces[s->count++] = (piece){map.data + at, bytes};
            s->total += bytes;
        }
    }
    return GPTOSS_OK;
}

gptoss_status model_read_ahead(const gptoss_model *model, uint32_t threads,
                               gptoss_progress_fn progress, void *user, gptoss_error *error)
{
    sweep s = {.what = "reading weights", .progress = progress, .user = user};
    if (memory_available() < file_bytes(model))
        return GPTOSS_OK; /* what is read first would be dropped for what is read last */
    gptoss_status status = list_pieces(model, false, &s, error);
    return status == GPTOSS_OK ? run_sweep(&s, threads, error) : status;
}

/* ---- locking --------------------------------------------------------------------------------- */

static void unlock_files(const gptoss_model *model, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        file_map map = checkpoint_file_map(model->files, i);
        residency_unlock(map.data, map.size);
    }
}

/* Why the system refused, with the limit that was in the way. */
static gptoss_status fail_lock(int why, uint64_t bytes, gptoss_error *error)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    uint64_t kibibytes = (bytes + 1023) / 1024;
    getrlimit(RLIMIT_MEMLOCK, &limit);
    if (limit.rlim_cur < bytes)
        return fail(error, GPTOSS_MEMORY,
                    "cannot lock %" PRIu64 " KiB of weights in memory: the limit of locked memory "
                    "(RLIMIT_MEMLOCK, ulimit -l) is %" PRIu64 " KiB",
                    kibibytes, (uint64_t)limit.rlim_cur / 1024);
    return fail(error, GPTOSS_MEMORY, "cannot lock %" PRIu64 " KiB of weights in memory: %s",
                kibibytes, strerror(why));
}

static gptoss_status lock_files(const gptoss_model *model, gptoss_error *error)
{
    uint64_t bytes = file_bytes(model);
    uint64_t available = memory_available();
    if (available < bytes && !checkpoint_in_memory(model->files))
        return fail(error, GPTOSS_MEMORY,
                    "cannot lock %" PRIu64 " KiB of weights in memory: %" PRIu64
                    " KiB are available",
                    (bytes + 1023) / 1024, available / 1024);
    for (size_t i = 0; i < checkpoint_file_count(model->files); i++) {
        file_map map = checkpoint_file_map(model->files, i);
        int why = residency_lock(map.data, map.size);
        if (why != 0) {
            unlock_files(model, i);
            return fail_lock(why, bytes, error);
        }
    }
    return GPTOSS_OK;
}

gptoss_status model_lock(const gptoss_model *model, uint32_t threads, gptoss_progress_fn progress,
                         void *user, gptoss_error *error)
{
    sweep s = {.what = "locking weights", .progress = progress, .user = user};
    gptoss_status status = lock_files(model, error);
    if (status != GPTOSS_OK)
        return status;
    status = list_pieces(model, true, &s, error);
    if (status == GPTOSS_OK)
        status = run_sweep(&s, threads, error);
    if (status != GPTOSS_OK)
        unlock_files(model, checkpoint_file_count(model->files));
    return status;
}
