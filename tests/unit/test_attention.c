/* Attention over a cache against double precision, and that neither tiles, threads, batch mates nor
 * the ring's turn change a bit. */
#include "op/attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/random.h"
#include "check.h"

enum { HEADS = 22, KV = 2, GROUP = HEADS / KV, DIM = 8, MOST_THREADS = 7 };
enum { LENGTH = 2 * OP_ATTENTION_PART + 150 };

static uint64_t drawn;

static float number(void)
{
    return (float)(2.0 * random_unit(7, 0, drawn++) - 1.0);
}

static float *numbers(size_t n)
{
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = number();
    return x;
}

/* Everything that was ever put into a sequence, and the queries at each of its positions. */
typedef struct history {
    float *keys;   /* [LENGTH, KV, DIM] */
    float *values; /* [LENGTH, KV, DIM] */
    float *q;      /* [LENGTH, HEADS, DIM] */
    float sinks[HEADS];
    attention_shape shape;
    number_format format;
} history;

/* A cache that is filled as a batch is about to be attended. */
static kv_view open_view(number_format format, size_t slots)
{
    return (kv_view){malloc(kv_key_bytes(format, KV * slots, DIM)),
                     malloc(kv_value_bytes(format, KV * slots, DIM)), slots, format};
}

static void close_view(kv_view *view)
{
    free(view->keys);
    free(view->values);
}

typedef struct call {
    const history *from;
    const kv_view *caches;
    const uint32_t *positions;
    const float *q;
    size_t rows;
    float *k;
    float *v;
    float *out;
    float *sink_mass;
    float *scratch;
} call;

static void run(const team *self, void *user)
{
    const call *c = user;
    size_t stride = op_attention_floats(DIM, LENGTH);
    op_store_kv(self, &c->from->shape, c->caches, c->positions, c->k, c->v, (size_t)KV * DIM,
                c->rows);
    op_attention(self, &c->from->shape, c->caches, c->positions, c->q, (size_t)HEADS * DIM,
                 c->from->sinks, c->rows, c->out, c->sink_mass,
                 (attention_scratch){c->scratch + self->rank * stride, stride});
}

/* Takes `rows` rows from `position` on into each of `sequences` caches in one batch; out [rows,
 * HEADS, DIM] and sink_mass [rows, HEADS] or NULL, of the last of them. */
static void batch(const history *from, const kv_view *views, size_t sequences, size_t position,
                  size_t rows, uint32_t threads, float *out, float *sink_mass)
{
    size_t all = rows * sequences;
    kv_view *caches = malloc(all * sizeof *caches);
    uint32_t *positions = malloc(all * sizeof *positions);
    float *q = malloc(all * HEADS * DIM * sizeof *q);
    float *k = malloc(all * KV * DIM * sizeof *k);
    float *v = malloc(all * KV * DIM * sizeof *v);
    float *outs = malloc(all * HEADS * DIM * sizeof *outs);
    float *masses = malloc(all * HEADS * sizeof *masses);
    float *scratch = malloc(MOST_THREADS * op_attention_floats(DIM, LENGTH) * sizeof *scratch);
    for (size_t row = 0; row < all; row++) {
        size_t at = position + row % rows;
        caches[row] = views[row / rows];
        positions[row] = (uint32_t)at;
        memcpy(q + row * HEADS * DIM, from->q + at * HEADS * DIM, HEADS * DIM * sizeof *q);
        memcpy(k + row * KV * DIM, from->keys + at * KV * DIM, KV * DIM * sizeof *k);
        memcpy(v + row * KV * DIM, from->values + at * KV * DIM, KV * DIM * sizeof *v);
    }
    call c = {from, caches, positions, q, all, k, v, outs, sink_mass ? masses : NULL, scratch};
    parallel_run(threads, run, &c);
    memcpy(out, outs + (all - rows) * HEADS * DIM, rows * HEADS * DIM * sizeof *out);
    if (sink_mass != NULL)
        memcpy(sink_mass, masses + (all - rows) * HEADS, rows * HEADS * sizeof *sink_mass);
    free(caches);
    free(positions);
    free(q);
    free(k);
    free(v);
    free(outs);
    free(masses);
    free(scratch);
}

/* Fills out [DIM] and returns the sink's share. */
static double exact_attention(const history *h, size_t position, size_t head, double *out)
{
    size_t kv = head / GROUP;
    const float *q = h->q + (position * HEADS + head) * DIM;
    double total = exp(h->sinks[head]);
    memset(out, 0, DIM * sizeof *out);
    for (size_t j = 0; j <= position; j++) {
        double score = 0.0;
        if (h->shape.window != SIZE_MAX && j + h->shape.window <= position)
            continue;
        for (size_t d = 0; d < DIM; d++)
            score += (double)q[d] * h->keys[(j * KV + kv) * DIM + d];
        double p = exp(score / sqrt((double)DIM));
        total += p;
        for (size_t d = 0; d < DIM; d++)
            out[d] += p * h->values[(j * KV + kv) * DIM + d];
    }
    for (size_t d = 0; d < DIM; d++)
        out[d] /= total;
    return exp(h->sinks[head]) / total;
}

