/* Products with many activation rows, in lanes, with AVX-512 BF16. */
#include "kernel/x86/bfloat_lanes.h"

/* Rows of a tile. The sums of all blocks take 16 registers, the activations of a block 8; only two
 * weight rows at a time have sums of a block: 4 registers, enough for one product to follow
 * another.
 */
enum { TILE = 2, PANEL_ROWS = 8, SIDE = 2 };

/*
 * Panels are taken in cuts, in blocks, whose weights and the activations that meet them stay in the
 * nearest cache for all tiles, while the sums wait in memory: 16 KB of a panel where that cache has
 * 32, 24 KB where it has 48.
 */
enum { SHORT_CUT = 8, LONG_CUT = 12 };

typedef __m512 tile_sums[PANEL_ROWS][TILE];

/* sums += the products of a block. */
INLINE void multiply_block(const uint16_t *w, const uint16_t *x, size_t x_stride, size_t count,
                           tile_sums sums)
{
    __m512i numbers[BFLOAT_BLOCK_STEPS][TILE];
    UNROLL(4)
    for (size_t step = 0; step < BFLOAT_BLOCK_STEPS; step++) {
        UNROLL(2)
        for (size_t b = 0; b < count; b++)
            numbers[step][b] = _mm512_load_si512(x + b * x_stride + step * STEP);
    }
    UNROLL(4)
    for (size_t r = 0; r < PANEL_ROWS; r += SIDE) {
        __m512 t[SIDE][TILE];
        UNROLL(4)
        for (size_t step = 0; step < BFLOAT_BLOCK_STEPS; step++) {
            UNROLL(2)
            for (size_t s = 0; s < SIDE; s++) {
                __m512i weights = _mm512_load_si512(w + (step * PANEL_ROWS + r + s) * STEP);
                __asm__ volatile("" : "+v"(weights)); /* loaded once, and here */
                UNROLL(2)
                for (size_t b = 0; b < count; b++)
                    t[s][b] =
                        take(step == 0 ? _mm512_setzero_ps() : t[s][b], weights, numbers[step][b]);
            }
        }
        UNROLL(2)
        for (size_t s = 0; s < SIDE; s++) {
            UNROLL(2)
            for (size_t b = 0; b < count; b++)
                sums[r + s][b] = _mm512_add_ps(sums[r + s][b], t[s][b]);
        }
    }
}

/* The products themselves, from their sums. */
INLINE void finish_tile(tile_sums sums, size_t count, size_t rows, float *y, size_t y_stride)
{
    UNROLL(2)
    for (size_t b = 0; b < count; b++) {
        UNROLL(2)
        for (size_t r = 0; r < PANEL_ROWS; r += 4) {
            const __m512 four[4] = {sums[r][b], sums[r + 1][b], sums[r + 2][b], sums[r + 3][b]};
            size_t inside = rows > r ? rows - r : 0;
            _mm_mask_storeu_ps(y + b * y_stride + r,
                               (__mmask8)(inside < 4 ? (1U << inside) - 1U : 15U), fold_four(four));
        }
    }
}

/* Some blocks of a panel. */
typedef struct panel_cut {
    const uint16_t *weights; /* its first block */
    size_t rows;             /* that are there from the panel's first on */
    size_t blocks;           /* of a row */
    size_t begin;            /* of these */
    size_t end;
} panel_cut;

/* Cut `index` of a panel, of at most `most` blocks. */
static panel_cut cut_at(size_t rows, size_t blocks, size_t most, size_t index)
{
    size_t cuts = (blocks + most - 1) / most;
    return (panel_cut){NULL, rows, blocks, blocks * index / cuts, blocks * (index + 1) / cuts};
}

