/*
 * One activation row, or a few, and any number of weight rows, with AVX-512 VNNI. The including
 * file first includes one of fixed_split_avx512.h and fixed_split_vbmi.h.
 */
#include <stdbool.h>

#include "kernel/ahead.h"
#include "kernel/fixed.h"

/*
 * Four weight rows are a tile. 64 bytes are four groups of a row: a quarter of a register holds a
 * group's sums, which a transposing addition brings into the order
 *
 *     lane 4 i + r: group i of the block, row r
 *
 * Rows with scales 0 or 255, and very long ones, are left to AVX2.
 */
enum { TILE_ROWS = 4 };

/* Weight rows one after another, or one row again and again (with strides of 0), and what is asked
 * for meanwhile. */
typedef struct weight_rows {
    const uint8_t *blocks;
    const uint8_t *scales;
    size_t blocks_stride;
    size_t scales_stride;
    const uint8_t *second; /* blocks, into the second cache */
    const uint8_t *first;  /* and into the first */
    const uint8_t *scales_ahead;
} weight_rows;

/* Blocks of 128 numbers whose scales are turned at once. */
enum { SCALE_BLOCKS = 4, SCALE_GROUPS = SCALE_BLOCKS * FIXED_GROUPS };

/* The scales of up to 16 groups of a tile as bytes [block][group][row], with zeros past the last.
 */
FIXED_INLINE __m512i turn_scales(const uint8_t *scales, size_t stride, size_t groups)
{
    const __m512i words = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i bytes =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    __mmask16 inside = (__mmask16)((1U << groups) - 1U);
    __m512i rows = _mm512_castsi128_si512(_mm_maskz_loadu_epi8(inside, scales));
    rows = _mm512_inserti32x4(rows, _mm_maskz_loadu_epi8(inside, scales + stride), 1);
    rows = _mm512_inserti32x4(rows, _mm_maskz_loadu_epi8(inside, scales + 2 * stride), 2);
    rows = _mm512_inserti32x4(rows, _mm_maskz_loadu_epi8(inside, scales + 3 * stride), 3);
    return _mm512_shuffle_epi8(_mm512_permutexvar_epi32(words, rows), bytes);
}

/* Whether all scales become factors by shifting: 0 and 255 do not. */
FIXED_INLINE bool scales_shift(const uint8_t *scales, size_t count)
{
    const __m512i one = _mm512_set1_epi8(1);
    __mmask64 odd = 0;
    for (size_t i = 0; i < count; i += 64) {
        __mmask64 inside = count - i < 64 ? (1ULL << (count - i)) - 1 : UINT64_MAX;
        __m512i less = _mm512_sub_epi8(_mm512_maskz_loadu_epi8(inside, scales + i), one);
        odd |= _mm512_mask_cmpgt_epu8_mask(inside, less, _mm512_set1_epi8((char)253));
    }
    return odd == 0;
}

/* 2^(scale - 127) of a block. */
FIXED_INLINE __m512 scale_values(const uint8_t *turned)
{
    __m512i scale = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)(const void *)turned));
    return _mm512_castsi512_ps(_mm512_slli_epi32(scale, 23));
}

/* The sums of the quarters of four registers, one a row. */
FIXED_INLINE __m512i turn_sums(const __m512i row[TILE_ROWS])
{
    __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(row[0], row[1]),
                                 _mm512_unpackhi_epi32(row[0], row[1]));
    __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(row[2], row[3]),
                                 _mm512_unpackhi_epi32(row[2], row[3]));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

/* The same for sums of one digit, at most 8 * 24 * 128 in a lane, by way of 16 bits: an instruction
 * less. */
FIXED_INLINE __m512i turn_small_sums(const __m512i row[TILE_ROWS])
{
    const __m512i one = _mm512_set1_epi16(1);
    __m512i a = _mm512_madd_epi16(_mm512_packs_epi32(row[0], row[1]), one);
    __m512i b = _mm512_madd_epi16(_mm512_packs_epi32(row[2], row[3]), one);
    __m512 even = _mm512_shuffle_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), 0x88);
    __m512 odd = _mm512_shuffle_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), 0xdd);
    return _mm512_add_epi32(_mm512_castps_si512(even), _mm512_castps_si512(odd));
}