static void check_exact(const history *h, size_t position, const float *out, const float *mass)
{
    for (size_t head = 0; head < HEADS; head++) {
        double exact[DIM];
        double share = exact_attention(h, position, head, exact);
        CHECK(fabs(mass[head] - share) <= 1e-6 * share, "position %zu, the sink of head %zu",
              position, head);
        for (size_t d = 0; d < DIM; d++)
            CHECK(fabs(out[head * DIM + d] - exact[d]) < 1e-6, "position %zu, head %zu, window %zu",
                  position, head, h->shape.window);
    }
}

static bool same(const float *a, const float *b, size_t n)
{
    return memcmp(a, b, n * sizeof *a) == 0;
}

static history make_history(number_format format, size_t window)
{
    history h = {.keys = numbers((size_t)LENGTH * KV * DIM),
                 .values = numbers((size_t)LENGTH * KV * DIM),
                 .q = numbers((size_t)LENGTH * HEADS * DIM),
                 .shape = {HEADS, KV, DIM, window},
                 .format = format};
    for (size_t i = 0; i < HEADS; i++)
        h.sinks[i] = number();
    for (size_t i = 0; format == NUMBER_BF16 && i < (size_t)LENGTH * KV * DIM; i++) {
        h.keys[i] = bf16_round(h.keys[i]);
        h.values[i] = bf16_round(h.values[i]);
    }
    return h;
}

static void free_history(history *h)
{
    free(h->keys);
    free(h->values);
    free(h->q);
}

/* The whole history fed in chunks of `chunk` rows, by `threads` threads, into a cache of `slots`.
 */
static void feed(const history *h, size_t slots, size_t chunk, uint32_t threads, float *out,
                 float *mass)
{
    kv_view view = open_view(h->format, slots);
    for (size_t at = 0; at < LENGTH; at += chunk)
        batch(h, &view, 1, at, LENGTH - at < chunk ? LENGTH - at : chunk, threads,
              out + at * HEADS * DIM, mass + at * HEADS);
    close_view(&view);
}

/*
 * A prompt in one go against the same in chunks, in rings that turn over, by more and fewer
 * threads: tiles of 16 rows and of fewer, whole rows and rows divided between threads.
 */
static void check_shapes(number_format format, size_t window)
{
    size_t outs = (size_t)LENGTH * HEADS * DIM;
    history h = make_history(format, window);
    float *out[2] = {malloc(outs * sizeof(float)), malloc(outs * sizeof(float))};
    float *mass[2] = {malloc(LENGTH * HEADS * sizeof(float)),
                      malloc(LENGTH * HEADS * sizeof(float))};
    size_t whole = (LENGTH + 63) / 64 * 64;
    feed(&h, whole, LENGTH, 1, out[0], mass[0]);
    for (size_t at = 0; at < LENGTH; at += at < 200 ? 1 : 97)
        check_exact(&h, at, out[0] + at * HEADS * DIM, mass[0] + at * HEADS);
    for (size_t at = OP_ATTENTION_PART - 2; at < OP_ATTENTION_PART + 2; at++)
        check_exact(&h, at, out[0] + at * HEADS * DIM, mass[0] + at * HEADS);
    static const struct {
        size_t chunk;
        uint32_t threads;
    } shapes[] = {{LENGTH, 2}, {LENGTH, 3}, {LENGTH, 4}, {1000, 2}, {77, 2}, {16, 1}, {3, 1}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        size_t ring = window == SIZE_MAX ? whole : (window - 1 + shapes[s].chunk + 63) / 64 * 64;
        feed(&h, ring < whole ? ring : whole, shapes[s].chunk, shapes[s].threads, out[1], mass[1]);
        CHECK(same(out[0], out[1], outs) && same(mass[0], mass[1], LENGTH * HEADS),
              "window %zu, chunks of %zu, %u threads", window, shapes[s].chunk, shapes[s].threads);
    }
    free(out[0]);
    free(out[1]);
    free(mass[0]);
    free(mass[1]);
    free_history(&h);
}

/* The last rows of the history, decoded with a cache that holds all before; the same alone, beside
 * other sequences, and divided among any number of threads. */
