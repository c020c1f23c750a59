/* What an executor counts of its passes, against what a person would count. */
#include <string.h>

#include "base/clock.h"
#include "check.h"
#include "gptoss.h"

/* 3 layers (sliding, full, sliding), hidden 64, intermediate 32, vocabulary 200, 6 heads and 2 for
 * keys of 16, 5 experts of which 2 are chosen, a window of 8; biases. */
#define PUBLISHED GPTOSS_SOURCE_DIR "/tests/golden/published/"

enum { LAYERS = 3, HIDDEN = 64, INTER = 32, VOCAB = 200, HEADS = 6, KV = 2, DIM = 16, WINDOW = 8 };
enum { EXPERTS = 5, CHOSEN = 2, Q = HEADS * DIM, KVD = KV * DIM };

static gptoss_model *model;
static gptoss_executor *executor;

static void open_model(const char *layout)
{
    char path[4096];
    gptoss_executor_options options = {.threads = 1, .chunk = 64};
    snprintf(path, sizeof path, "%s%s", PUBLISHED, layout);
    CHECK(gptoss_model_open(path, &model, NULL) == GPTOSS_OK, "%s", path);
    CHECK(gptoss_executor_open(model, &options, &executor, NULL) == GPTOSS_OK, "executor");
}

static void close_model(void)
{
    gptoss_executor_close(executor);
    gptoss_model_close(model);
}

static gptoss_sequence *open_sequence(void)
{
    gptoss_sequence *sequence = NULL;
    CHECK(gptoss_sequence_open(model, NULL, &sequence, NULL) == GPTOSS_OK, "sequence");
    return sequence;
}

/* What one pass over `count` rows adds. */
static gptoss_statistics pass(const gptoss_row *rows, size_t count)
{
    gptoss_statistics before, after;
    uint64_t *from = (uint64_t *)(void *)&before;
    uint64_t *to = (uint64_t *)(void *)&after;
    gptoss_executor_statistics(executor, &before);
    uint64_t start = clock_now();
    CHECK(gptoss_executor_forward(executor, rows, count, NULL, NULL) == GPTOSS_OK, "forward");
    gptoss_executor_statistics(executor, &after);
    for (size_t i = 0; i < sizeof after / sizeof *to; i++)
        to[i] -= from[i];
    CHECK(after.passes == 1 && after.rows == count, "one pass of %zu rows", count);
    uint64_t spent = 0;
    for (int i = 0; i < GPTOSS_OPERATION_COUNT; i++) {
        const gptoss_work *work = &after.work[i];
        spent += work->nanoseconds;
        CHECK(work->flops == 0 || gptoss_operation_multiplies((gptoss_operation)i),
              "%s has no products", gptoss_operation_name((gptoss_operation)i));
    }
    CHECK(spent > 0 && spent <= clock_now() - start, "the operations' time within the pass's");
    return after;
}

/* Groups of operations. */
static uint64_t dense_bytes(const gptoss_statistics *used)
{
    static const gptoss_operation of[] = {GPTOSS_OPERATION_EMBEDDING, GPTOSS_OPERATION_NORM,
                                          GPTOSS_OPERATION_QKV, GPTOSS_OPERATION_ATTENTION_OUT,
                                          GPTOSS_OPERATION_ROUTER};
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        sum += used->work[of[i]].bytes;
    return sum;
}

static uint64_t dense_flops(const gptoss_statistics *used)
{
    return used->work[GPTOSS_OPERATION_QKV].flops +
           used->work[GPTOSS_OPERATION_ATTENTION_OUT].flops +
           used->work[GPTOSS_OPERATION_ROUTER].flops;
}

static gptoss_work experts_of(const gptoss_statistics *used)
{
    const gptoss_work *up = &used->work[GPTOSS_OPERATION_GATE_UP];
    const gptoss_work *down = &used->work[GPTOSS_OPERATION_DOWN];
    return (gptoss_work){0, up->bytes + down->bytes, up->flops + down->flops};
}