/* The tail of a block of activations, each number in the lanes of its group. */
typedef struct spread_tail {
    __m512i high;
    __m512i low;
    __m512 half_scale;
} spread_tail;

enum { MOST_BLOCKS = 64 }; /* whose tails are spread before all rows */

/* Each of four words, four times. */
FIXED_INLINE __m512i spread(const void *four)
{
    const __m512i lanes = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    __m128i words = _mm_load_si128((const __m128i *)four);
    return _mm512_permutexvar_epi32(lanes, _mm512_castsi128_si512(words));
}

FIXED_INLINE void spread_tails(const uint8_t *x, size_t blocks, unsigned digits, spread_tail *out)
{
    for (size_t i = 0; i < blocks; i++) {
        const void *at = x + i * fixed_block_bytes(digits) + (size_t)FIXED_COLUMNS * digits;
        const fixed_tail *tail = at;
        out[i] = (spread_tail){spread(tail->high), spread(tail->low),
                               _mm512_castsi512_ps(spread(tail->half_scale))};
    }
}

/* Half a digit's products of all rows: of the columns of the low or of the high nibbles. */
FIXED_INLINE void add_products(__m512i sums[TILE_ROWS], const fixed_codes w[TILE_ROWS], bool odd,
                               const uint8_t *digit)
{
    __m512i x = _mm512_load_si512(digit + (odd ? 64 : 0));
    FIXED_UNROLL(4)
    for (size_t r = 0; r < TILE_ROWS; r++)
        sums[r] = _mm512_dpbusd_epi32(sums[r], odd ? w[r].odd : w[r].even, x);
}

/* Four groups of a tile. `inside` masks the words of the groups that there are. */
FIXED_INLINE void split_block(const uint8_t *tile, size_t stride, __mmask16 inside,
                              fixed_codes w[TILE_ROWS])
{
    FIXED_UNROLL(4)
    for (size_t r = 0; r < TILE_ROWS; r++) {
        const uint8_t *row = tile + r * stride;
        __m512i codes = inside == 0xffff ? _mm512_loadu_si512(row)
                                         : _mm512_maskz_loadu_epi32(inside, row);
        __asm__("" : "+v"(codes)); /* loaded once: half of the loads cross cache lines */
        w[r] = fixed_split(codes);
    }
}

/* t of four groups of a tile. */
FIXED_INLINE __m512 dot_block(const fixed_codes w[TILE_ROWS], const uint8_t *x,
                              const spread_tail *tail, unsigned digits)
{
    const uint8_t *const second = x + FIXED_COLUMNS;
    const uint8_t *const third = second + FIXED_COLUMNS;
    __m512i high[TILE_ROWS];
    __m512i low[TILE_ROWS];
    FIXED_UNROLL(4)
    for (size_t r = 0; r < TILE_ROWS; r++)
        high[r] = low[r] = _mm512_setzero_si512();
    /* rows and digits by turns, so that sums need not wait for each other */
    add_products(high, w, false, x);
    add_products(high, w, true, x);
    if (digits > 2)
        add_products(low, w, false, third);
    if (digits > 1) {
        FIXED_UNROLL(4)
        for (size_t r = 0; r < TILE_ROWS; r++)
            high[r] = _mm512_slli_epi32(high[r], 8);
        add_products(high, w, false, second);
    }
    if (digits > 2)
        add_products(low, w, true, third);
    if (digits > 1)
        add_products(high, w, true, second);
    __m512i total = digits > 1 ? turn_sums(high) : turn_small_sums(high);
    __m512 t = _mm512_cvtepi32_ps(_mm512_add_epi32(total, tail->high));
    if (digits < 3)
        return t;
    __m512 rest = _mm512_cvtepi32_ps(_mm512_add_epi32(turn_small_sums(low), tail->low));
    return _mm512_fmadd_ps(t, _mm512_set1_ps(256.0F), rest);
}

/* y of a tile. */
FIXED_INLINE __m128 fold_tile(__m512 sums)
{
    __m128 y = _mm_add_ps(_mm512_castps512_ps128(sums), _mm512_extractf32x4_ps(sums, 1));
    y = _mm_add_ps(y, _mm512_extractf32x4_ps(sums, 2));
    return _mm_add_ps(y, _mm512_extractf32x4_ps(sums, 3));
}