/* in_memory: [count][PANEL_ROWS][16] */
INLINE void multiply_tile(const panel_cut *cut, const uint16_t *x, size_t count, bool first,
                          bool last, float *in_memory, float *y, size_t y_stride)
{
    const size_t x_stride = cut->blocks * BLOCK;
    const uint16_t *w = cut->weights;
    const uint16_t *end = w + (cut->end - cut->begin) * PANEL_ROWS * BLOCK;
    tile_sums sums;
    x += cut->begin * BLOCK;
    UNROLL(8)
    for (size_t r = 0; r < PANEL_ROWS; r++) {
        UNROLL(2)
        for (size_t b = 0; b < count; b++)
            sums[r][b] = first ? _mm512_setzero_ps()
                               : _mm512_load_ps(in_memory + (b * PANEL_ROWS + r) * LANES);
    }
    for (; w < end; w += PANEL_ROWS * BLOCK, x += BLOCK)
        multiply_block(w, x, x_stride, count, sums);
    if (last) {
        finish_tile(sums, count, cut->rows, y, y_stride);
        return;
    }
    UNROLL(8)
    for (size_t r = 0; r < PANEL_ROWS; r++) {
        UNROLL(2)
        for (size_t b = 0; b < count; b++)
            _mm512_store_ps(in_memory + (b * PANEL_ROWS + r) * LANES, sums[r][b]);
    }
}

/* sums: [count][PANEL_ROWS][16] */
INLINE void multiply_tiles(const panel_cut *cut, const uint16_t *x, size_t count, bool first,
                           bool last, float *sums, float *y, size_t y_stride)
{
    size_t x_stride = cut->blocks * BLOCK;
    size_t b = 0;
    for (; b + TILE <= count; b += TILE)
        multiply_tile(cut, x + b * x_stride, TILE, first, last, sums + b * PANEL_ROWS * LANES,
                      y + b * y_stride, y_stride);
    if (b < count)
        multiply_tile(cut, x + b * x_stride, 1, first, last, sums + b * PANEL_ROWS * LANES,
                      y + b * y_stride, y_stride);
}

static void multiply_cut(const panel_cut *cut, const uint16_t *x, size_t count, float *sums,
                         float *y, size_t y_stride)
{
    bool first = cut->begin == 0;
    bool last = cut->end == cut->blocks;
    if (first && last)
        multiply_tiles(cut, x, count, true, true, sums, y, y_stride);
    else if (first)
        multiply_tiles(cut, x, count, true, false, sums, y, y_stride);
    else if (last)
        multiply_tiles(cut, x, count, false, true, sums, y, y_stride);
    else
        multiply_tiles(cut, x, count, false, false, sums, y, y_stride);
}

/* ---- panels ---------------------------------------------------------------------------------- */

/* bfloat_table.multiply in cuts of at most `most` blocks. */
static void multiply_in_cuts(const uint16_t *panels, size_t rows, size_t most, const uint16_t *x,
                             size_t count, size_t blocks, bfloat_ahead ahead, float *sums, float *y,
                             size_t y_stride)
{
    size_t parts = (rows + PANEL_ROWS - 1) / PANEL_ROWS * ((blocks + most - 1) / most);
    size_t lines = (ahead.bytes / 64 + parts) / parts;
    for (size_t r = 0; r < rows; r += PANEL_ROWS) {
        panel_cut cut = {.end = 0};
        for (size_t i = 0; cut.end < blocks; i++) {
            cut = cut_at(rows - r, blocks, most, i);
            cut.weights = panels + (r * blocks + cut.begin * PANEL_ROWS) * BLOCK;
            fetch(&ahead, lines);
            multiply_cut(&cut, x, count, sums, y + r, y_stride);
        }
    }
}

/* ---- MXFP4 ----------------------------------------------------------------------------------- */

/* What is to be taken off the exponents of numbers that have the greatest scale, each in the lanes
 * of its group. */
INLINE __m512i scale_steps(const uint8_t *scales, size_t groups)
{
    /* byte L of the four scales into the upper bytes of quarter L */
    const __m512i upper =
        _mm512_set_epi32(0x03800380, 0x03800380, 0x03800380, 0x03800380, 0x02800280, 0x02800280,
                         0x02800280, 0x02800280, 0x01800180, 0x01800180, 0x01800180, 0x01800180,
                         0x00800080, 0x00800080, 0x00800080, 0x00800080);
    __m512i exponents =
        _mm512_srli_epi16(_mm512_shuffle_epi8(four_scales(scales, groups), upper), 1);
    return _mm512_sub_epi16(_mm512_set1_epi16(BFLOAT_MOST_SCALE << 7), exponents);
}

