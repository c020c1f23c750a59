/* Products with many activation rows, in lanes, with AVX-512 BF16. */
#include "kernel/x86/bfloat_lanes.h"

/* Activation rows of a tile: with six weight rows, the sums of blocks and of all blocks before take
 * 24 registers. */
enum { TILE = 2, PANEL_ROWS = 6 };

typedef __m512 tile_sums[PANEL_ROWS][TILE];

/* sums += the products of a block. */
INLINE void multiply_block(const uint16_t *w, const uint16_t *x, size_t x_stride, size_t count,
                           tile_sums sums)
{
    tile_sums t;
    UNROLL(4)
    for (size_t step = 0; step < BFLOAT_BLOCK_STEPS; step++) {
        __m512i numbers[TILE];
        UNROLL(2)
        for (size_t b = 0; b < count; b++)
            numbers[b] = _mm512_load_si512(x + b * x_stride + step * STEP);
        UNROLL(6)
        for (size_t r = 0; r < PANEL_ROWS; r++) {
            __m512i weights = _mm512_load_si512(w + (step * PANEL_ROWS + r) * STEP);
            UNROLL(2)
            for (size_t b = 0; b < count; b++)
                t[r][b] = take(step == 0 ? _mm512_setzero_ps() : t[r][b], weights, numbers[b]);
        }
    }
    UNROLL(6)
    for (size_t r = 0; r < PANEL_ROWS; r++) {
        UNROLL(2)
        for (size_t b = 0; b < count; b++)
            sums[r][b] = _mm512_add_ps(sums[r][b], t[r][b]);
    }
}

/* The products themselves, from their sums. */
INLINE void finish_tile(tile_sums sums, size_t count, size_t rows, float *y, size_t y_stride)
{
    const __m512 none = _mm512_setzero_ps();
    __mmask8 four = (__mmask8)(rows < 4 ? (1U << rows) - 1U : 15U);
    __mmask8 two = (__mmask8)(rows > 4 ? (1U << (rows - 4)) - 1U : 0U);
    UNROLL(2)
    for (size_t b = 0; b < count; b++) {
        const __m512 first[4] = {sums[0][b], sums[1][b], sums[2][b], sums[3][b]};
        const __m512 rest[4] = {sums[4][b], sums[5][b], none, none};
        _mm_mask_storeu_ps(y + b * y_stride, four, fold_four(first));
        _mm_mask_storeu_ps(y + b * y_stride + 4, two, fold_four(rest));
    }
}

/* What a tile is multiplied with: some blocks of a panel, which stay in the nearest cache for all
 * tiles, while the sums wait in memory. */
typedef struct panel_cut {
    const uint16_t *panel;
    size_t blocks;
    size_t begin; /* of these */
    size_t end;
    bool first;
    bool last;
} panel_cut;

/* sums: [count][PANEL_ROWS][16] */
INLINE void multiply_tile(const panel_cut *cut, const uint16_t *x, size_t count, size_t rows,
                          float *in_memory, float *y, size_t y_stride)
{
    tile_sums sums;
    UNROLL(6)
    for (size_t r = 0; r < PANEL_ROWS; r++) {
        UNROLL(2)
        for (size_t b = 0; b < count; b++)
            sums[r][b] = cut->first ? _mm512_setzero_ps()
                                    : _mm512_load_ps(in_memory + (b * PANEL_ROWS + r) * LANES);
    }
    for (size_t block = cut->begin; block < cut->end; block++)
        multiply_block(cut->panel + block * PANEL_ROWS * BLOCK, x + block * BLOCK,
                       cut->blocks * BLOCK, count, sums);
    if (cut->last) {
        finish_tile(sums, count, rows, y, y_stride);
        return;
    }
    UNROLL(6)
    for (size_t r = 0; r < PANEL_ROWS; r++) {
        UNROLL(2)
        for (size_t b = 0; b < count; b++)
            _mm512_store_ps(in_memory + (b * PANEL_ROWS + r) * LANES, sums[r][b]);
    }
}

static void multiply_cut(const panel_cut *cut, size_t rows, const uint16_t *x, size_t count,
                         size_t lines, bfloat_ahead *ahead, float *sums, float *y, size_t y_stride)
{
    size_t x_stride = cut->blocks * BLOCK;
    size_t b = 0;
    for (; b + TILE <= count; b += TILE) {
        fetch(ahead, lines);
        multiply_tile(cut, x + b * x_stride, TILE, rows, sums + b * PANEL_ROWS * LANES,
                      y + b * y_stride, y_stride);
    }
    if (b < count)
        multiply_tile(cut, x + b * x_stride, 1, rows, sums + b * PANEL_ROWS * LANES,
                      y + b * y_stride, y_stride);
}

static void multiply(const uint16_t *panel, size_t rows, const uint16_t *x, size_t count,
                     size_t blocks, bfloat_ahead ahead, float *sums, float *y, size_t y_stride)
{
    enum { CUT = 12 }; /* at most: 18 KB */
    size_t cuts = (blocks + CUT - 1) / CUT;
    size_t calls = cuts * (count / TILE);
    size_t lines = calls == 0 ? 0 : (ahead.bytes / 64 + calls) / calls;
    for (size_t i = 0; i < cuts; i++) {
        panel_cut cut = {panel,  blocks,       blocks * i / cuts, blocks * (i + 1) / cuts,
                         i == 0, i + 1 == cuts};
        multiply_cut(&cut, rows, x, count, lines, &ahead, sums, y, y_stride);
    }
}

void bfloat_overlay_many_bf16(bfloat_table *lanes)
{
    lanes->multiply = multiply;
}
