/* Checked batches in, logits out. */
#include <stdlib.h>

#include "base/cores.h"
#include "base/cpu.h"
#include "engine/executor.h"
#include "op/blas.h"

const char *gptoss_numerics_name(gptoss_numerics numerics)
{
    return numerics == GPTOSS_NUMERICS_TORCH_BF16 ? "torch-bf16" : "f32";
}

const char *gptoss_precision_name(gptoss_precision precision)
{
    static const char *const names[] = {"f32", "bf16", "q8"};
    return names[precision];
}

const char *gptoss_gemm_name(gptoss_gemm gemm)
{
    static const char *const names[] = {"auto", "own", "blas"};
    return names[gemm];
}

const char *gptoss_blas(void)
{
    return op_blas_library();
}

/* Whether BLAS is to multiply; refuses what it cannot. */
static gptoss_status choose_gemm(gptoss_gemm gemm, gptoss_numerics numerics,
                                 gptoss_precision precision, bool *blas, gptoss_error *error)
{
    bool torch = numerics == GPTOSS_NUMERICS_TORCH_BF16;
    *blas = gemm == GPTOSS_GEMM_BLAS;
    if (gemm == GPTOSS_GEMM_AUTO)
        *blas = op_blas_library() != NULL && cpu_settle() == CPU_PLAIN &&
                precision == GPTOSS_PRECISION_BF16;
    if (gemm != GPTOSS_GEMM_AUTO && gemm != GPTOSS_GEMM_OWN && gemm != GPTOSS_GEMM_BLAS)
        return fail(error, GPTOSS_USAGE, "gemm %d: expected that of auto, own or blas", (int)gemm);
    if (*blas && op_blas_library() == NULL)
        return fail(error, GPTOSS_UNSUPPORTED, "gemm blas: this build is without BLAS");
    if (*blas && (torch || precision == GPTOSS_PRECISION_Q8))
        return fail(error, GPTOSS_USAGE,
                    "gemm blas with %s: it multiplies floats and expects precision f32 or bf16",
                    torch ? "numerics torch-bf16" : "precision q8");
    if (*blas)
        op_blas_prepare();
    return GPTOSS_OK;
}

/* Chooses the processors of threads that are to be pinned; false when there is no memory. */
static bool choose_processors(gptoss_executor *executor, gptoss_pinning pinning)
{
    uint32_t threads = executor->options.threads;
    if (pinning == GPTOSS_PIN_OFF)
        return true;
    executor->processors = calloc(threads, sizeof *executor->processors);
    if (executor->processors == NULL)
        return false;
    uint32_t cores = cores_list(executor->processors, threads);
    bool fit = pinning == GPTOSS_PIN_ON ? threads <= cores : threads == cores && !parallel_binds();
    executor->options.processors = fit ? executor->processors : NULL;
    return true;
}