/* The four steps of a block; `table` has what each code stands for, twice. */
INLINE void decode_block(const uint8_t *codes, size_t groups, __m512i table, __m512i out[4])
{
    __m512i bytes = load_codes(codes, groups);
    __asm__("" : "+v"(bytes)); /* loaded once: half of the loads cross cache lines */
    /* The permutation looks at five bits, of which the one above a code is free. Two of the shifts
     * are multiplications, since permutations and shifts wait for the same units. */
    out[0] = _mm512_permutexvar_epi16(bytes, table);
    out[1] = _mm512_permutexvar_epi16(_mm512_srli_epi16(bytes, 4), table);
    out[2] = _mm512_permutexvar_epi16(_mm512_mulhi_epu16(bytes, _mm512_set1_epi16(1 << 8)), table);
    out[3] = _mm512_permutexvar_epi16(_mm512_mulhi_epu16(bytes, _mm512_set1_epi16(1 << 4)), table);
}

/* Unpacks a block of a row; `to` is its first step in a panel. */
INLINE void unpack_block(const uint8_t *codes, const uint8_t *scales, size_t groups, uint16_t *to)
{
    enum { ONE = BFLOAT_MOST_SCALE << 7, HALF = 1 << 6, SIGN = 1 << 15 };
    /* With the greatest scale. Zeros have no sign, they add nothing in either case, and so stay
     * zeros when something is taken off them. */
    const __m512i numbers = _mm512_broadcast_i64x4(_mm256_setr_epi16(
        0, ONE - 128, ONE, ONE + HALF, ONE + 128, ONE + 128 + HALF, ONE + 256, ONE + 256 + HALF, 0,
        (short)(SIGN + ONE - 128), (short)(SIGN + ONE), (short)(SIGN + ONE + HALF),
        (short)(SIGN + ONE + 128), (short)(SIGN + ONE + 128 + HALF), (short)(SIGN + ONE + 256),
        (short)(SIGN + ONE + 256 + HALF)));
    __m512i less = scale_steps(scales, groups);
    __m512i steps[BFLOAT_BLOCK_STEPS];
    decode_block(codes, groups, numbers, steps);
    UNROLL(4)
    for (size_t k = 0; k < BFLOAT_BLOCK_STEPS; k++)
        _mm512_store_si512(to + k * PANEL_ROWS * STEP, _mm512_subs_epu16(steps[k], less));
}

/* Unpacks blocks of a row, and asks for the same ones of another. */
INLINE void unpack_row(coded_rows row, const panel_cut *cut, const uint8_t *ahead, uint16_t *to)
{
    size_t whole = row.groups / CODED_GROUPS;
    for (size_t block = cut->begin; block < cut->end; block++, to += PANEL_ROWS * BLOCK) {
        const uint8_t *codes = row.blocks + block * CODED_GROUPS * 16;
        const uint8_t *scales = row.scales + block * CODED_GROUPS;
        _mm_prefetch((const char *)ahead + block * CODED_GROUPS * 16, _MM_HINT_T1);
        if (block < whole)
            unpack_block(codes, scales, CODED_GROUPS, to);
        else
            unpack_block(codes, scales, row.groups % CODED_GROUPS, to);
    }
}

/* The same for scales that vectors do not serve. */
static void unpack_row_plain(coded_rows row, const panel_cut *cut, uint16_t *to)
{
    for (size_t block = cut->begin; block < cut->end; block++, to += PANEL_ROWS * BLOCK) {
        uint16_t steps[BFLOAT_BLOCK_STEPS][STEP];
        size_t first = block * CODED_GROUPS;
        size_t groups = row.groups - first < CODED_GROUPS ? row.groups - first : CODED_GROUPS;
        bfloat_unpack_block(row.blocks + first * 16, row.scales + first, groups, BFLOAT_WORDS,
                            steps);
        for (size_t k = 0; k < BFLOAT_BLOCK_STEPS; k++)
            memcpy(to + k * PANEL_ROWS * STEP, steps[k], sizeof steps[k]);
    }
}

