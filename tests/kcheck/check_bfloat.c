/* The products of bfloat16 numbers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "harness.h"

/* How weights are stored. */
typedef enum store { STORE_BF16, STORE_PACKED, STORE_MXFP4, STORES } store;

static const char *const store_names[STORES] = {"bf16", "packed", "mxfp4"};

/* What the numbers look like. */
typedef enum number_kind {
    KIND_NORMAL,
    KIND_WIDE,    /* of many sizes: escapes in packed rows */
    KIND_SPECIAL, /* zeros, numbers below 2^-126, infinities, NaN; every scale */
    KINDS,
} number_kind;

/* Rows of weights, in all three ways of storing them. */
typedef struct weights {
    store how;
    size_t rows;
    size_t columns;
    guarded memory; /* BF16 numbers or codes, at an odd address, or packed groups */
    guarded scales;
    dense_group groups[8];
    float *values; /* [rows, columns] */
} weights;

static uint16_t draw_bf16(number_kind kind)
{
    static const uint16_t special[] = {0x0000, 0x8000, 0x0001, 0x807f, 0x0080, 0x8081,
                                       0x3f80, 0xc0a1, 0x7f80, 0xff80, 0x7fc0, 0x3e01};
    if (kind == KIND_SPECIAL && draw() % 8 == 0)
        return special[draw() % (sizeof special / sizeof *special)];
    float value = 0.02F * normal();
    if (kind == KIND_WIDE && draw() % 16 == 0)
        value = ldexpf(value, (int)(draw() % 60) - 30);
    return bf16_from_float(value);
}

static void fill_bf16(uint8_t *to, size_t n, number_kind kind)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t number = draw_bf16(kind);
        memcpy(to + 2 * i, &number, 2);
    }
}

static void fill_scales(uint8_t *scales, size_t n, number_kind kind)
{
    for (size_t i = 0; i < n; i++)
        scales[i] = (uint8_t)(kind == KIND_NORMAL ? 116 + draw() % 8
                              : kind == KIND_WIDE ? 1 + draw() % 252
                                                  : draw());
}

/* Packs groups of four rows one behind another. */
static void pack(const subject *s, const uint8_t *numbers, weights *w)
{
    size_t room = dense_group_room(w->columns);
    size_t count = (w->rows + DENSE_GROUP_ROWS - 1) / DENSE_GROUP_ROWS;
    uint8_t *to = aligned_alloc(DENSE_LINE, room * count);
    size_t used = 0;
    for (size_t g = 0; g < count; g++) {
        size_t left = w->rows - g * DENSE_GROUP_ROWS;
        w->groups[g].line = (uint32_t)(used / DENSE_LINE);
        used += dense_pack_group(&s->plain->dense, numbers + 2 * g * DENSE_GROUP_ROWS * w->columns,
                                 left < DENSE_GROUP_ROWS ? left : DENSE_GROUP_ROWS, w->columns,
                                 to + used, &w->groups[g]);
    }
    w->memory = guard(used);
    memcpy(w->memory.end_aligned, to, used);
    free(to);
}

static weights make_weights(const subject *s, store how, number_kind kind, size_t rows,
                            size_t columns)
{
    weights w = {.how = how, .rows = rows, .columns = columns};
    size_t n = rows * columns;
    w.values = malloc(n * sizeof *w.values);
    w.scales = guard(n / 32 + 1);
    if (how == STORE_MXFP4) {
        w.memory = guard(n / 2 + 1);
        fill_bytes(w.memory.end_aligned, n / 2);
        fill_scales(w.scales.end_aligned, n / 32, kind);
        s->plain->decode_mxfp4(w.memory.end_aligned, w.scales.end_aligned, n, w.values);
        return w;
    }
    uint8_t *numbers = malloc(2 * n);
    fill_bf16(numbers, n, kind);
    s->plain->decode_bf16(numbers, n, w.values);
    if (how == STORE_PACKED) {
        pack(s, numbers, &w);
    } else {
        w.memory = guard(2 * n + 1);
        memcpy(w.memory.end_aligned, numbers, 2 * n);
    }
    free(numbers);
    return w;
}

static void free_weights(weights *w)
{
    unguard(&w->memory);
    unguard(&w->scales);
    free(w->values);
}

static bfloat_order order_of(const weights *w)
{
    return w->how == STORE_MXFP4 ? BFLOAT_CODED : BFLOAT_DENSE;
}

