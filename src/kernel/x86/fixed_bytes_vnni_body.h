/*
 * Products of a batch of prepared rows of one or three digits with AVX-512 VNNI. The including file
 * first includes fixed_unpack_body.h.
 */
#include "kernel/x86/fixed_pairs.h"

/*
 * A tile of 32 weight rows, in the lanes of two registers, and some activation rows, whose sums
 * stay in registers: those of whole numbers, and those of floats, the partial sum a_m, for a chunk
 * of 6 blocks. The chunk's weights (27 KB) are unpacked into the nearest cache, which keeps them
 * for the whole batch; between chunks the partial sums a_0 .. a_3 lie in memory, [batch][4][32].
 */
enum { TILE_BATCH = 6, PANEL_BLOCKS = 6, SUMS = FIXED_GROUPS * FIXED_PANEL_ROWS };

/* Activation rows of a tile: of three digits there are sums of more kinds. */
FIXED_INLINE size_t tile_batch(unsigned digits)
{
    return digits == 1 ? TILE_BATCH : 4;
}

/* One tile's view of a chunk. */
typedef struct panel_tile {
    const uint8_t *panel;
    const uint8_t *x[TILE_BATCH];
    size_t blocks;
    float *sums;
} panel_tile;

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
        /* loads them anew for every digit, rather than keep 16 registers and spill the sums */
        __asm__ volatile("" : "+v"(first), "+v"(second));
        FIXED_UNROLL(8)
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
    FIXED_UNROLL(8)
    for (size_t b = 0; b < count; b++)
        sums[b][0] = sums[b][1] = digits > 1 ? _mm512_setzero_si512()
                                             : broadcast(x[b] + tail + offsetof(fixed_tail, high));
    multiply_digit(quads, x, at + 16 * place, count, sums);
    if (digits > 1) {
        FIXED_UNROLL(8)
        for (size_t b = 0; b < count; b++) {
            __m512i high = broadcast(x[b] + tail + offsetof(fixed_tail, high));
            sums[b][0] = _mm512_add_epi32(_mm512_slli_epi32(sums[b][0], 8), high);
            sums[b][1] = _mm512_add_epi32(_mm512_slli_epi32(sums[b][1], 8), high);
        }
        multiply_digit(quads, x, at + FIXED_COLUMNS + 16 * place, count, sums);
    }
    FIXED_UNROLL(8)
    for (size_t b = 0; b < count; b++) {
        t[b][0] = _mm512_cvtepi32_ps(sums[b][0]);
        t[b][1] = _mm512_cvtepi32_ps(sums[b][1]);
    }
    if (digits < 3)
        return;
    FIXED_UNROLL(8)
    for (size_t b = 0; b < count; b++)
        sums[b][0] = sums[b][1] = broadcast(x[b] + tail + offsetof(fixed_tail, low));
    multiply_digit(quads, x, at + (size_t)2 * FIXED_COLUMNS + 16 * place, count, sums);
    FIXED_UNROLL(8)
    for (size_t b = 0; b < count; b++) {
        const __m512 base = _mm512_set1_ps(256.0F);
        t[b][0] = _mm512_fmadd_ps(t[b][0], base, _mm512_cvtepi32_ps(sums[b][0]));
        t[b][1] = _mm512_fmadd_ps(t[b][1], base, _mm512_cvtepi32_ps(sums[b][1]));
    }
}

