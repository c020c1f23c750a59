#include "model/workspace.h"

#include "base/carver.h"
#include "base/memory.h"
#include "op/bfloat.h"
#include "op/blas.h"
#include "op/fixed.h"

static float *carve_floats(carver *c, uint64_t rows, uint64_t columns)
{
    return carve(c, rows * columns, sizeof(float));
}

/* Floats of scratch one thread needs for any operation, in whole cache lines. */
static uint64_t scratch_floats(const gptoss_config *config, uint64_t rows)
{
    uint64_t q_dim = (uint64_t)config->heads * config->head_dim;
    uint64_t widest = config->hidden > config->intermediate ? config->hidden : config->intermediate;
    widest = widest > q_dim ? widest : q_dim;
    uint64_t panel = OP_PANEL_FLOATS(widest);
    uint64_t attention = op_attention_floats(config->head_dim, config->context);
    uint64_t most = op_fixed_gated_bytes() / sizeof(float);
    most = panel > most ? panel : most;
    uint64_t bfloat = op_bfloat_bytes(widest) / sizeof(float);
    most = bfloat > most ? bfloat : most;
    uint64_t gated = op_bfloat_gated_bytes(rows) / sizeof(float);
    most = gated > most ? gated : most;
    uint64_t blas = op_blas_library() == NULL ? 0 : OP_BLAS_FLOATS(widest);
    most = blas > most ? blas : most;
    return ((attention > most ? attention : most) + 15) / 16 * 16;
}

static uint64_t arranged_bytes(uint64_t rows, uint64_t matrices, uint64_t columns)
{
    return op_arranged_rows(rows, matrices) * GEMM_COLUMNS(columns) * sizeof(float);
}

/* Bytes of the inputs of any matrix product: arranged floats, rows in fixed point or in bfloat16.
 */
static uint64_t prepared_bytes(const gptoss_config *config, uint64_t rows)
{
    uint64_t assignments = rows * config->experts_per_token;
    uint64_t q_dim = (uint64_t)config->heads * config->head_dim;
    uint64_t needs[] = {
        arranged_bytes(rows, 1, config->hidden),
        arranged_bytes(rows, 1, q_dim),
        arranged_bytes(assignments, config->experts, config->hidden),
        arranged_bytes(assignments, config->experts, config->intermediate),
        assignments * fixed_row_bytes(config->hidden, FIXED_MAX_DIGITS),
        rows * fixed_row_bytes(q_dim, 1),
        assignments * fixed_row_bytes(config->intermediate, FIXED_MAX_DIGITS),
        op_bfloat_rows_bytes(rows, q_dim),
        op_bfloat_rows_bytes(assignments, config->hidden),
        op_bfloat_rows_bytes(assignments, config->intermediate),
    };
    uint64_t most = 0;
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        most = needs[i] > most ? needs[i] : most;
    return most;
}

/* Bytes of what the experts' activation gives: floats, or rows in fixed point or in bfloat16. */
static uint64_t activated_bytes(const gptoss_config *config, uint64_t assignments)
{
    uint64_t floats = assignments * config->intermediate * sizeof(float);
    uint64_t fixed = assignments * fixed_row_bytes(config->intermediate, FIXED_MAX_DIGITS);
    uint64_t bfloats = op_bfloat_rows_bytes(assignments, config->intermediate);
    uint64_t most = floats > fixed ? floats : fixed;
    return most > bfloats ? most : bfloats;
}

static uint64_t lay_out(workspace *w, const gptoss_config *config, uint64_t rows, uint32_t threads,
                        uint64_t logit_rows)
{
    carver c = {w->memory, 0};
    uint64_t assignments = rows * config->experts_per_token;
    uint64_t q_dim = (uint64_t)config->heads * config->head_dim;
    uint64_t kv_dim = (uint64_t)config->kv_heads * config->head_dim;

    w->hidden = carve_floats(&c, rows, config->hidden);
    w->normed = carve_floats(&c, rows, config->hidden);
    w->qkv = carve_floats(&c, rows, q_dim + 2 * kv_dim);
    w->attended = carve_floats(&c, rows, q_dim);
    w->sink_mass = carve_floats(&c, rows, config->heads);
    w->block_out = carve_floats(&c, rows, config->hidden);
    w->router_logits = carve_floats(&c, rows, config->experts);
    w->prepared = carve(&c, prepared_bytes(config, rows), 1);
    w->expert_h = carve_floats(&c, assignments, 2 * (uint64_t)config->intermediate);
    w->expert_z = carve(&c, activated_bytes(config, assignments), 1);
    w->expert_out = carve_floats(&c, assignments, config->hidden);
    w->cosine = carve_floats(&c, rows, config->head_dim / 2);
    w->sine = carve_floats(&c, rows, config->head_dim / 2);
    w->tokens = carve(&c, rows, sizeof *w->tokens);
    w->positions = carve(&c, rows, sizeof *w->positions);
    w->views = carve(&c, rows, sizeof *w->views);
    w->route.top = config->experts_per_token;
    w->route.experts = config->experts;
    w->route.expert = carve(&c, assignments, sizeof *w->route.expert);
    w->route.weight = carve(&c, assignments, sizeof *w->route.weight);
    w->route.place = carve(&c, assignments, sizeof *w->route.place);
    w->route.source = carve(&c, assignments, sizeof *w->route.source);
    w->route.start = carve(&c, config->experts + 1ULL, sizeof *w->route.start);
    w->alarms = carve(&c, 2 * (uint64_t)config->layers + 2, sizeof *w->alarms);
    w->scratch_floats = scratch_floats(config, rows);
    w->scratch = carve_floats(&c, threads, w->scratch_floats);
    w->logits = carve_floats(&c, logit_rows, config->vocab);
    return c.used;
}

uint64_t workspace_bytes(const gptoss_config *config, uint32_t rows, uint32_t threads,
                         uint32_t logit_rows)
{
    workspace measured = {0};
    return lay_out(&measured, config, rows, threads, logit_rows);
}

gptoss_status workspace_init(workspace *out, const gptoss_config *config, uint32_t rows,
                             uint32_t threads, gptoss_error *error)
{
    *out = (workspace){0};
    out->bytes = workspace_bytes(config, rows, threads, rows);
    gptoss_status status = memory_reserve(out->bytes, "the work space", &out->memory, error);
    if (status == GPTOSS_OK)
        lay_out(out, config, rows, threads, rows);
    else
        *out = (workspace){0};
    return status;
}

void workspace_free(workspace *space)
{
    if (space->memory != NULL)
        memory_release(space->memory, space->bytes);
    *space = (workspace){0};
}