/* Asks for what lies ahead of block `block` of a tile. Streams for parts of a tile, or several
 * tiles side by side, cost a tenth of the speed from memory. */
FIXED_INLINE void ask_ahead(const weight_rows *w, size_t block, distance ahead)
{
    _mm_prefetch((const char *)w->scales_ahead + TILE_ROWS * 4 * block, _MM_HINT_T0);
    FIXED_UNROLL(4)
    for (size_t line = TILE_ROWS * block; line < TILE_ROWS * (block + 1); line++) {
        if (ahead.second > 0)
            _mm_prefetch((const char *)w->second + 64 * line, _MM_HINT_T1);
        _mm_prefetch((const char *)w->first + 64 * line, _MM_HINT_T0);
    }
}

/* Activation rows: prepared ones, and their tails, MOST_BLOCKS for each. */
typedef struct dot_rows_of_x {
    const uint8_t *rows;
    size_t row_bytes;
    const spread_tail *tails;
} dot_rows_of_x;

/* Takes the four groups from g on, of which those `inside` are there, into the sums of `count`
 * rows, a constant after inlining like `digits` and `ahead`. */
FIXED_INLINE void take_groups(const weight_rows *w, size_t g, __mmask16 inside,
                              const uint8_t *turned, const dot_rows_of_x *x, size_t count,
                              unsigned digits, distance ahead, __m512 sums[FIXED_FEW])
{
    size_t block = g / FIXED_GROUPS;
    fixed_codes codes[TILE_ROWS];
    ask_ahead(w, block, ahead);
    split_block(w->blocks + 16 * g, w->blocks_stride, inside, codes);
    FIXED_UNROLL(4)
    for (size_t b = 0; b < count; b++) {
        const spread_tail *tail = x->tails + b * MOST_BLOCKS + block;
        __m512 t = dot_block(codes, x->rows + b * x->row_bytes + block * fixed_block_bytes(digits),
                             tail, digits);
        sums[b] =
            _mm512_fmadd_ps(t, _mm512_mul_ps(scale_values(turned), tail->half_scale), sums[b]);
    }
}

FIXED_INLINE void dot_tile(const weight_rows *w, const dot_rows_of_x *x, size_t count,
                           size_t groups, unsigned digits, distance ahead, __m512 sums[FIXED_FEW])
{
    uint8_t turned[64] __attribute__((aligned(64)));
    FIXED_UNROLL(4)
    for (size_t b = 0; b < count; b++)
        sums[b] = _mm512_setzero_ps();
    for (size_t first = 0; first < groups; first += SCALE_GROUPS) {
        size_t own = groups - first < SCALE_GROUPS ? groups - first : SCALE_GROUPS;
        size_t rest = own % FIXED_GROUPS;
        size_t g = 0;
        _mm512_store_si512(turned, turn_scales(w->scales + first, w->scales_stride, own));
        for (; g + FIXED_GROUPS <= own; g += FIXED_GROUPS)
            take_groups(w, first + g, 0xffff, turned + 4 * g, x, count, digits, ahead, sums);
        if (rest > 0)
            take_groups(w, first + g, (__mmask16)((1U << 4 * rest) - 1U), turned + 4 * g, x, count,
                        digits, ahead, sums);
    }
}

/* Weight rows, and those that are read next. */
typedef struct dot_source {
    const uint8_t *blocks;
    const uint8_t *scales;
    size_t rows;
    size_t groups;
    fixed_ahead next;
} dot_source;

/* The tile that begins at row r, or a row alone. */
FIXED_INLINE weight_rows tile_at(const dot_source *from, size_t r, size_t rows, distance ahead)
{
    size_t at = r * from->groups;
    size_t all = from->rows * from->groups;
    size_t stride = rows == 1 ? 0 : from->groups;
    const fixed_ahead *next = &from->next;
    return (weight_rows){
        from->blocks + 16 * at,
        from->scales + at,
        16 * stride,
        stride,
        byte_ahead(from->blocks, 16 * all, next->blocks, 16 * at + ahead.second),
        byte_ahead(from->blocks, 16 * all, next->blocks, 16 * at + ahead.first),
        byte_ahead(from->scales, all, next->scales, at + furthest(ahead) / 16),
    };
}