/* y[r] = product of every row and x. */
static void dot(const bfloat_table *table, const weights *w, const uint16_t *x, float *y)
{
    const uint8_t *memory = w->memory.end_aligned;
    if (w->how == STORE_BF16)
        table->dot_bf16(memory, w->rows, x, w->columns, y);
    else if (w->how == STORE_MXFP4)
        table->dot_mxfp4(memory, w->scales.end_aligned, w->rows, x, w->columns, y);
    else
        table->dot_packed(memory, w->groups, (w->rows + 3) / 4, x, w->columns, y);
}

/* Puts rows [first, first + rows) into a panel, in two parts. */
static void take(const bfloat_table *table, const weights *w, size_t first, size_t rows,
                 uint16_t *panel)
{
    const uint8_t *memory = w->memory.end_aligned;
    const uint8_t *scales = w->scales.end_aligned;
    size_t n = w->columns;
    for (size_t r = 0; r < rows;) {
        size_t row = first + r;
        size_t count = rows - r;
        bfloat_place to = {panel, r};
        if (w->how == STORE_PACKED) {
            size_t inside = row % DENSE_GROUP_ROWS;
            count = count < DENSE_GROUP_ROWS - inside ? count : DENSE_GROUP_ROWS - inside;
            table->take_packed(memory, &w->groups[row / DENSE_GROUP_ROWS], inside, count, n, to);
        } else {
            count = count > 2 && r == 0 ? 2 : count;
            if (w->how == STORE_BF16)
                table->take_bf16(memory + 2 * row * n, count, n, to);
            else
                table->take_mxfp4(memory + row * n / 2, scales + row * n / 32, count, n, to);
        }
        r += count;
    }
}

/* Rounds rows of floats, and sees that every level gives the same. */
static uint16_t *round_rows(const subject *s, const float *x, size_t count, size_t n,
                            bfloat_order order)
{
    const bfloat_table *table = s->other == NULL ? &s->plain->bfloat : &s->other->bfloat;
    size_t words = bfloat_blocks(n) * BFLOAT_BLOCK;
    uint16_t *rows = aligned_alloc(64, count * words * sizeof *rows);
    uint16_t *expected = aligned_alloc(64, words * sizeof *expected);
    for (size_t b = 0; b < count; b++) {
        guarded row = guard(n * sizeof *x);
        memcpy(row.end_aligned, x + b * n, n * sizeof *x);
        memset(rows + b * words, 0xa5, words * sizeof *rows);
        table->round(row.end_aligned, n, order, rows + b * words);
        s->plain->bfloat.round(row.end_aligned, n, order, expected);
        check(memcmp(rows + b * words, expected, words * sizeof *rows) == 0, "bfloat.round",
              s->level, order == BFLOAT_DENSE ? "dense" : "coded", n);
        unguard(&row);
    }
    free(expected);
    return rows;
}

/* What counts as zero. */
static double flushed(float value)
{
    return fabsf(value) < 0x1p-126F ? 0.0 : (double)value;
}

/* y against double precision; sums of so many numbers are rounded twice a step. */
static bool near(const weights *w, size_t row, const float *x, float y)
{
    double sum = 0.0;
    double size = 0.0;
    for (size_t k = 0; k < w->columns; k++) {
        double product =
            flushed(w->values[row * w->columns + k]) * flushed(bf16_round((float)flushed(x[k])));
        sum += product;
        size += fabs(product);
    }
    return fabs(sum - (double)y) <= size * 0x1p-22 + 0x1p-120;
}