/* Fills a cut of a panel, and asks for that of another, as many rows at `ahead`. */
static void unpack_cut(coded_rows rows, const panel_cut *cut, bool plain_scales,
                       const uint8_t *ahead, uint16_t *panel)
{
    for (size_t r = 0; r < cut->rows && r < PANEL_ROWS; r++) {
        if (plain_scales)
            unpack_row(rows_from(rows, r), cut, ahead + r * rows.groups * 16, panel + r * STEP);
        else
            unpack_row_plain(rows_from(rows, r), cut, panel + r * STEP);
    }
}

/* bfloat_table.multiply_mxfp4 in cuts of at most `most` blocks. */
static void multiply_mxfp4_in_cuts(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                                   size_t most, size_t columns, const uint16_t *x, size_t count,
                                   bfloat_ahead ahead, float *sums, float *y, size_t y_stride)
{
    _Alignas(64) uint16_t panel[LONG_CUT * PANEL_ROWS * BLOCK];
    if (count <= BFLOAT_FEW &&
        bfloat_multiply_few_bf16(blocks, scales, rows, columns, x, count, ahead, y, y_stride))
        return;
    coded_rows own = {blocks, scales, columns / 32};
    coded_rows behind = {ahead.at, ahead.scales, columns / 32};
    memset(panel, 0, rows % PANEL_ROWS == 0 ? 0 : sizeof panel); /* rows that are not there */
    for (size_t r = 0; r < rows; r += PANEL_ROWS) {
        size_t left = rows - r;
        size_t groups = (left < PANEL_ROWS ? left : PANEL_ROWS) * own.groups;
        bool plain_scales = scales_are_plain(own.scales, groups);
        coded_rows next = left > PANEL_ROWS ? rows_from(own, PANEL_ROWS)
                          : ahead.bytes > 0 ? behind
                                            : own;
        panel_cut cut = {.end = 0};
        for (size_t g = 0; g < groups; g += 64)
            _mm_prefetch((const char *)next.scales + g, _MM_HINT_T1);
        for (size_t i = 0; cut.end < bfloat_blocks(columns); i++) {
            cut = cut_at(left, bfloat_blocks(columns), most, i);
            cut.weights = panel;
            unpack_cut(own, &cut, plain_scales, next.blocks, panel);
            multiply_cut(&cut, x, count, sums, y + r, y_stride);
        }
        own = next;
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

#define IN_CUTS(name, most)                                                                        \
    static void multiply_##name(const uint16_t *panels, size_t rows, const uint16_t *x,            \
                                size_t count, size_t blocks, bfloat_ahead ahead, float *sums,      \
                                float *y, size_t y_stride)                                         \
    {                                                                                              \
        multiply_in_cuts(panels, rows, most, x, count, blocks, ahead, sums, y, y_stride);          \
    }                                                                                              \
    static void multiply_mxfp4_##name(const uint8_t *blocks, const uint8_t *scales, size_t rows,   \
                                      size_t columns, const uint16_t *x, size_t count,             \
                                      bfloat_ahead ahead, float *sums, float *y, size_t y_stride)  \
    {                                                                                              \
        multiply_mxfp4_in_cuts(blocks, scales, rows, most, columns, x, count, ahead, sums, y,      \
                               y_stride);                                                          \
    }
IN_CUTS(short, SHORT_CUT)
IN_CUTS(long, LONG_CUT)

void bfloat_overlay_many_bf16(bfloat_table *lanes, size_t first_cache)
{
    bool is_small = first_cache < 49152;
    lanes->multiply = is_small ? multiply_short : multiply_long;
    lanes->multiply_mxfp4 = is_small ? multiply_mxfp4_short : multiply_mxfp4_long;
}