/* y[b * y_stride + r] of `count` activation rows. tails: room for MOST_BLOCKS of each. */
FIXED_INLINE void dot_all(const dot_source *from, const uint8_t *x, size_t count, unsigned digits,
                          distance ahead, spread_tail *tails, float *y, size_t y_stride)
{
    size_t columns = from->groups * FIXED_GROUP;
    size_t blocks = fixed_blocks(columns);
    size_t row_bytes = fixed_row_bytes(columns, digits);
    dot_rows_of_x all = {x, row_bytes, tails};
    bool fits = blocks <= MOST_BLOCKS;
    for (size_t b = 0; b < count && fits; b++)
        spread_tails(x + b * row_bytes, blocks, digits, tails + b * MOST_BLOCKS);
    for (size_t r = 0; r < from->rows;) {
        size_t rows = from->rows - r < TILE_ROWS ? 1 : TILE_ROWS;
        weight_rows w = tile_at(from, r, rows, ahead);
        if (!fits || !scales_shift(w.scales, rows * from->groups)) {
            for (size_t b = 0; b < count; b++)
                fixed_dot_rows_avx2(w.blocks, w.scales, rows, x + b * row_bytes, columns, digits,
                                    y + b * y_stride + r);
        } else {
            __m512 sums[FIXED_FEW];
            dot_tile(&w, &all, count, from->groups, digits, ahead, sums);
            FIXED_UNROLL(4)
            for (size_t b = 0; b < count; b++)
                _mm_mask_storeu_ps(y + b * y_stride + r, (__mmask8)((1U << rows) - 1U),
                                   fold_tile(sums[b]));
        }
        r += rows;
    }
}

#define DOT_FEW(count, digits)                                                                     \
    static void dot_##count##_##digits(const dot_source *from, const uint8_t *x, float *y,         \
                                       size_t y_stride)                                            \
    {                                                                                              \
        spread_tail tails[(count)*MOST_BLOCKS];                                                    \
        dot_all(from, x, count, digits, AHEAD_TWICE, tails, y, y_stride);                          \
    }
DOT_FEW(1, 1)
DOT_FEW(2, 1)
DOT_FEW(3, 1)
DOT_FEW(4, 1)
DOT_FEW(1, 2)
DOT_FEW(2, 2)
DOT_FEW(3, 2)
DOT_FEW(4, 2)
DOT_FEW(1, 3)
DOT_FEW(2, 3)
DOT_FEW(3, 3)
DOT_FEW(4, 3)

/* fixed_table.multiply for at most FIXED_FEW rows. */
static void multiply_few(const uint8_t *blocks, const uint8_t *scales, size_t rows, size_t columns,
                         fixed_batch batch, unsigned digits, fixed_ahead ahead, float *y,
                         size_t y_stride)
{
    static void (*const dots[FIXED_MAX_DIGITS][FIXED_FEW])(const dot_source *, const uint8_t *,
                                                           float *, size_t) = {
        {dot_1_1, dot_2_1, dot_3_1, dot_4_1},
        {dot_1_2, dot_2_2, dot_3_2, dot_4_2},
        {dot_1_3, dot_2_3, dot_3_3, dot_4_3}};
    dot_source from = {blocks, scales, rows, columns / FIXED_GROUP, ahead};
    dots[digits - 1][batch.count - 1](&from, batch.tiles, y, y_stride);
}

/* fixed_table.dot_rows, of weights that are asked for so far ahead, a constant here and above. */
FIXED_INLINE void dot_rows_ahead(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                                 const uint8_t *x, size_t columns, unsigned digits, distance ahead,
                                 float *y)
{
    dot_source from = {blocks, scales, rows, columns / FIXED_GROUP, {NULL, NULL, 0}};
    spread_tail tails[MOST_BLOCKS];
    if (digits == 1)
        dot_all(&from, x, 1, 1, ahead, tails, y, 0);
    else if (digits == 2)
        dot_all(&from, x, 1, 2, ahead, tails, y, 0);
    else
        dot_all(&from, x, 1, 3, ahead, tails, y, 0);
}
