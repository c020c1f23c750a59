/* Fixed-point products with AVX-512 VNNI: four products of bytes and their sum in an instruction.
 */
#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "kernel/fixed.h"
#include "kernel/x86/fixed_split_avx512.h"

FIXED_INLINE __m512i shift_digit(__m512i sums)
{
    return _mm512_slli_epi32(sums, 8);
}

#include "kernel/x86/fixed_dot_body.h"

/* ---- a panel and a batch --------------------------------------------------------------------- */

/*
 * A tile of 32 weight rows, in the lanes of two registers, and up to 6 activation rows. The
 * contraction is cut into chunks of 6 blocks, whose weights (27 KB) stay in the nearest cache for
 * the whole batch; the partial sums a_0 .. a_3 are parked in between, [batch][4][32]. Within a
 * chunk the groups of one partial sum are taken together, so that it stays in registers.
 */
enum { TILE_BATCH = 6, TILE_BATCH_3 = 4, PANEL_BLOCKS = 6, PARKED = FIXED_GROUPS * 32 };

/* One tile's view of a chunk. */
typedef struct panel_tile {
    const uint8_t *panel;
    const uint8_t *x[TILE_BATCH];
    size_t blocks;
    float *parked;
    bool first;
} panel_tile;

/* What is fetched meanwhile: some lines at each step. */
typedef struct fetcher {
    const char *at;
    const char *end;
    size_t lines;
} fetcher;

FIXED_INLINE void fetch(fetcher *f)
{
    for (size_t line = 0; line < f->lines && f->at < f->end; line++, f->at += 64)
        _mm_prefetch(f->at, _MM_HINT_T1);
}

FIXED_INLINE __m512i broadcast(const void *word)
{
    int32_t value;
    memcpy(&value, word, sizeof value);
    return _mm512_set1_epi32(value);
}

/* sums += one digit of a group; x[b] + at is where its even columns begin. */
FIXED_INLINE void multiply_digit(const uint8_t *quads, const uint8_t *const x[TILE_BATCH],
                                 size_t at, size_t count, __m512i sums[TILE_BATCH][2])
{
    FIXED_UNROLL(8)
    for (size_t quad = 0; quad < 8; quad++) {
        __m512i first = _mm512_load_si512(quads + quad * FIXED_QUAD_BYTES);
        __m512i second = _mm512_load_si512(quads + quad * FIXED_QUAD_BYTES + 64);
        FIXED_UNROLL(6)
        for (size_t b = 0; b < count; b++) {
            __m512i four = broadcast(x[b] + at + quad / 4 * 64 + quad % 4 * 4);
            sums[b][0] = _mm512_dpbusd_epi32(sums[b][0], first, four);
            sums[b][1] = _mm512_dpbusd_epi32(sums[b][1], second, four);
        }
    }
}

/* t of a group for a tile; `at` is where the block begins. */
FIXED_INLINE void multiply_group(const uint8_t *quads, const uint8_t *const x[TILE_BATCH],
                                 size_t at, size_t place, size_t count, unsigned digits,
                                 __m512 t[TILE_BATCH][2])
{
    size_t tail = at + (size_t)FIXED_COLUMNS * digits + 4 * place;
    __m512i sums[TILE_BATCH][2];
    FIXED_UNROLL(6)
    for (size_t b = 0; b < count; b++)
        sums[b][0] = sums[b][1] = digits > 1 ? _mm512_setzero_si512()
                                             : broadcast(x[b] + tail + offsetof(fixed_tail, high));
    multiply_digit(quads, x, at + 16 * place, count, sums);
    if (digits > 1) {
        FIXED_UNROLL(6)
        for (size_t b = 0; b < count; b++) {
            __m512i high = broadcast(x[b] + tail + offsetof(fixed_tail, high));
            sums[b][0] = _mm512_add_epi32(shift_digit(sums[b][0]), high);
            sums[b][1] = _mm512_add_epi32(shift_digit(sums[b][1]), high);
        }
        multiply_digit(quads, x, at + FIXED_COLUMNS + 16 * place, count, sums);
    }
    FIXED_UNROLL(6)
    for (size_t b = 0; b < count; b++) {
        t[b][0] = _mm512_cvtepi32_ps(sums[b][0]);
        t[b][1] = _mm512_cvtepi32_ps(sums[b][1]);
    }
    if (digits < 3)
        return;
    FIXED_UNROLL(6)
    for (size_t b = 0; b < count; b++)
        sums[b][0] = sums[b][1] = broadcast(x[b] + tail + offsetof(fixed_tail, low));
    multiply_digit(quads, x, at + (size_t)2 * FIXED_COLUMNS + 16 * place, count, sums);
    FIXED_UNROLL(6)
    for (size_t b = 0; b < count; b++) {
        const __m512 base = _mm512_set1_ps(256.0F);
        t[b][0] = _mm512_fmadd_ps(t[b][0], base, _mm512_cvtepi32_ps(sums[b][0]));
        t[b][1] = _mm512_fmadd_ps(t[b][1], base, _mm512_cvtepi32_ps(sums[b][1]));
    }
}

