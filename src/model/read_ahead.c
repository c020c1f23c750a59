#include "model/read_ahead.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/memory.h"
#include "base/residency.h"
#include "model/residents.h"
#include "op/parallel.h"

enum { PIECE = 4 << 20 }; /* bytes read between two calls of progress */

/* Pieces that the threads of a team read, each the next one that nobody has taken. */
typedef struct sweep {
    resident *pieces;
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

/* Cuts what is resident into pieces: all of it, or where something is missing. */
static gptoss_status list_pieces(const residents *of, bool all, sweep *s, gptoss_error *error)
{
    size_t most = (size_t)(of->bytes / PIECE) + of->count;
    s->pieces = calloc(most, sizeof *s->pieces);
    if (s->pieces == NULL)
        return fail_memory(error, "a list of pieces of weights", most * sizeof *s->pieces);
    for (size_t i = 0; i < of->count; i++) {
        const resident *whole = &of->list[i];
        for (size_t at = 0; at < whole->bytes; at += PIECE) {
            size_t bytes = whole->bytes - at < PIECE ? whole->bytes - at : PIECE;
            if (!all && residency_missing(whole->start + at, bytes) == 0)
                continue;
            s->pieces[s->count++] = (resident){whole->start + at, bytes};
            s->total += bytes;
        }
    }
    return GPTOSS_OK;
}

gptoss_status model_read_ahead(const gptoss_model *model, uint32_t threads,
                               gptoss_progress_fn progress, void *user, gptoss_error *error)
{
    sweep s = {.what = "reading weights", .progress = progress, .user = user};
    residents of;
    gptoss_status status = residents_of(model, &of, error);
    if (status != GPTOSS_OK)
        return status;
    if (memory_available() >= of.in_files) { /* else the first would be dropped for the last */
        status = list_pieces(&of, false, &s, error);
        if (status == GPTOSS_OK)
            status = run_sweep(&s, threads, error);
    }
    free(of.list);
    return status;
}

/* ---- locking --------------------------------------------------------------------------------- */

static void unlock(const residents *of, size_t count)
{
    for (size_t i = 0; i < count; i++)
        residency_unlock(of->list[i].start, of->list[i].bytes);
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

static gptoss_status lock(const residents *of, gptoss_error *error)
{
    uint64_t available = memory_available();
    if (available < of->in_files)
        return fail(error, GPTOSS_MEMORY,
                    "cannot lock %" PRIu64 " KiB of weights in memory: %" PRIu64
                    " KiB are available",
                    (of->in_files + 1023) / 1024, available / 1024);
    for (size_t i = 0; i < of->count; i++) {
        int why = residency_lock(of->list[i].start, of->list[i].bytes);
        if (why != 0) {
            unlock(of, i);
            return fail_lock(why, of->bytes, error);
        }
    }
    return GPTOSS_OK;
}

gptoss_status model_lock(const gptoss_model *model, uint32_t threads, gptoss_progress_fn progress,
                         void *user, gptoss_error *error)
{
    sweep s = {.what = "locking weights", .progress = progress, .user = user};
    residents of;
    gptoss_status status = residents_of(model, &of, error);
    if (status != GPTOSS_OK)
        return status;
    if ((status = lock(&of, error)) == GPTOSS_OK) {
        status = list_pieces(&of, true, &s, error);
        if (status == GPTOSS_OK)
            status = run_sweep(&s, threads, error);
        if (status != GPTOSS_OK)
            unlock(&of, of.count);
    }
    free(of.list);
    return status;
}