static void check_one(const subject *s, store how, number_kind kind, size_t rows, size_t count,
                      size_t n)
{
    const bfloat_table *table = s->other == NULL ? &s->plain->bfloat : &s->other->bfloat;
    weights w = make_weights(s, how, kind, rows, n);
    size_t stride = rows + 1;
    float *x = malloc(count * n * sizeof *x);
    float *y = calloc(count * stride, sizeof *y);
    float *expected = calloc(count * (rows + 3), sizeof *expected);
    guarded panel = guard(bfloat_panel_numbers(n) * sizeof(uint16_t));
    guarded sums = guard(count * BFLOAT_ROWS * 16 * sizeof(float));
    const uint16_t **pointers = malloc(count * sizeof *pointers);
    fill_normal(x, count * n);
    for (size_t i = 0; kind == KIND_SPECIAL && i < count * n; i += 7)
        x[i] = ldexpf(i % 2 == 0 ? 1.0F : -1.5F, (int)(draw() % 270) - 140);
    uint16_t *rounded = round_rows(s, x, count, n, order_of(&w));
    for (size_t b = 0; b < count; b++) {
        float one[32];
        pointers[b] = rounded + b * bfloat_blocks(n) * BFLOAT_BLOCK;
        dot(&s->plain->bfloat, &w, pointers[b], expected + b * (rows + 3));
        dot(table, &w, pointers[b], one);
        check(same_numbers(one, expected + b * (rows + 3), rows), "bfloat.dot", s->level,
              store_names[how], n);
        for (size_t r = 0; s->other == NULL && kind == KIND_NORMAL && r < rows; r++)
            check(near(&w, r, x + b * n, one[r]), "bfloat.dot", s->level, "error", n);
    }
    for (size_t first = 0; first < rows; first += BFLOAT_ROWS) {
        size_t some = rows - first < BFLOAT_ROWS ? rows - first : BFLOAT_ROWS;
        bfloat_ahead ahead = {w.memory.map, 1000};
        memset(panel.end_aligned, 0, bfloat_panel_numbers(n) * sizeof(uint16_t));
        take(table, &w, first, some, panel.end_aligned);
        table->multiply(panel.end_aligned, some, pointers, count, bfloat_blocks(n), ahead,
                        sums.end_aligned, y + first, stride);
    }
    for (size_t b = 0; b < count; b++)
        check(same_numbers(y + b * stride, expected + b * (rows + 3), rows) &&
                  y[b * stride + rows] == 0.0F,
              "bfloat.multiply", s->level, store_names[how], n);
    free(rounded);
    free(pointers);
    free(expected);
    free(y);
    free(x);
    unguard(&sums);
    unguard(&panel);
    free_weights(&w);
}

void check_bfloat(const subject *s)
{
    static const size_t lengths[] = {32, 64, 96, 128, 160, 224, 256, 1472, 1536, 1568, 2880, 4096};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
        for (store how = 0; how < STORES; how++)
            for (number_kind kind = 0; kind < KINDS; kind++)
                check_one(s, how, kind, 1 + (l * 5 + how) % 13, 1 + (l + kind) % 9, lengths[l]);
    for (size_t n = 1; n <= 200; n += 7) /* dense rows have any length */
        for (number_kind kind = 0; kind < KINDS; kind++) {
            check_one(s, STORE_BF16, kind, 1 + n % 7, 1 + n % 5, n);
            check_one(s, STORE_PACKED, kind, 1 + n % 7, 1 + n % 5, n);
        }
}

/* ---- speed ----------------------------------------------------------------------------------- */

void bench_bfloat(const kernel_table *table)
{
    enum { N = 2880, ROWS = 256, MOST = 128, BLOCKS = 23 };
    static uint8_t codes[ROWS * N / 2];
    static uint8_t scales[ROWS * N / 32];
    static uint8_t numbers[ROWS * N * 2];
    static _Alignas(64) uint16_t panel[BFLOAT_ROWS * BLOCKS * BFLOAT_BLOCK];
    static _Alignas(64) uint16_t x[MOST][BLOCKS * BFLOAT_BLOCK];
    static _Alignas(64) float sums[MOST * BFLOAT_ROWS * 16];
    static float y[MOST * BFLOAT_ROWS];
    static float in[N];
    const uint16_t *rows[MOST];
    const bfloat_table *t = &table->bfloat;
    fill_bytes(codes, sizeof codes);
    fill_scales(scales, sizeof scales, KIND_NORMAL);
    fill_bf16(numbers, (size_t)ROWS * N, KIND_NORMAL);
    fill_normal(in, N);
    for (size_t b = 0; b < MOST; b++) {
        t->round(in, N, BFLOAT_CODED, x[b]);
        rows[b] = x[b];
    }
    BENCH("bfloat.round", N, "G numbers/s", t->round(in, N, BFLOAT_CODED, x[0]));
    BENCH("bfloat mxfp4", sizeof codes + sizeof scales, "GB/s",
          t->dot_mxfp4(codes, scales, ROWS, x[0], N, y));
    BENCH("bfloat bf16", sizeof numbers, "GB/s", t->dot_bf16(numbers, ROWS, x[0], N, y));
    BENCH("bfloat take", (size_t)BFLOAT_ROWS * N, "G numbers/s",
          t->take_mxfp4(codes, scales, BFLOAT_ROWS, N, (bfloat_place){panel, 0}));
    for (size_t count = 4; count <= MOST; count *= 2) {
        char name[32];
        snprintf(name, sizeof name, "bfloat x %zu", count);
        BENCH(name, 2.0 * BFLOAT_ROWS * N * count, "GFLOP/s",
              t->multiply(panel, BFLOAT_ROWS, rows, count, BLOCKS, (bfloat_ahead){NULL, 0}, sums, y,
                          BFLOAT_ROWS));
    }
}
