/* The kernels of dense matrices: BF16 rows, packed rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "harness.h"

/* What the numbers of a row look like. */
typedef enum row_kind {
    ROW_NORMAL,
    ROW_HEAVY_TAILED, /* Student's t with 3 degrees: escapes now and then */
    ROW_FEW_VALUES,   /* fewer high bytes than there are places; both zeros and denormals */
    ROW_ANY_BITS,     /* every high byte is as likely: too many escapes; NaN and infinity */
    ROW_KINDS,
} row_kind;

static uint16_t draw_number(row_kind kind)
{
    static const uint16_t few[] = {0x0000, 0x8000, 0x0001, 0x807f, 0x3f80, 0xbf81, 0x0080, 0x3e01};
    if (kind == ROW_ANY_BITS)
        return (uint16_t)draw();
    if (kind == ROW_FEW_VALUES)
        return few[draw() % (sizeof few / sizeof *few)];
    float value = 0.02F * normal();
    if (kind == ROW_HEAVY_TAILED) {
        float a = normal();
        float b = normal();
        float c = normal();
        value /= sqrtf((a * a + b * b + c * c) / 3.0F);
    }
    return bf16_from_float(value);
}

static void put(uint8_t *at, uint16_t number)
{
    at[0] = (uint8_t)number;
    at[1] = (uint8_t)(number >> 8);
}

static void fill_rows(uint8_t *rows, size_t numbers, row_kind kind)
{
    for (size_t i = 0; i < numbers; i++)
        put(rows + 2 * i, draw_number(kind));
}

/* Four rows, packed into memory that ends where none may be read. */
typedef struct packed_rows {
    guarded memory;
    dense_group group;
    uint8_t *data; /* what group.line counts from */
} packed_rows;

static packed_rows pack_rows(const subject *s, const uint8_t *rows, size_t count, size_t n)
{
    size_t room = dense_group_room(n);
    uint8_t *to = aligned_alloc(DENSE_LINE, room);
    packed_rows packed = {0};
    memset(to, 0xa5, room);
    size_t bytes = dense_pack_group(&s->plain->dense, rows, count, n, to, &packed.group);
    check(bytes <= room && bytes % DENSE_LINE == 0, "dense_pack_group", s->level, "room", n);
    if (s->other != NULL) { /* the same bytes at every level */
        uint8_t *again = aligned_alloc(DENSE_LINE, room);
        dense_group group = {0};
        check(dense_pack_group(&s->other->dense, rows, count, n, again, &group) == bytes &&
                  group.escapes == packed.group.escapes && memcmp(to, again, bytes) == 0,
              "dense.pack", s->level, "bytes", n);
        free(again);
    }
    packed.memory = guard(bytes);
    packed.data = packed.memory.end_aligned;
    memcpy(packed.data, to, bytes);
    free(to);
    return packed;
}

/* Packed rows against the numbers they were packed from: the numbers themselves, and the products.
 * `expected` are the canonical dot products with x. */
static void check_packed(const subject *s, const uint8_t *rows, size_t count, size_t n,
                         const float *x, const float *expected, const char *what)
{
    const kernel_table *table = s->other == NULL ? s->plain : s->other;
    packed_rows packed = pack_rows(s, rows, count, n);
    guarded out = guard(count * n * sizeof(float));
    float y[4];
    for (size_t first = 0; first < count; first++) {
        for (size_t some = 1; some <= count - first; some++) {
            float *to = (float *)out.end_aligned + (count - some) * n;
            bool same = true;
            table->dense.unpack(packed.data, &packed.group, first, some, n, to);
            for (size_t i = 0; i < some * n; i++) {
                const uint8_t *number = rows + 2 * (first * n + i);
                same &= bits_from_float(to[i]) ==
                        ((uint32_t)number[0] << 16 | (uint32_t)number[1] << 24);
            }
            check(same, "dense.unpack", s->level, what, n);
        }
    }
    table->dense.packed(packed.data, &packed.group, 1, x, n, y);
    check(same_numbers(y, expected, count), "dense.packed", s->level, what, n);
    unguard(&out);
    unguard(&packed.memory);
}

/* Rows at an odd address; their products by the kernels for floats, in plain C. */
static void check_rows(const subject *s, size_t n, size_t rows, row_kind kind)
{
    const kernel_table *table = s->other == NULL ? s->plain : s->other;
    guarded w = guard(2 * rows * n + 1); /* one byte more: the address is odd */
    guarded x = guard(n * sizeof(float));
    float *decoded = malloc(rows * n * sizeof *decoded);
    float y[2][16];
    fill_rows(w.end_aligned, rows * n, kind);
    fill_normal(x.end_aligned, n);
    const uint8_t *ws = w.end_aligned;
    const float *xs = x.end_aligned;
    s->plain->decode_bf16(ws, rows * n, decoded);
    s->plain->dot_panel(decoded, rows, xs, 1, n, y[0], 0);
    for (size_t r = 0; s->other == NULL && kind == ROW_NORMAL && r < rows; r++) {
        double sum = 0.0;
        double size = 0.0;
        for (size_t k = 0; k < n; k++) {
            sum += (double)decoded[r * n + k] * xs[k];
            size += fabs((double)decoded[r * n + k] * xs[k]);
        }
        check(fabs(y[0][r] - sum) <= 1e-6 * size, "dense.bf16", s->level, "error", n);
    }
    table->dense.bf16(ws, rows, xs, n, y[1]);
    check(same_numbers(y[0], y[1], rows), "dense.bf16", s->level, "bits", n);
    for (size_t r = 0; r < rows; r += 4)
        check_packed(s, ws + 2 * r * n, rows - r < 4 ? rows - r : 4, n, xs, y[0] + r, "any rows");
    free(decoded);
    unguard(&w);
    unguard(&x);
}

