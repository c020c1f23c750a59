/* Attention: scores, running softmax and weighted values over blocks of a cache. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "harness.h"

enum { KEYS = KERNEL_ATTEND_KEYS, UNIT = KERNEL_ATTEND_UNIT, MOST = KERNEL_ATTEND_QUERIES };

/* A block of a cache as kernel/attend.h draws it, and the numbers in it. */
typedef struct cache_block {
    size_t dim;
    bool bf16;
    guarded keys;
    guarded values;
    float *key;   /* [KEYS, dim] */
    float *value; /* [KEYS, dim] */
} cache_block;

static size_t width_of(size_t dim)
{
    return (dim + 31) / 32 * 32;
}

static void put(void *cache, bool bf16, size_t unit, size_t place, float number)
{
    uint16_t half = bf16_from_float(number);
    if (bf16)
        memcpy((uint8_t *)cache + 2 * (unit * UNIT + place % 16 * 2 + place / 16), &half, 2);
    else
        memcpy((uint8_t *)cache + 4 * (unit * UNIT + place), &number, 4);
}

static void put_key(cache_block *b, size_t key, size_t d, float number)
{
    put(b->keys.end_aligned, b->bf16, key / UNIT * b->dim + d, key % UNIT, number);
}

static void put_value(cache_block *b, size_t key, size_t d, float number)
{
    put(b->values.end_aligned, b->bf16, key * width_of(b->dim) / UNIT + d / UNIT, d % UNIT, number);
}

/* Draws a block; in bfloat16 the numbers are such as it can hold. */
static cache_block make_block(size_t dim, bool bf16, float spread)
{
    size_t bytes = bf16 ? 2 : 4;
    cache_block b = {dim,
                     bf16,
                     guard(KEYS * dim * bytes),
                     guard(KEYS * width_of(dim) * bytes),
                     malloc(KEYS * dim * sizeof(float)),
                     malloc(KEYS * dim * sizeof(float))};
    fill_normal(b.key, KEYS * dim);
    fill_normal(b.value, KEYS * dim);
    for (size_t i = 0; i < KEYS * dim; i++) {
        b.key[i] *= spread;
        if (bf16) {
            b.key[i] = bf16_round(b.key[i]);
            b.value[i] = bf16_round(b.value[i]);
        }
        put_key(&b, i / dim, i % dim, b.key[i]);
        put_value(&b, i / dim, i % dim, b.value[i]);
    }
    for (size_t key = 0; key < KEYS; key++) /* the padding is never looked at */
        for (size_t d = dim; d < width_of(dim); d++)
            put_value(&b, key, d, NAN);
    return b;
}

/* What lies in keys that a row does not see may be anything. */
static void spoil(cache_block *b, size_t first, size_t end)
{
    for (size_t key = 0; key < KEYS; key++) {
        if (key >= first && key < end)
            continue;
        for (size_t d = 0; d < b->dim; d++) {
            put_key(b, key, d, NAN);
            put_value(b, key, d, NAN);
        }
    }
}

static void free_block(cache_block *b)
{
    unguard(&b->keys);
    unguard(&b->values);
    free(b->key);
    free(b->value);
}

static void attend(const kernel_table *table, const cache_block *b, size_t first, size_t end,
                   const float *q, size_t queries, float scale, float *state)
{
    attend_keys seen = {b->keys.end_aligned, b->values.end_aligned, first, end, 0};
    (b->bf16 ? table->attend.bf16 : table->attend.f32)(&seen, q, queries, b->dim, scale, state);
}

enum { MAX_DIM = 200 };

typedef struct result {
    float out[MOST * MAX_DIM];
    float mass[MOST];
} result;

/* A softmax over a block from `first` on, a whole one, and, merged with it, one until `end`. */
static void run(const kernel_table *table, cache_block blocks[3], size_t first, size_t end,
                const float *q, size_t queries, float scale, const float *sinks, result *r)
{
    size_t dim = blocks[0].dim;
    float state[KERNEL_ATTEND_STATE(MAX_DIM)];
    float later[KERNEL_ATTEND_STATE(MAX_DIM)];
    memset(r, 0, sizeof *r);
    table->attend.start(sinks, queries, dim, 1.0F, state);
    attend(table, &blocks[0], first, KEYS, q, queries, scale, state);
    attend(table, &blocks[1], 0, KEYS, q, queries, scale, state);
    table->attend.start(sinks, queries, dim, 0.0F, later);
    attend(table, &blocks[2], 0, end, q, queries, scale, later);
    table->attend.merge(later, queries, dim, state);
    table->attend.finish(state, sinks, queries, dim, r->out, r->mass);
}

