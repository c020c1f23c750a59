/* Panels of weights and their products with many activation rows, with AVX-512 BF16. */
#include "kernel/x86/bfloat_steps.h"

/* ---- panels ---------------------------------------------------------------------------------- */

/* Where a panel has a block of a row. */
INLINE uint16_t *panel_block(bfloat_place to, size_t r, size_t block)
{
    return to.panel + (block * BFLOAT_ROWS + to.row + r) * BLOCK;
}

static void take_bf16(const uint8_t *w, size_t rows, size_t n, bfloat_place to)
{
    for (size_t r = 0; r < rows; r++) {
        const uint8_t *from = w + 2 * r * n;
        for (size_t k = 0; k < bfloat_blocks(n) * BLOCK; k += STEP)
            _mm512_store_si512(
                panel_block(to, r, k / BLOCK) + k % BLOCK,
                in_order(_mm512_maskz_loadu_epi16(words(behind(n, k)), from + 2 * k)));
    }
}

static void take_packed(const uint8_t *data, const dense_group *where, size_t first, size_t rows,
                        size_t n, bfloat_place to)
{
    if (where->escapes == DENSE_RAW) {
        take_bf16(data + (size_t)where->line * DENSE_LINE + 2 * first * n, rows, n, to);
        return;
    }
    packed_group group = group_open(data, where);
    for (size_t r = 0; r < rows; r++) {
        place_table table = table_load(group.tables + 16 * (first + r));
        for (size_t k = 0; k < bfloat_blocks(n) * BLOCK; k += DENSE_BLOCK_COLUMNS) {
            uint16_t *at = panel_block(to, r, k / BLOCK) + k % BLOCK;
            __m512i w[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
            if (k < n)
                unpack_steps(group.blocks + k / DENSE_BLOCK_COLUMNS * DENSE_BLOCK_BYTES, first + r,
                             table, w);
            _mm512_store_si512(at, w[0]);
            _mm512_store_si512(at + STEP, w[1]);
        }
    }
    for (size_t i = 0; i < group.escape_count; i++) {
        uint32_t escape = escape_at(&group, i);
        size_t row = escape >> 8 & 3;
        size_t column = escape >> 10;
        if (row >= first && row < first + rows)
            panel_block(to, row - first,
                        column / BLOCK)[column % BLOCK / STEP * STEP + place_in_step(column)] |=
                (uint16_t)((escape & 255) << 8);
    }
}

/* Multiplies a block by its groups' scales. */
INLINE void scale_block(const uint8_t *scales, size_t groups, __m512i steps[4])
{
    const __m512i magnitude = _mm512_set1_epi16(0x7fff);
    const __m512i bias = _mm512_set1_epi16(127 << 7);
    /* byte L of the four scales into the upper bytes of quarter L */
    const __m512i upper =
        _mm512_set_epi32(0x03800380, 0x03800380, 0x03800380, 0x03800380, 0x02800280, 0x02800280,
                         0x02800280, 0x02800280, 0x01800180, 0x01800180, 0x01800180, 0x01800180,
                         0x00800080, 0x00800080, 0x00800080, 0x00800080);
    __m512i exponent = _mm512_srli_epi16(
        _mm512_shuffle_epi8(_mm512_set1_epi32(four_scales(scales, groups)), upper), 1);
    exponent = _mm512_sub_epi16(exponent, bias);
    UNROLL(4)
    for (size_t k = 0; k < 4; k++) /* zeros stay */
        steps[k] = _mm512_mask_add_epi16(steps[k], _mm512_test_epi16_mask(steps[k], magnitude),
                                         steps[k], exponent);
}

INLINE void unpack_block(const uint8_t *codes, const uint8_t *scales, size_t groups, uint16_t *to)
{
    __m512i steps[4];
    decode_block(codes, groups, steps);
    scale_block(scales, groups, steps);
    UNROLL(4)
    for (size_t k = 0; k < 4; k++)
        _mm512_store_si512(to + k * STEP, steps[k]);
}

static void take_mxfp4(const uint8_t *blocks, const uint8_t *scales, size_t rows, size_t columns,
                       bfloat_place to)
{
    size_t groups = columns / 32;
    size_t whole = groups / CODED_GROUPS * CODED_GROUPS;
    if (!scales_are_plain(scales, rows * groups)) {
        bfloat_take_mxfp4_plain(blocks, scales, rows, columns, to);
        return;
    }
    for (size_t r = 0; r < rows; r++, blocks += groups * 16, scales += groups) {
        for (size_t g = 0; g < whole; g += CODED_GROUPS)
            unpack_block(blocks + g * 16, scales + g, CODED_GROUPS,
                         panel_block(to, r, g / CODED_GROUPS));
        if (whole < groups)
            unpack_block(blocks + whole * 16, scales + whole, groups - whole,
                         panel_block(to, r, whole / CODED_GROUPS));
    }
}

/* ---- products -------------------------------------------------------------------------------- */

/* Activation rows of a tile: with six weight rows, the sums of blocks and of all blocks before take
 * 24 registers. */
enum { TILE = 2 };

typedef __m512 tile_sums[BFLOAT_ROWS][TILE];

/* sums += the products of a block. */
INLINE void multiply_block(const uint16_t *w, const uint16_t *const x[TILE], size_t at,
                           size_t count, tile_sums sums)
{
    tile_sums t;
    UNROLL(4)
    for (size_t step = 0; step < BFLOAT_BLOCK_STEPS; step++) {
        __m512i numbers[TILE];
        UNROLL(2)
        for (size_t b = 0; b < count; b++)
            numbers[b] = _mm512_load_si512(x[b] + at + step * STEP);
        UNROLL(6)
        for (size_t r = 0; r < BFLOAT_ROWS; r++) {
            __m512i weights = _mm512_load_si512(w + r * BLOCK + step * STEP);
            UNROLL(2)
            for (size_t b = 0; b < count; b++)
                t[r][b] = take(step == 0 ? _mm512_setzero_ps() : t[r][b], weights, numbers[b]);
        }
    }
    UNROLL(6)
    for (size_t r = 0; r < BFLOAT_ROWS; r++) {
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
    size_t begin; /* blocks */
    size_t end;
    bool first;
    bool last;
} panel_cut;

/* sums: [count][BFLOAT_ROWS][16] */
INLINE void multiply_tile(const panel_cut *cut, const uint16_t *const x[TILE], size_t count,
                          size_t rows, float *in_memory, float *y, size_t y_stride)
{
    tile_sums sums;
    UNROLL(6)
    for (size_t r = 0; r < BFLOAT_ROWS; r++) {
        UNROLL(2)
        for (size_t b = 0; b < count; b++)
            sums[r][b] = cut->first ? _mm512_setzero_ps()
                                    : _mm512_load_ps(in_memory + (b * BFLOAT_ROWS + r) * LANES);
    }
    for (size_t block = cut->begin; block < cut->end; block++)
        multiply_block(cut->panel + block * BFLOAT_ROWS * BLOCK, x, block * BLOCK, count, sums);
    if (cut->last) {
        finish_tile(sums, count, rows, y, y_stride);
        return;
    }
    UNROLL(6)
    for (size_t r = 0; r < BFLOAT_ROWS; r++) {
        UNROLL(2)
        for (size_t b = 0; b < count; b++)
            _mm512_store_ps(in_memory + (b * BFLOAT_ROWS + r) * LANES, sums[r][b]);
    }
}

static void multiply_cut(const panel_cut *cut, size_t rows, const uint16_t *const *x, size_t count,
                         size_t lines, bfloat_ahead *ahead, float *sums, float *y, size_t y_stride)
{
    /* NULL with no bytes, to which even 0 is not added */
    const uint8_t *end = ahead->bytes == 0 ? ahead->at : ahead->at + ahead->bytes;
    size_t b = 0;
    for (; b + TILE <= count; b += TILE) {
        const uint8_t *stop = (size_t)(end - ahead->at) < lines * 64 ? end : ahead->at + lines * 64;
        for (; ahead->at < stop; ahead->at += 64)
            _mm_prefetch((const char *)ahead->at, _MM_HINT_T1);
        ahead->at = stop;
        multiply_tile(cut, x + b, TILE, rows, sums + b * BFLOAT_ROWS * LANES, y + b * y_stride,
                      y_stride);
    }
    ahead->bytes = (size_t)(end - ahead->at);
    if (b < count)
        multiply_tile(cut, x + b, 1, rows, sums + b * BFLOAT_ROWS * LANES, y + b * y_stride,
                      y_stride);
}

static void multiply(const uint16_t *panel, size_t rows, const uint16_t *const *x, size_t count,
                     size_t blocks, bfloat_ahead ahead, float *sums, float *y, size_t y_stride)
{
    enum { CUT = 12 }; /* at most: 18 KB */
    size_t cuts = (blocks + CUT - 1) / CUT;
    size_t calls = cuts * (count / TILE);
    size_t lines = calls == 0 ? 0 : (ahead.bytes / 64 + calls) / calls;
    for (size_t i = 0; i < cuts; i++) {
        panel_cut cut = {panel, blocks * i / cuts, blocks * (i + 1) / cuts, i == 0, i + 1 == cuts};
        multiply_cut(&cut, rows, x, count, lines, &ahead, sums, y, y_stride);
    }
}

void bfloat_overlay_many_bf16(bfloat_table *table)
{
    table->take_bf16 = take_bf16;
    table->take_packed = take_packed;
    table->take_mxfp4 = take_mxfp4;
    table->multiply = multiply;
}