/* One number that has no place, at every column of a block and in every row. */
static void check_escapes(const subject *s)
{
    static const size_t lengths[] = {64, 100, 160};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        size_t n = lengths[l];
        uint8_t rows[4 * 2 * 160];
        float x[160];
        float decoded[4 * 160];
        float y[4];
        fill_rows(rows, 4 * n, ROW_NORMAL);
        for (size_t i = 0; i < 4 * n; i++) { /* fifteen high bytes that are common */
            rows[2 * i + 1] = (uint8_t)(0x3c + i % 15 / 2);
            rows[2 * i + 1] |= i % 15 % 2 == 1 ? 0x80 : 0;
        }
        fill_normal(x, n);
        for (size_t place = 0; place < 4 * n; place++) {
            static const uint16_t odd[] = {0x0000, 0x8000, 0x0001, 0x7f7f, 0x4120, 0xff80, 0x7fc0};
            uint8_t kept[2];
            memcpy(kept, rows + 2 * place, 2);
            put(rows + 2 * place, odd[place % (sizeof odd / sizeof *odd)]);
            s->plain->decode_bf16(rows, 4 * n, decoded);
            s->plain->dot_panel(decoded, 4, x, 1, n, y, 0);
            check_packed(s, rows, 4, n, x, y, "an escape");
            memcpy(rows + 2 * place, kept, 2);
        }
    }
}

/* Groups one after another, one of them as it is. */
static void check_groups(const subject *s)
{
    enum { N = 200, GROUPS = 3, ROWS = 4 * GROUPS };
    const kernel_table *table = s->other == NULL ? s->plain : s->other;
    uint8_t rows[2 * ROWS * N];
    uint8_t *data = aligned_alloc(DENSE_LINE, GROUPS * dense_group_room(N));
    dense_group groups[GROUPS];
    float decoded[ROWS * N];
    float x[N];
    float y[2][ROWS];
    size_t used = 0;
    for (size_t g = 0; g < GROUPS; g++) {
        fill_rows(rows + 8 * g * N, (size_t)4 * N, g == 1 ? ROW_ANY_BITS : ROW_NORMAL);
        groups[g].line = (uint32_t)(used / DENSE_LINE);
        used += dense_pack_group(&table->dense, rows + 8 * g * N, 4, N, data + used, &groups[g]);
    }
    check(groups[1].escapes == DENSE_RAW && groups[0].escapes != DENSE_RAW, "dense_pack_group",
          s->level, "raw", N);
    fill_normal(x, N);
    s->plain->decode_bf16(rows, (size_t)ROWS * N, decoded);
    s->plain->dot_panel(decoded, ROWS, x, 1, N, y[0], 0);
    table->dense.packed(data, groups, GROUPS, x, N, y[1]);
    check(same_numbers(y[0], y[1], ROWS), "dense.packed", s->level, "groups", N);
    free(data);
}

void check_dense(const subject *s)
{
    static const size_t lengths[] = {2880, 4096, 4111, 1023, 513};
    for (size_t n = 1; n <= 200; n++)
        for (row_kind kind = 0; kind < ROW_KINDS; kind++)
            check_rows(s, n, 1 + (n + kind) % 9, kind);
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
        for (row_kind kind = 0; kind < ROW_KINDS; kind++)
            check_rows(s, lengths[l], 4 + l, kind);
    for (size_t i = 0; i < 20; i++)
        check_rows(s, 1 + draw() % 4111, 1 + draw() % 8, (row_kind)(i % ROW_KINDS));
    check_escapes(s);
    check_groups(s);
}

void bench_dense(const kernel_table *table)
{
    enum { N = 2880, ROWS = 16, PANEL = N * ROWS, MANY = 16384 };
    static float x[N];
    static float y[MANY];
    static dense_group groups[MANY / 4];
    size_t numbers = (size_t)MANY * N;
    uint8_t *rows = malloc(2 * numbers);
    uint8_t *data = aligned_alloc(DENSE_LINE, MANY / 4 * dense_group_room(N));
    size_t used = 0;
    fill_normal(x, N);
    fill_rows(rows, PANEL, ROW_HEAVY_TAILED);
    for (size_t r = ROWS; r < MANY; r += ROWS)
        memcpy(rows + 2 * r * N, rows, (size_t)2 * PANEL);
    for (size_t g = 0; g < MANY / 4; g++) {
        groups[g].line = (uint32_t)(used / DENSE_LINE);
        used += dense_pack_group(&table->dense, rows + 8 * g * N, 4, N, data + used, &groups[g]);
    }
    BENCH("dense.bf16", 2 * numbers, "GB/s", table->dense.bf16(rows, MANY, x, N, y));
    BENCH("dense.packed", used, "GB/s", table->dense.packed(data, groups, MANY / 4, x, N, y));
    BENCH("dense.bf16 L2", 2 * PANEL, "GB/s", table->dense.bf16(rows, ROWS, x, N, y));
    BENCH("dense.packed L2", (double)used * ROWS / MANY, "GB/s",
          table->dense.packed(data, groups, ROWS / 4, x, N, y));
    BENCH("dense pack", (size_t)4 * N, "G numbers/s",
          dense_pack_group(&table->dense, rows, 4, N, data, groups));
    free(rows);
    free(data);
}