static void check_exact(cache_block blocks[3], size_t first, size_t end, const float *q,
                        size_t queries, float scale, const float *sinks, const result *r)
{
    size_t dim = blocks[0].dim;
    for (size_t g = 0; g < queries; g++) {
        double score[3 * KEYS];
        double top = sinks[g];
        double largest = 0.0; /* sum of magnitudes behind a score, which its error grows with */
        for (size_t j = first; j < 2 * KEYS + end; j++) {
            double magnitude = 0.0;
            score[j] = 0.0;
            for (size_t d = 0; d < dim; d++) {
                double term = (double)q[g * dim + d] * blocks[j / KEYS].key[j % KEYS * dim + d];
                score[j] += term;
                magnitude += fabs(term);
            }
            score[j] *= scale;
            largest = fmax(largest, scale * magnitude);
            top = fmax(top, score[j]);
        }
        double total = exp(sinks[g] - top);
        double exact[MAX_DIM] = {0};
        double size[MAX_DIM] = {0};
        for (size_t j = first; j < 2 * KEYS + end; j++) {
            double p = exp(score[j] - top);
            total += p;
            for (size_t d = 0; d < dim; d++) {
                exact[d] += p * blocks[j / KEYS].value[j % KEYS * dim + d];
                size[d] += p * fabs(blocks[j / KEYS].value[j % KEYS * dim + d]);
            }
        }
        double mass = exp(sinks[g] - top) / total;
        double tolerance = 2e-6 + 3e-7 * (largest + fabs(sinks[g]));
        check(fabs(r->mass[g] - mass) <= tolerance * mass + 1e-37, "attend", "plain", "sink", dim);
        for (size_t d = 0; d < dim; d++)
            check(fabs(r->out[g * dim + d] - exact[d] / total) <= tolerance * size[d] / total,
                  "attend", "plain", "error", dim);
    }
}

static void check_case(const subject *s, size_t dim, bool bf16, size_t queries, float spread,
                       size_t first, size_t end)
{
    float q[MOST * MAX_DIM];
    float sinks[MOST];
    cache_block blocks[3];
    result r[2];
    float scale = (float)(1.0 / sqrt((double)dim));
    for (size_t i = 0; i < 3; i++)
        blocks[i] = make_block(dim, bf16, spread);
    spoil(&blocks[0], first, KEYS);
    spoil(&blocks[2], 0, end);
    fill_normal(q, queries * dim);
    fill_normal(sinks, queries);
    run(s->plain, blocks, first, end, q, queries, scale, sinks, &r[0]);
    if (s->other != NULL) {
        run(s->other, blocks, first, end, q, queries, scale, sinks, &r[1]);
        check(same_bits(r[0].out, r[1].out, MOST * MAX_DIM) &&
                  same_bits(r[0].mass, r[1].mass, MOST),
              bf16 ? "attend bf16" : "attend f32", s->level, "bits", dim);
    } else {
        check_exact(blocks, first, end, q, queries, scale, sinks, &r[0]);
    }
    for (size_t i = 0; i < 3; i++)
        free_block(&blocks[i]);
}

static void check_blocks(const subject *s)
{
    static const size_t dims[] = {1, 2, 24, 32, 33, 64, 96, 200};
    static const size_t firsts[] = {0, 1, 15, 16, 31, 32, 50, 63};
    static const size_t ends[] = {1, 2, 16, 17, 32, 33, 63, 64};
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
        for (size_t queries = 1; queries <= MOST; queries++)
            for (int bf16 = 0; bf16 < 2; bf16++)
                check_case(s, dims[d], bf16 != 0, queries, queries % 2 == 0 ? 1.0F : 40.0F,
                           firsts[draw() % 8], ends[draw() % 8]);
    for (size_t i = 0; i < 64; i++)
        check_case(s, 64, i % 3 == 0, MOST, 1.0F, firsts[i / 8], ends[i % 8]);
}

/* A block taken alone equals the same block taken with others before and after it: what a query
 * gets does not depend on its neighbours. */
static void check_queries(const subject *s)
{
    const kernel_table *table = s->other == NULL ? s->plain : s->other;
    enum { DIM = 64 };
    cache_block b = make_block(DIM, false, 1.0F);
    float q[MOST * DIM];
    float sinks[MOST] = {0};
    float all[KERNEL_ATTEND_STATE(DIM)];
    float one[KERNEL_ATTEND_STATE(DIM)];
    float out[2][MOST * DIM];
    fill_normal(q, MOST * DIM);
    table->attend.start(sinks, MOST, DIM, 1.0F, all);
    attend(table, &b, 3, 60, q, MOST, 0.125F, all);
    table->attend.finish(all, sinks, MOST, DIM, out[0], NULL);
    for (size_t g = 0; g < MOST; g++) {
        table->attend.start(sinks + g, 1, DIM, 1.0F, one);
        attend(table, &b, 3, 60, q + g * DIM, 1, 0.125F, one);
        table->attend.finish(one, sinks + g, 1, DIM, out[1] + g * DIM, NULL);
    }
    check(same_bits(out[0], out[1], MOST * DIM), "attend", s->level, "a query alone", MOST);
    free_block(&b);
}