/* Partial sum `place` of a tile over a chunk. */
FIXED_INLINE void multiply_place(const panel_tile *tile, size_t place, size_t count,
                                 unsigned digits, fetcher *ahead)
{
    __m512 sums[TILE_BATCH][2];
    float *parked = tile->parked + 32 * place;
    FIXED_UNROLL(6)
    for (size_t b = 0; b < count; b++) {
        sums[b][0] = tile->first ? _mm512_setzero_ps() : _mm512_load_ps(parked + b * PARKED);
        sums[b][1] = tile->first ? _mm512_setzero_ps() : _mm512_load_ps(parked + b * PARKED + 16);
    }
    for (size_t block = 0; block < tile->blocks; block++) {
        const uint8_t *quads = tile->panel + (block * FIXED_GROUPS + place) * FIXED_GROUP_BYTES;
        const float *scales = (const float *)(const void *)(quads + 8 * FIXED_QUAD_BYTES);
        size_t at = block * fixed_block_bytes(digits);
        size_t half_scale = at + (size_t)FIXED_COLUMNS * digits + 4 * place;
        __m512 t[TILE_BATCH][2];
        fetch(ahead);
        multiply_group(quads, tile->x, at, place, count, digits, t);
        __m512 first = _mm512_load_ps(scales);
        __m512 second = _mm512_load_ps(scales + 16);
        FIXED_UNROLL(6)
        for (size_t b = 0; b < count; b++) {
            __m512 s = _mm512_castsi512_ps(broadcast(tile->x[b] + half_scale));
            sums[b][0] = _mm512_fmadd_ps(t[b][0], _mm512_mul_ps(first, s), sums[b][0]);
            sums[b][1] = _mm512_fmadd_ps(t[b][1], _mm512_mul_ps(second, s), sums[b][1]);
        }
    }
    FIXED_UNROLL(6)
    for (size_t b = 0; b < count; b++) {
        _mm512_store_ps(parked + b * PARKED, sums[b][0]);
        _mm512_store_ps(parked + b * PARKED + 16, sums[b][1]);
    }
}

#define MULTIPLY_TILE(count, digits)                                                               \
    static void multiply_##count##_##digits(const panel_tile *tile, fetcher *ahead)                \
    {                                                                                              \
        for (size_t place = 0; place < FIXED_GROUPS; place++)                                      \
            multiply_place(tile, place, count, digits, ahead);                                     \
    }
MULTIPLY_TILE(1, 1)
MULTIPLY_TILE(2, 1)
MULTIPLY_TILE(3, 1)
MULTIPLY_TILE(4, 1)
MULTIPLY_TILE(5, 1)
MULTIPLY_TILE(6, 1)
MULTIPLY_TILE(1, 2)
MULTIPLY_TILE(2, 2)
MULTIPLY_TILE(3, 2)
MULTIPLY_TILE(4, 2)
MULTIPLY_TILE(5, 2)
MULTIPLY_TILE(6, 2)
MULTIPLY_TILE(1, 3)
MULTIPLY_TILE(2, 3)
MULTIPLY_TILE(3, 3)
MULTIPLY_TILE(4, 3)

typedef void (*multiply_tile_fn)(const panel_tile *, fetcher *);

static const multiply_tile_fn tiles[FIXED_MAX_DIGITS][TILE_BATCH] = {
    {multiply_1_1, multiply_2_1, multiply_3_1, multiply_4_1, multiply_5_1, multiply_6_1},
    {multiply_1_2, multiply_2_2, multiply_3_2, multiply_4_2, multiply_5_2, multiply_6_2},
    {multiply_1_3, multiply_2_3, multiply_3_3, multiply_4_3, NULL, NULL},
};

/* y[r] = ((a_0 + a_1) + a_2) + a_3 */
static void fold_parked(const float *parked, size_t rows, float *y)
{
    for (size_t r = 0; r < rows; r += 16) {
        size_t count = rows - r < 16 ? rows - r : 16;
        __m512 sum = _mm512_add_ps(_mm512_load_ps(parked + r), _mm512_load_ps(parked + 32 + r));
        sum = _mm512_add_ps(sum, _mm512_load_ps(parked + 64 + r));
        sum = _mm512_add_ps(sum, _mm512_load_ps(parked + 96 + r));
        _mm512_mask_storeu_ps(y + r, (__mmask16)((1U << count) - 1U), sum);
    }
}

static void multiply(const uint8_t *panel, size_t rows, size_t columns, fixed_batch batch,
                     unsigned digits, float *parked, fixed_ahead ahead, float *y, size_t y_stride)
{
    size_t blocks = fixed_blocks(columns);
    size_t row_bytes = fixed_row_bytes(columns, digits);
    size_t widest = digits == 3 ? TILE_BATCH_3 : TILE_BATCH;
    size_t tile_count = (batch.count + widest - 1) / widest;
    size_t steps = tile_count * blocks * FIXED_GROUPS;
    fetcher fetching = {(const char *)ahead.at, (const char *)ahead.at + ahead.bytes,
                        steps == 0 ? 0 : (ahead.bytes / 64 + steps - 1) / steps};
    for (size_t first = 0; first < blocks; first += PANEL_BLOCKS) {
        for (size_t b = 0; b < batch.count; b += widest) {
            size_t count = batch.count - b < widest ? batch.count - b : widest;
            panel_tile tile = {.panel = panel + first * FIXED_GROUPS * FIXED_GROUP_BYTES,
                               .blocks =
                                   blocks - first < PANEL_BLOCKS ? blocks - first : PANEL_BLOCKS,
                               .parked = parked + b * PARKED,
                               .first = first == 0};
            for (size_t i = 0; i < count; i++) {
                size_t row = batch.index == NULL ? b + i : batch.index[b + i];
                tile.x[i] = batch.x + row * row_bytes + first * fixed_block_bytes(digits);
            }
            tiles[digits - 1][count - 1](&tile, &fetching);
        }
    }
    for (size_t b = 0; b < batch.count; b++)
        fold_parked(parked + b * PARKED, rows, y + b * y_stride);
}

void fixed_overlay_vnni(fixed_table *table)
{
    table->dot_rows = dot_rows;
    table->multiply = multiply;
}