gptoss_status gptoss_executor_open(const gptoss_model *model,
                                   const gptoss_executor_options *options, gptoss_executor **out,
                                   gptoss_error *error)
{
    uint32_t threads =
        options == NULL || options->threads == 0 ? parallel_default() : options->threads;
    uint32_t chunk = options == NULL || options->chunk == 0 ? GPTOSS_DEFAULT_CHUNK : options->chunk;
    gptoss_numerics numerics = options == NULL ? GPTOSS_NUMERICS_F32 : options->numerics;
    gptoss_precision precision = options == NULL ? GPTOSS_PRECISION_F32 : options->precision;
    gptoss_pinning pinning = options == NULL ? GPTOSS_PIN_AUTO : options->pinning;
    *out = NULL;
    gptoss_status status = gptoss_cpu_choose(NULL, error);
    if (status != GPTOSS_OK)
        return status;
    if (threads > PARALLEL_MAX_THREADS)
        return fail(error, GPTOSS_LIMIT, "%u threads: expected at most %d", threads,
                    PARALLEL_MAX_THREADS);
    if (chunk > GPTOSS_MAX_CHUNK)
        return fail(error, GPTOSS_LIMIT, "a chunk of %u rows: expected at most %d", chunk,
                    GPTOSS_MAX_CHUNK);
    if (numerics != GPTOSS_NUMERICS_F32 && numerics != GPTOSS_NUMERICS_TORCH_BF16)
        return fail(error, GPTOSS_USAGE, "numerics %d: expected those of f32 or torch-bf16",
                    (int)numerics);
    if (precision != GPTOSS_PRECISION_F32 && precision != GPTOSS_PRECISION_BF16 &&
        precision != GPTOSS_PRECISION_Q8)
        return fail(error, GPTOSS_USAGE, "precision %d: expected that of f32, bf16 or q8",
                    (int)precision);
    if (numerics == GPTOSS_NUMERICS_TORCH_BF16 && precision != GPTOSS_PRECISION_F32)
        return fail(error, GPTOSS_USAGE,
                    "precision %s with numerics torch-bf16: these round by themselves and expect "
                    "precision f32",
                    gptoss_precision_name(precision));
    if (pinning != GPTOSS_PIN_AUTO && pinning != GPTOSS_PIN_ON && pinning != GPTOSS_PIN_OFF)
        return fail(error, GPTOSS_USAGE, "pinning %d: expected that of auto, on or off",
                    (int)pinning);
    bool blas = false;
    status = choose_gemm(options == NULL ? GPTOSS_GEMM_AUTO : options->gemm, numerics, precision,
                         &blas, error);
    if (status != GPTOSS_OK)
        return status;
    if (threads > parallel_limit())
        threads = parallel_limit();

    gptoss_executor *executor = calloc(1, sizeof *executor);
    if (executor == NULL)
        return fail_memory(error, "an executor", sizeof *executor);
    *executor = (gptoss_executor){
        .model = model,
        .chunk = chunk,
        .options = {
            .threads = threads, .numerics = numerics, .precision = precision, .blas = blas}};
    executor->rows = calloc(chunk, sizeof *executor->rows);
    executor->fed = calloc(chunk, sizeof *executor->fed);
    status =
        executor->rows == NULL || executor->fed == NULL || !choose_processors(executor, pinning)
            ? fail_memory(error, "a batch", chunk * sizeof *executor->rows)
            : workspace_init(&executor->space, gptoss_model_config(model), chunk, threads, error);
    if (status == GPTOSS_OK && model->sketch != NULL)
        status = token_search_init(&executor->search, model, threads, executor->options.processors,
                                   error);
    if (status != GPTOSS_OK) {
        gptoss_executor_close(executor);
        return status;
    }
    *out = executor;
    return GPTOSS_OK;
}

void gptoss_executor_close(gptoss_executor *executor)
{
    if (executor == NULL)
        return;
    token_search_free(&executor->search);
    workspace_free(&executor->space);
    free(executor->processors);
    free(executor->rows);
    free(executor->fed);
    free(executor);
}

const gptoss_model *gptoss_executor_model(const gptoss_executor *executor)
{
    return executor->model;
}

uint32_t gptoss_executor_threads(const gptoss_executor *executor)
{
    return executor->options.threads;
}

bool gptoss_executor_pinned(const gptoss_executor *executor)
{
    return executor->options.processors != NULL;
}

uint32_t gptoss_executor_chunk(const gptoss_executor *executor)
{
    return executor->chunk;
}

gptoss_numerics gptoss_executor_numerics(const gptoss_executor *executor)
{
    return executor->options.numerics;
}

gptoss_precision gptoss_executor_precision(const gptoss_executor *executor)
{
    return executor->options.precision;
}

gptoss_gemm gptoss_executor_gemm(const gptoss_executor *executor)
{
    return executor->options.blas ? GPTOSS_GEMM_BLAS : GPTOSS_GEMM_OWN;
}

void gptoss_executor_statistics(const gptoss_executor *executor, gptoss_statistics *out)
{
    *out = executor->space.statistics;
}

void gptoss_executor_tap(gptoss_executor *executor, gptoss_tap_fn tap, void *user)
{
    executor->options.tap = tap;
    executor->options.tap_user = user;
}