/* The sink's share beside one key of score 0 shows the exponential by itself. */
static void check_decay(const subject *s)
{
    const kernel_table *table = s->other == NULL ? s->plain : s->other;
    cache_block b = make_block(1, false, 1.0F);
    float q = 0.0F;
    for (int i = 0; i <= 4000; i++) {
        float sink = -(float)i * 0.025F;
        float state[KERNEL_ATTEND_STATE(1)];
        float out;
        float mass;
        table->attend.start(&sink, 1, 1, 1.0F, state);
        attend(table, &b, 0, 1, &q, 1, 1.0F, state);
        table->attend.finish(state, &sink, 1, 1, &out, &mass);
        double share = exp(sink);
        bool good =
            sink < -87.0F ? mass == 0.0F : fabs(mass - share / (1.0 + share)) <= 0x1p-22 * share;
        check(good, "attend", s->level, "exponential", (size_t)i);
        check(i > 0 || mass == 0.5F, "attend", s->level, "exp(0)", 0);
    }
    free_block(&b);
}

/* A NaN among the visible keys or values shows, and infinite scores do no harm elsewhere. */
static void check_special(const subject *s)
{
    const kernel_table *table = s->other == NULL ? s->plain : s->other;
    for (size_t key = 0; key < KEYS; key += 21) {
        cache_block b = make_block(2, false, 1.0F);
        float q[2] = {1.0F, 0.0F};
        float sink = 0.25F;
        float state[KERNEL_ATTEND_STATE(2)];
        float out[2];
        table->attend.start(&sink, 1, 2, 1.0F, state);
        put_key(&b, key, 0, -INFINITY);
        attend(table, &b, 0, KEYS, q, 1, 1.0F, state);
        table->attend.finish(state, &sink, 1, 2, out, NULL);
        check(isfinite(out[0]) && isfinite(out[1]), "attend", s->level, "score -inf", key);
        put_key(&b, key, 0, NAN);
        attend(table, &b, 0, KEYS, q, 1, 1.0F, state);
        table->attend.finish(state, &sink, 1, 2, out, NULL);
        check(isnan(out[0]) && isnan(out[1]), "attend", s->level, "NaN in a key", key);
        table->attend.start(&sink, 1, 2, 1.0F, state);
        put_key(&b, key, 0, 0.0F);
        put_value(&b, key, 1, NAN);
        attend(table, &b, 0, KEYS, q, 1, 1.0F, state);
        table->attend.finish(state, &sink, 1, 2, out, NULL);
        check(isfinite(out[0]) && isnan(out[1]), "attend", s->level, "NaN in a value", key);
        free_block(&b);
    }
}

void check_attend(const subject *s)
{
    check_blocks(s);
    check_queries(s);
    check_decay(s);
    check_special(s);
}

/* Eight queries on blocks that lie in L1, and on a cache that lies in memory. */
void bench_attend(const kernel_table *table)
{
    enum { DIM = 64, BLOCKS = 1024, STEPS = 64 };
    size_t floats = (size_t)BLOCKS * KEYS * DIM;
    static float q[MOST * DIM];
    static float state[KERNEL_ATTEND_STATE(DIM)];
    float *keys = malloc(floats * sizeof *keys);
    float *values = malloc(floats * sizeof *values);
    float sinks[MOST] = {0};
    fill_normal(q, MOST * DIM);
    memset(keys, 0, floats * sizeof *keys);
    memset(values, 0, floats * sizeof *values);
    table->attend.start(sinks, MOST, DIM, 1.0F, state);
    for (int bf16 = 0; bf16 < 2; bf16++) {
        kernel_attend_fn attend_block = bf16 ? table->attend.bf16 : table->attend.f32;
        attend_keys block = {keys, values, 0, KEYS, 0};
        size_t bytes = (bf16 ? 2 : 4) * (size_t)KEYS * DIM;
        BENCH(bf16 ? "attend bf16 L1" : "attend f32 L1", 4.0 * MOST * STEPS * KEYS * DIM, "GFLOP/s",
              for (size_t i = 0; i < STEPS; i++) attend_block(&block, q, MOST, DIM, 0.125F, state));
        block.ahead = KEYS;
        BENCH(
            bf16 ? "attend bf16" : "attend f32", 2.0 * BLOCKS * (double)bytes, "GB/s",
            for (size_t i = 0; i < BLOCKS; i++) {
                block.keys = (uint8_t *)keys + i * bytes;
                block.values = (uint8_t *)values + i * bytes;
                attend_block(&block, q, MOST, DIM, 0.125F, state);
            });
    }
    free(keys);
    free(values);
}
