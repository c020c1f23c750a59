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

/* Which canonical product. */
typedef enum arithmetic { LANES, TILES, ARITHMETICS } arithmetic;

static const char *const dot_names[ARITHMETICS] = {"bfloat.lanes.dot", "bfloat.tiles.dot"};
static const char *const multiply_names[ARITHMETICS] = {"bfloat.lanes.multiply",
                                                        "bfloat.tiles.multiply"};

static const bfloat_table *table_of(const kernel_table *kernels, arithmetic which)
{
    return which == TILES ? &kernels->bfloat.tiles : &kernels->bfloat.lanes;
}

/* Rows of weights, in all three ways of storing them. */
typedef struct weights {
    store how;
    size_t rows;
    size_t columns;
    guarded memory; /* BF16 numbers or codes, at an odd address, or packed groups */
    guarded scales;
    dense_group groups[16];
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

static bfloat_order order_of(const bfloat_table *table, const weights *w)
{
    return w->how == STORE_MXFP4 ? table->coded : BFLOAT_DENSE;
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
static void take_panel(const bfloat_table *table, const weights *w, size_t first, size_t rows,
                       uint16_t *panel)
{
    const uint8_t *memory = w->memory.end_aligned;
    size_t n = w->columns;
    for (size_t r = 0; r < rows;) {
        size_t row = first + r;
        size_t count = rows - r;
        bfloat_place to = {panel, table->panel_rows, r};
        if (w->how == STORE_PACKED) {
            size_t inside = row % DENSE_GROUP_ROWS;
            count = count < DENSE_GROUP_ROWS - inside ? count : DENSE_GROUP_ROWS - inside;
            table->take_packed(memory, &w->groups[row / DENSE_GROUP_ROWS], inside, count, n, to);
        } else {
            count = count > 2 && r == 0 ? 2 : count;
            table->take_bf16(memory + 2 * row * n, count, n, to);
        }
        r += count;
    }
}

/* Puts rows into panels one behind another. */
static void take(const bfloat_table *table, const weights *w, size_t first, size_t rows,
                 uint16_t *panels)
{
    size_t numbers = bfloat_blocks(w->columns) * BFLOAT_BLOCK;
    for (size_t r = 0; r < rows; r += table->panel_rows)
        take_panel(table, w, first + r, rows - r < table->panel_rows ? rows - r : table->panel_rows,
                   panels + r * numbers);
}

/* Rounds rows of floats in groups of at most `most`, and sees that every level gives the same. */
static uint16_t *round_rows(const subject *s, const bfloat_table *table, const float *x,
                            size_t count, size_t n, size_t most, bfloat_order order)
{
    const bfloat_table *plain = &s->plain->bfloat.tiles; /* both round alike */
    size_t words = bfloat_blocks(n) * BFLOAT_BLOCK;
    size_t bytes = words * sizeof(uint16_t);
    uint16_t *groups = aligned_alloc(64, count * bytes + BFLOAT_BEHIND);
    uint16_t *expected = aligned_alloc(64, most * bytes);
    memset(groups, 0xa5, count * bytes);
    for (size_t first = 0; first < count; first += most) {
        size_t some = count - first < most ? count - first : most;
        guarded rows[BFLOAT_MOST_GROUP];
        const float *in[BFLOAT_MOST_GROUP];
        for (size_t b = 0; b < some; b++) {
            rows[b] = guard(n * sizeof *x);
            in[b] = rows[b].end_aligned;
            memcpy(rows[b].end_aligned, x + (first + b) * n, n * sizeof *x);
        }
        table->round(in, some, n, order, groups + first * words);
        plain->round(in, some, n, order, expected);
        check(memcmp(groups + first * words, expected, some * bytes) == 0, "bfloat.round", s->level,
              order == BFLOAT_DENSE ? "dense" : "coded", n);
        for (size_t b = 0; b < some; b++)
            unguard(&rows[b]);
    }
    free(expected);
    return groups;
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

static void check_one(const subject *s, arithmetic which, store how, number_kind kind, size_t rows,
                      size_t count, size_t n)
{
    const bfloat_table *plain = table_of(s->plain, which);
    const bfloat_table *table = s->other == NULL ? plain : table_of(s->other, which);
    weights w = make_weights(s, how, kind, rows, n);
    size_t stride = rows + 1;
    const size_t at_once = BFLOAT_ROWS;
    size_t numbers = bfloat_blocks(n) * BFLOAT_BLOCK;
    float *x = malloc(count * n * sizeof *x);
    float *y = calloc(count * stride, sizeof *y);
    float *expected = calloc(count * (rows + 3), sizeof *expected);
    guarded panels = guard(at_once * numbers * sizeof(uint16_t));
    guarded sums = guard(BFLOAT_SUMS(count) * sizeof(float));
    fill_normal(x, count * n);
    for (size_t i = 0; kind == KIND_SPECIAL && i < count * n; i += 7)
        x[i] = ldexpf(i % 2 == 0 ? 1.0F : -1.5F, (int)(draw() % 270) - 140);
    uint16_t *single = round_rows(s, table, x, count, n, 1, order_of(table, &w));
    uint16_t *grouped = round_rows(s, table, x, count, n, table->group, order_of(table, &w));
    for (size_t b = 0; b < count; b++) {
        float one[64];
        dot(plain, &w, single + b * numbers, expected + b * (rows + 3));
        dot(table, &w, single + b * numbers, one);
        check(same_numbers(one, expected + b * (rows + 3), rows), dot_names[which], s->level,
              store_names[how], n);
        for (size_t r = 0; s->other == NULL && kind == KIND_NORMAL && r < rows; r++)
            check(near(&w, r, x + b * n, one[r]), dot_names[which], s->level, "error", n);
    }
    for (size_t first = 0; first < rows; first += at_once) {
        size_t some = rows - first < at_once ? rows - first : at_once;
        bfloat_ahead ahead = {w.memory.map, w.memory.map, 1000};
        if (how == STORE_MXFP4) {
            table->multiply_mxfp4((uint8_t *)w.memory.end_aligned + first * n / 2,
                                  (uint8_t *)w.scales.end_aligned + first * n / 32, some, n,
                                  grouped, count, ahead, sums.end_aligned, y + first, stride);
            continue;
        }
        memset(panels.end_aligned, 0, at_once * numbers * sizeof(uint16_t));
        take(table, &w, first, some, panels.end_aligned);
        table->multiply(panels.end_aligned, some, grouped, count, bfloat_blocks(n), ahead,
                        sums.end_aligned, y + first, stride);
    }
    for (size_t b = 0; b < count; b++)
        check(same_numbers(y + b * stride, expected + b * (rows + 3), rows) &&
                  y[b * stride + rows] == 0.0F,
              multiply_names[which], s->level, store_names[how], n);
    free(grouped);
    free(single);
    free(expected);
    free(y);
    free(x);
    unguard(&sums);
    unguard(&panels);
    free_weights(&w);
}

/* Whether a level has any kernel of its own. */
static bool has_own(const subject *s, arithmetic which)
{
    const bfloat_table *plain = table_of(s->plain, which);
    const bfloat_table *other = table_of(s->other, which);
    return other->round != plain->round || other->dot_mxfp4 != plain->dot_mxfp4 ||
           other->multiply != plain->multiply;
}

static void check_product(const subject *s, arithmetic which)
{
    static const size_t lengths[] = {32, 64, 96, 128, 160, 224, 256, 1472, 1536, 1568, 2880, 4096};
    size_t more = which == TILES ? 3 : 1; /* to fill tiles and begin others */
    if (s->other != NULL && !has_own(s, which))
        return;
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
        for (store how = 0; how < STORES; how++)
            for (number_kind kind = 0; kind < KINDS; kind++)
                check_one(s, which, how, kind, 1 + (l * 5 + how) % 13 * more,
                          1 + (l + kind) % 9 * more * 2, lengths[l]);
    for (size_t n = 1; n <= 200; n += 7) /* dense rows have any length */
        for (number_kind kind = 0; kind < KINDS; kind++) {
            check_one(s, which, STORE_BF16, kind, 1 + n % 7 * more, 1 + n % 5 * more, n);
            check_one(s, which, STORE_PACKED, kind, 1 + n % 7 * more, 1 + n % 5 * more, n);
        }
    if (which == LANES)
        return;
    for (size_t rows = 15; rows <= 33; rows += 1 + rows % 16 / 2) /* around one and two tiles */
        for (size_t count = 15; count <= 49; count += 1 + count % 16 / 2)
            check_one(s, which, STORE_MXFP4, KIND_NORMAL, rows, count, 160);
}

void check_bfloat(const subject *s)
{
    check_product(s, LANES);
    check_product(s, TILES);
}

/* ---- speed ----------------------------------------------------------------------------------- */

static void bench_product(const bfloat_table *t, const char *name)
{
    enum { N = 2880, ROWS = 256, MOST = 128, BLOCKS = 23, PANELS = 32 };
    static uint8_t codes[ROWS * N / 2];
    static uint8_t scales[ROWS * N / 32];
    static uint8_t numbers[ROWS * N * 2];
    static _Alignas(64) uint16_t panels[PANELS * BLOCKS * BFLOAT_BLOCK];
    static _Alignas(64) uint16_t x[MOST * BLOCKS * BFLOAT_BLOCK + BFLOAT_BEHIND];
    static _Alignas(64) float sums[BFLOAT_SUMS(MOST)];
    static float y[MOST * PANELS];
    static float in[N];
    const float *rows[BFLOAT_MOST_GROUP];
    const size_t at_once = BFLOAT_ROWS;
    printf(" %s\n", name);
    fill_bytes(codes, sizeof codes);
    fill_scales(scales, sizeof scales, KIND_NORMAL);
    fill_bf16(numbers, (size_t)ROWS * N, KIND_NORMAL);
    fill_normal(in, N);
    for (size_t b = 0; b < BFLOAT_MOST_GROUP; b++)
        rows[b] = in;
    for (size_t b = 0; b < MOST; b += t->group)
        t->round(rows, t->group, N, t->coded, x + b * BLOCKS * BFLOAT_BLOCK);
    BENCH("bfloat.round", t->group * N, "G numbers/s", t->round(rows, t->group, N, t->coded, x));
    BENCH("bfloat mxfp4", sizeof codes + sizeof scales, "GB/s",
          t->dot_mxfp4(codes, scales, ROWS, x, N, y));
    BENCH("bfloat bf16", sizeof numbers, "GB/s", t->dot_bf16(numbers, ROWS, x, N, y));
    BENCH("bfloat take", t->panel_rows * N, "G numbers/s",
          t->take_bf16(numbers, t->panel_rows, N, (bfloat_place){panels, t->panel_rows, 0}));
    for (size_t r = 0; r < PANELS; r += t->panel_rows) /* pages never written are one page */
        t->take_bf16(numbers + 2 * r * N, t->panel_rows, N,
                     (bfloat_place){panels + r * BLOCKS * BFLOAT_BLOCK, t->panel_rows, 0});
    for (size_t count = 4; count <= MOST; count *= 2) {
        char label[32];
        snprintf(label, sizeof label, "bfloat x %zu", count);
        BENCH(label, 2.0 * (double)at_once * N * (double)count, "GFLOP/s",
              t->multiply(panels, at_once, x, count, BLOCKS, (bfloat_ahead){0}, sums, y, at_once));
        snprintf(label, sizeof label, "mxfp4 x %zu", count);
        BENCH(label, 2.0 * (double)at_once * N * (double)count, "GFLOP/s",
              t->multiply_mxfp4(codes, scales, at_once, N, x, count, (bfloat_ahead){0}, sums, y,
                                at_once));
    }
}

void bench_bfloat(const kernel_table *table)
{
    bench_product(&table->bfloat.lanes, "lanes");
    bench_product(&table->bfloat.tiles, "tiles");
}