/* One row against its model and its sequence, whose `pending` rows came before it. */
static gptoss_status check_row(const gptoss_executor *executor, const gptoss_row *row,
                               gptoss_error *error)
{
    const gptoss_config *config = gptoss_model_config(executor->model);
    const kv_cache *cache = &row->sequence->cache;
    uint32_t next = cache->length + row->sequence->pending;
    if (row->sequence->model != executor->model)
        return fail(error, GPTOSS_USAGE, "a sequence of another model was given to this executor");
    if (row->token >= config->vocab)
        return fail(error, GPTOSS_USAGE, "token %u: expected an id below the vocabulary's %u",
                    row->token, config->vocab);
    if (row->position != next)
        return fail(error, GPTOSS_USAGE, "position %u: expected %u, the sequence's next",
                    row->position, next);
    if (next >= cache->context)
        return fail(error, GPTOSS_LIMIT, "the context of %u positions is full", cache->context);
    if (row->sequence->pending == cache->chunk)
        return fail(error, GPTOSS_LIMIT, "a batch holds at most %u rows of this sequence",
                    cache->chunk);
    return GPTOSS_OK;
}

gptoss_status gptoss_executor_forward(gptoss_executor *executor, const gptoss_row *rows,
                                      size_t count, const float **logits, gptoss_error *error)
{
    gptoss_status status = GPTOSS_OK;
    size_t checked = 0;
    bool wanted = false;
    if (count > executor->chunk)
        return fail(error, GPTOSS_LIMIT, "a batch of %zu rows: this executor takes at most %u",
                    count, executor->chunk);
    while (checked < count && (status = check_row(executor, &rows[checked], error)) == GPTOSS_OK) {
        const gptoss_row *row = &rows[checked];
        executor->rows[checked++] =
            (forward_row){&row->sequence->cache, row->position, row->token, row->want_logits};
        row->sequence->pending++;
        wanted = wanted || row->want_logits;
    }
    for (size_t i = 0; i < checked; i++) {
        rows[i].sequence->pending = 0;
        if (status == GPTOSS_OK)
            kv_cache_expect(&rows[i].sequence->cache, rows[i].position + 1);
    }
    if (status == GPTOSS_OK && count > 0)
        status = forward(executor->model, &executor->space, &executor->options, executor->rows,
                         count, error);
    if (status != GPTOSS_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        gptoss_sequence *sequence = rows[i].sequence;
        sequence->tokens[sequence->cache.length++] = rows[i].token;
    }
    if (logits != NULL)
        *logits = wanted ? executor->space.logits : NULL;
    return GPTOSS_OK;
}

/* How far a prompt has come, told layer by layer: a chunk can take many seconds. */
typedef struct feed_progress {
    gptoss_progress_fn progress;
    void *user;
    size_t done; /* tokens of earlier chunks */
    size_t part; /* tokens of this one */
    size_t total;
    uint32_t layers;
} feed_progress;

static bool tell_layer(void *user, uint32_t layer)
{
    const feed_progress *p = user;
    return p->progress(p->user, "prompt", p->done + p->part * layer / p->layers, p->total);
}

gptoss_status gptoss_executor_feed(gptoss_executor *executor, gptoss_sequence *sequence,
                                   const uint32_t *tokens, size_t count,
                                   gptoss_progress_fn progress, void *user, const float **logits,
                                   gptoss_error *error)
{
    uint32_t chunk =
        executor->chunk < sequence->cache.chunk ? executor->chunk : sequence->cache.chunk;
    feed_progress told = {.progress = progress,
                          .user = user,
                          .total = count,
                          .layers = gptoss_model_config(executor->model)->layers};
    gptoss_status status = GPTOSS_OK;
    executor->options.on_layer = progress == NULL ? NULL : tell_layer;
    executor->options.layer_user = &told;
    for (; told.done < count && status == GPTOSS_OK; told.done += told.part) {
        told.part = count - told.done < chunk ? count - told.done : chunk;
        for (size_t i = 0; i < told.part; i++) {
            size_t at = told.done + i;
            executor->fed[i] = (gptoss_row){sequence, sequence->cache.length + (uint32_t)i,
                                            tokens[at], logits != NULL && at + 1 == count};
        }
        status = gptoss_executor_forward(executor, executor->fed, told.part, logits, error);
        if (status == GPTOSS_INTERRUPTED)
            fail(error, status, "interrupted after %zu of %zu prompt tokens", told.done, count);
    }
    executor->options.on_layer = NULL;
    if (status == GPTOSS_OK && progress != NULL)
        progress(user, "prompt", count, count);
    return status;
}