static uint64_t cache_bytes(const gptoss_statistics *used)
{
    return used->work[GPTOSS_OPERATION_ATTENTION].bytes;
}

/* Which experts a pass chose. */
typedef struct chosen {
    bool of[LAYERS][EXPERTS];
} chosen;

static void note_experts(void *user, const gptoss_tap_view *view)
{
    chosen *noted = user;
    for (size_t i = 0; view->stage == GPTOSS_STAGE_EXPERTS && i < view->rows * view->columns; i++)
        noted->of[view->layer][view->ids[i]] = true;
}

static uint64_t count_chosen(const chosen *noted)
{
    uint64_t count = 0;
    for (int layer = 0; layer < LAYERS; layer++)
        for (int expert = 0; expert < EXPERTS; expert++)
            count += noted->of[layer][expert];
    return count;
}

/* Floats that are read as decoded copies of numbers of two bytes. */
static uint64_t vectors(void)
{
    return LAYERS * (2 * HIDDEN + Q + 2 * KVD + HIDDEN + HEADS + EXPERTS) + HIDDEN;
}

/* One row: the bytes that inspect tells. */
static void check_decode(const char *layout)
{
    gptoss_model_info info;
    open_model(layout);
    gptoss_sequence *sequence = open_sequence();
    gptoss_model_describe(model, &info);
    for (uint32_t position = 0; position < 20; position++) {
        gptoss_row row = {sequence, position, position * 7, true};
        gptoss_statistics used = pass(&row, 1);
        CHECK(dense_bytes(&used) + experts_of(&used).bytes +
                      used.work[GPTOSS_OPERATION_UNEMBEDDING].bytes ==
                  info.bytes_per_token + 2 * vectors(),
              "%s: bytes of position %u", layout, position);
        CHECK(used.experts == LAYERS * CHOSEN && used.logit_rows == 1, "%s", layout);
        uint64_t window = position + 1 < WINDOW ? position + 1 : WINDOW;
        uint64_t keys = 2 * window + position + 1;
        CHECK(cache_bytes(&used) % (keys * 2 * KVD) == 0 && cache_bytes(&used) > 0,
              "%s: keys of position %u", layout, position);
        CHECK(cache_bytes(&used) / (keys * 2 * KVD) <= 4, "%s: no more than floats", layout);
        CHECK(used.work[GPTOSS_OPERATION_ATTENTION].flops == 4 * HEADS * DIM * keys,
              "%s: position %u", layout, position);
        CHECK(dense_flops(&used) == 2 * LAYERS * HIDDEN * (2 * Q + 2 * KVD + EXPERTS), "%s",
              layout);
        CHECK(experts_of(&used).flops == 2 * LAYERS * CHOSEN * 3 * HIDDEN * INTER, "%s", layout);
        CHECK(used.work[GPTOSS_OPERATION_UNEMBEDDING].flops == 2 * VOCAB * HIDDEN, "%s", layout);
    }
    gptoss_sequence_close(sequence);
    close_model();
}