static void check_decode(number_format format, size_t window)
{
    enum { ROWS = 5, START = LENGTH - ROWS };
    history h = make_history(format, window);
    size_t slots = (LENGTH + 63) / 64 * 64;
    kv_view views[3];
    float *prompt = malloc((size_t)START * HEADS * DIM * sizeof *prompt);
    float out[2][ROWS * HEADS * DIM];
    float mass[2][ROWS * HEADS];
    for (size_t i = 0; i < 3; i++) {
        views[i] = open_view(format, slots);
        batch(&h, &views[i], 1, 0, START, 2, prompt, NULL);
    }
    batch(&h, &views[0], 1, START, ROWS, 1, out[0], mass[0]);
    for (uint32_t threads = 1; threads <= MOST_THREADS; threads += 2) {
        for (size_t row = 0; row < ROWS; row++)
            batch(&h, &views[1], 1, START + row, 1, threads, out[1] + row * HEADS * DIM,
                  mass[1] + row * HEADS);
        CHECK(same(out[0], out[1], ROWS * HEADS * DIM) && same(mass[0], mass[1], ROWS * HEADS),
              "row by row, %u threads, window %zu", threads, window);
        for (size_t row = 0; row < ROWS; row++)
            batch(&h, views, 3, START + row, 1, threads, out[1] + row * HEADS * DIM,
                  mass[1] + row * HEADS);
        CHECK(same(out[0], out[1], ROWS * HEADS * DIM) && same(mass[0], mass[1], ROWS * HEADS),
              "three sequences, %u threads, window %zu", threads, window);
    }
    for (size_t row = 0; row < ROWS; row++)
        check_exact(&h, START + row, out[0] + row * HEADS * DIM, mass[0] + row * HEADS);
    for (size_t i = 0; i < 3; i++)
        close_view(&views[i]);
    free(prompt);
    free_history(&h);
}

/* What is put into a cache is there again, rounded to nearest in bfloat16. */
static void check_view(number_format format)
{
    enum { ODD = 37, SLOTS = 128 };
    kv_view view = {malloc(kv_key_bytes(format, KV * SLOTS, ODD)),
                    malloc(kv_value_bytes(format, KV * SLOTS, ODD)), SLOTS, format};
    float *x = numbers((size_t)2 * KV * SLOTS * ODD);
    for (size_t i = 0; i < (size_t)KV * SLOTS; i++) {
        kv_put_key(&view, ODD, i % KV, 1000 + i / KV, x + 2 * i * ODD);
        kv_put_value(&view, ODD, i % KV, 1000 + i / KV, x + (2 * i + 1) * ODD);
    }
    for (size_t i = 0; i < (size_t)KV * SLOTS; i++) {
        float back[2 * ODD];
        kv_get_key(&view, ODD, i % KV, 1000 + i / KV, back);
        kv_get_value(&view, ODD, i % KV, 1000 + i / KV, back + ODD);
        for (size_t d = 0; d < 2 * ODD; d++) {
            float expected = x[2 * i * ODD + d];
            CHECK(back[d] == (format == NUMBER_BF16 ? bf16_round(expected) : expected),
                  "number %zu of slot %zu", d, i);
        }
    }
    close_view(&view);
    free(x);
}

/* What is taken out of a cache is in order, and returned to another, there as it was. */
static void check_taken(number_format format)
{
    enum { ODD = 37, SLOTS = 64, OTHER_SLOTS = 128 };
    size_t size = number_bytes(format, (size_t)KV * ODD);
    kv_view from = {malloc(kv_key_bytes(format, KV * SLOTS, ODD)),
                    malloc(kv_value_bytes(format, KV * SLOTS, ODD)), SLOTS, format};
    kv_view to = {malloc(kv_key_bytes(format, KV * OTHER_SLOTS, ODD)),
                  malloc(kv_value_bytes(format, KV * OTHER_SLOTS, ODD)), OTHER_SLOTS, format};
    float *x = numbers((size_t)2 * KV * ODD);
    uint8_t *keys = malloc(size);
    uint8_t *values = malloc(size);
    for (size_t position = 90; position < 90 + SLOTS; position++) {
        float before[2 * ODD], after[2 * ODD], first;
        x[0] = (float)position;
        for (size_t head = 0; head < KV; head++) {
            kv_put_key(&from, ODD, head, position, x + 2 * head * ODD);
            kv_put_value(&from, ODD, head, position, x + (2 * head + 1) * ODD);
        }
        kv_take(&from, KV, ODD, position, keys, NULL);
        kv_take(&from, KV, ODD, position, NULL, values);
        kv_return(&to, KV, ODD, position, keys, values);
        for (size_t head = 0; head < KV; head++) {
            kv_get_key(&from, ODD, head, position, before);
            kv_get_value(&from, ODD, head, position, before + ODD);
            kv_get_key(&to, ODD, head, position, after);
            kv_get_value(&to, ODD, head, position, after + ODD);
            CHECK(memcmp(before, after, sizeof before) == 0, "head %zu of position %zu", head,
                  position);
        }
        if (format == NUMBER_F32) {
            memcpy(&first, keys + sizeof(float) * ((KV - 1) * ODD + 1), sizeof first);
            CHECK(first == x[2 * (KV - 1) * ODD + 1], "the last head's second number");
        }
    }
    free(values);
    free(keys);
    free(x);
    close_view(&to);
    close_view(&from);
}

int main(void)
{
    check_view(NUMBER_F32);
    check_view(NUMBER_BF16);
    check_taken(NUMBER_F32);
    check_taken(NUMBER_BF16);
    check_shapes(NUMBER_F32, SIZE_MAX);
    check_shapes(NUMBER_BF16, 128);
    check_shapes(NUMBER_F32, 1);
    check_shapes(NUMBER_F32, 5);
    check_decode(NUMBER_BF16, SIZE_MAX);
    check_decode(NUMBER_F32, SIZE_MAX);
    check_decode(NUMBER_F32, OP_ATTENTION_PART + 7);
    return test_result();
}