/* Adds a chunk's part to partial sum `place` of a tile. */
FIXED_INLINE void multiply_place(const panel_tile *tile, size_t place, size_t count,
                                 unsigned digits, fetcher *ahead)
{
    float *in_memory = tile->sums + FIXED_PANEL_ROWS * place;
    __m512 sums[TILE_BATCH][2];
    FIXED_UNROLL(8)
    for (size_t b = 0; b < count; b++) {
        sums[b][0] = _mm512_load_ps(in_memory + b * SUMS);
        sums[b][1] = _mm512_load_ps(in_memory + b * SUMS + 16);
    }
    for (size_t block = 0; block < tile->blocks; block++) {
        const uint8_t *quads = tile->panel + (block * FIXED_GROUPS + place) * FIXED_GROUP_BYTES;
        const float *scales = (const float *)(const void *)(quads + 8 * FIXED_QUAD_BYTES);
        size_t at = block * fixed_block_bytes(digits);
        size_t half_scale = at + (size_t)FIXED_COLUMNS * digits + 4 * place;
        __m512 t[TILE_BATCH][2];
        fetch_for(ahead, MULTIPLY_TIME * count * digits);
        multiply_group(quads, tile->x, at, place, count, digits, t);
        __m512 first = _mm512_load_ps(scales);
        __m512 second = _mm512_load_ps(scales + 16);
        FIXED_UNROLL(8)
        for (size_t b = 0; b < count; b++) {
            __m512 s = _mm512_castsi512_ps(broadcast(tile->x[b] + half_scale));
            sums[b][0] = _mm512_fmadd_ps(t[b][0], factors(first, s), sums[b][0]);
            sums[b][1] = _mm512_fmadd_ps(t[b][1], factors(second, s), sums[b][1]);
        }
    }
    FIXED_UNROLL(8)
    for (size_t b = 0; b < count; b++) {
        _mm512_store_ps(in_memory + b * SUMS, sums[b][0]);
        _mm512_store_ps(in_memory + b * SUMS + 16, sums[b][1]);
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
MULTIPLY_TILE(1, 3)
MULTIPLY_TILE(2, 3)
MULTIPLY_TILE(3, 3)
MULTIPLY_TILE(4, 3)

typedef void (*multiply_tile_fn)(const panel_tile *, fetcher *);

static const multiply_tile_fn tiles_1[] = {
    multiply_1_1, multiply_2_1, multiply_3_1, multiply_4_1, multiply_5_1, multiply_6_1,
};
static const multiply_tile_fn tiles_3[] = {
    multiply_1_3,
    multiply_2_3,
    multiply_3_3,
    multiply_4_3,
};

/* y[r] = ((a_0 + a_1) + a_2) + a_3 */
static void fold_sums(const float *sums, size_t rows, float *y)
{
    for (size_t r = 0; r < rows; r += 16) {
        size_t count = rows - r < 16 ? rows - r : 16;
        __m512 sum = _mm512_add_ps(_mm512_load_ps(sums + r), _mm512_load_ps(sums + 32 + r));
        sum = _mm512_add_ps(sum, _mm512_load_ps(sums + 64 + r));
        sum = _mm512_add_ps(sum, _mm512_load_ps(sums + 96 + r));
        _mm512_mask_storeu_ps(y + r, (__mmask16)((1U << count) - 1U), sum);
    }
}

/* FIXED_PANEL_ROWS weight rows from `row` on, or what is left, a chunk at a time. */
static void multiply_panel(const panel_rows *w, size_t row, fixed_batch batch, unsigned digits,
                           uint8_t *panel, fetcher *ahead, float *y, size_t y_stride)
{
    const multiply_tile_fn *tiles = digits == 1 ? tiles_1 : tiles_3;
    size_t blocks = fixed_blocks(w->groups * FIXED_GROUP);
    size_t row_bytes = blocks * fixed_block_bytes(digits);
    size_t tile_count = (batch.count + tile_batch(digits) - 1) / tile_batch(digits);
    size_t rows = w->rows - row < FIXED_PANEL_ROWS ? w->rows - row : FIXED_PANEL_ROWS;
    float *sums = (float *)(void *)(panel + PANEL_BLOCKS * FIXED_GROUPS * FIXED_GROUP_BYTES);
    memset(sums, 0, batch.count * SUMS * sizeof *sums);
    for (size_t first = 0; first < blocks; first += PANEL_BLOCKS) {
        size_t own = blocks - first < PANEL_BLOCKS ? blocks - first : PANEL_BLOCKS;
        unpack_panel(w, row, first * FIXED_GROUPS, own, ahead, panel);
        for (size_t t = 0; t < tile_count; t++) {
            size_t b = batch.count * t / tile_count;
            size_t count = batch.count * (t + 1) / tile_count - b;
            panel_tile tile = {.panel = panel, .blocks = own, .sums = sums + b * SUMS};
            for (size_t i = 0; i < count; i++)
                tile.x[i] = batch.tiles + (b + i) * row_bytes + first * fixed_block_bytes(digits);
            tiles[count - 1](&tile, ahead);
        }
    }
    for (size_t b = 0; b < batch.count; b++)
        fold_sums(sums + b * SUMS, rows, y + row + b * y_stride);
}

/* Up to FIXED_MULTIPLY_ROWS weight rows, a panel at a time. */
static void multiply_panels(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                            size_t columns, fixed_batch batch, unsigned digits, void *scratch,
                            fixed_ahead ahead, float *y, size_t y_stride)
{
    panel_rows w = {blocks, scales, rows, columns / FIXED_GROUP};
    size_t panels = (rows + FIXED_PANEL_ROWS - 1) / FIXED_PANEL_ROWS;
    size_t time = panels * w.groups * (2 * UNPACK_TIME + MULTIPLY_TIME * digits * batch.count);
    fetcher fetching = fetch_evenly(ahead, time);
    for (size_t row = 0; row < rows; row += FIXED_PANEL_ROWS)
        multiply_panel(&w, row, batch, digits, scratch, &fetching, y, y_stride);
}

static void multiply(const uint8_t *blocks, const uint8_t *scales, size_t rows, size_t columns,
                     fixed_batch batch, unsigned digits, void *scratch, fixed_ahead ahead, float *y,
                     size_t y_stride)
{
    if (batch.count <= FIXED_FEW)
        multiply_few(blocks, scales, rows, columns, batch, digits, ahead, y, y_stride);
    else if (digits == 2)
        fixed_pairs_multiply(blocks, scales, rows, columns, batch, scratch, ahead, y, y_stride);
    else
        multiply_panels(blocks, scales, rows, columns, batch, digits, scratch, ahead, y, y_stride);
}