/* Many rows of two sequences: weights once, experts if chosen, keys once per sequence. */
static void check_batch(void)
{
    gptoss_row rows[40];
    chosen noted = {0};
    open_model("hf-mxfp4");
    gptoss_sequence *first = open_sequence();
    gptoss_sequence *second = open_sequence();
    gptoss_row one = {first, 0, 3, true};
    gptoss_statistics single = pass(&one, 1);
    gptoss_executor_tap(executor, note_experts, &noted); /* which sees all layers of all rows */
    for (uint32_t i = 0; i < 40; i++)                    /* 20 rows of each, in turn */
        rows[i] = (gptoss_row){i % 2 == 0 ? first : second, i / 2 + (i % 2 == 0), i, i == 39};
    gptoss_statistics many = pass(rows, 40);
    CHECK(dense_bytes(&many) == dense_bytes(&single) + 39 * 2 * HIDDEN, "dense weights once");
    CHECK(many.experts == count_chosen(&noted), "%llu experts", (unsigned long long)many.experts);
    CHECK(experts_of(&many).bytes == experts_of(&single).bytes / single.experts * many.experts,
          "each once");
    CHECK(experts_of(&many).flops == 40 * experts_of(&single).flops, "for each row");
    CHECK(dense_flops(&many) == 40 * dense_flops(&single), "for each row");
    /* 21 positions of one sequence and 20 of the other, in three layers: the window is no wider
     * than the chunk before it, so that all of them are looked at */
    uint64_t key = cache_bytes(&single) / LAYERS;
    CHECK(cache_bytes(&many) == key * LAYERS * (21 + 20), "each key once");
    CHECK(many.logit_rows == 1 &&
              many.work[GPTOSS_OPERATION_UNEMBEDDING].bytes == 2ULL * VOCAB * HIDDEN,
          "one row's");
    gptoss_sequence_close(first);
    gptoss_sequence_close(second);
    close_model();
}

/* Rows that want no logits: of the last layer, which slides, their keys and values alone. */
static void check_unwanted(void)
{
    enum {
        ROWS = 20,
        KEYS = ROWS * (ROWS + 1) / 2,
        SEEN = WINDOW * ROWS - WINDOW * (WINDOW - 1) / 2
    };
    gptoss_row rows[ROWS];
    open_model("hf-mxfp4");
    gptoss_sequence *sequence = open_sequence();
    for (int wanted = 0; wanted < 3; wanted++) { /* the last `wanted` rows */
        gptoss_sequence_clear(sequence);
        for (uint32_t i = 0; i < ROWS; i++)
            rows[i] = (gptoss_row){sequence, i, i, (int)i >= ROWS - wanted};
        gptoss_statistics used = pass(rows, ROWS);
        uint64_t all = (LAYERS - 1) * ROWS; /* rows of the other layers */
        uint64_t some = all + (uint64_t)wanted;
        CHECK(dense_flops(&used) ==
                  2ULL * HIDDEN * ((all + ROWS) * 2 * KVD + some * (2 * Q + EXPERTS)),
              "%d rows: products", wanted);
        CHECK(experts_of(&used).flops == 2ULL * some * CHOSEN * 3 * HIDDEN * INTER,
              "%d rows: experts", wanted);
        CHECK(used.work[GPTOSS_OPERATION_ATTENTION].flops ==
                  4ULL * HEADS * DIM * (KEYS + SEEN + (uint64_t)wanted * WINDOW),
              "%d rows: attention", wanted);
        CHECK(used.logit_rows == (uint64_t)wanted &&
                  used.work[GPTOSS_OPERATION_UNEMBEDDING].flops ==
                      2ULL * (uint64_t)wanted * VOCAB * HIDDEN,
              "%d rows: logits", wanted);
    }
    gptoss_sequence_close(sequence);
    close_model();
}

static void check_probe(void)
{
    gptoss_probe_result found = {0};
    gptoss_error error = {GPTOSS_OK, ""};
    CHECK(gptoss_probe(1, &found, &error) == GPTOSS_OK, "%s", error.message);
    CHECK(found.threads == 1, "%u", found.threads);
    CHECK(found.bytes_per_second > 1e8 && found.bytes_per_second < 1e13, "%g",
          found.bytes_per_second);
    CHECK(found.flops_per_second > 1e8 && found.flops_per_second < 1e13, "%g",
          found.flops_per_second);
    CHECK(gptoss_probe(100000, &found, &error) == GPTOSS_LIMIT, "too many threads");
}

int main(void)
{
    check_decode("hf-mxfp4");
    check_decode("hf");
    check_decode("original");
    check_batch();
    check_unwanted();
    check_probe();
    return test_result();
}
