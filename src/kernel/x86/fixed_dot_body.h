/*
 * One activation row and any number of weight rows, with AVX-512 VNNI. The including file first
 * includes one of fixed_split_avx512.h and fixed_split_vbmi.h.
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

/* Weight rows one after another, or one row again and again (with strides of 0). */
typedef struct weight_rows {
    const uint8_t *blocks;
    const uint8_t *scales;
    size_t blocks_stride;
    size_t scales_stride;
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

/* t of four groups of a tile. `inside` masks the words of the groups that there are. */
FIXED_INLINE __m512 dot_block(const uint8_t *tile, size_t stride, __mmask16 inside,
                              const uint8_t *x, const spread_tail *tail, unsigned digits)
{
    const uint8_t *const second = x + FIXED_COLUMNS;
    const uint8_t *const third = second + FIXED_COLUMNS;
    __m512i high[TILE_ROWS];
    __m512i low[TILE_ROWS];
    fixed_codes w[TILE_ROWS];
    FIXED_UNROLL(4)
    for (size_t r = 0; r < TILE_ROWS; r++) {
        const uint8_t *row = tile + r * stride;
        w[r] = fixed_split(inside == 0xffff ? _mm512_loadu_si512(row)
                                            : _mm512_maskz_loadu_epi32(inside, row));
        high[r] = low[r] = _mm512_setzero_si512();
    }
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
    const uint8_t *lines = w->blocks + TILE_ROWS * 64 * block;
    _mm_prefetch((const char *)w->scales + furthest(ahead) / 16 + TILE_ROWS * 4 * block,
                 _MM_HINT_T0);
    FIXED_UNROLL(4)
    for (size_t line = 0; line < TILE_ROWS; line++)
        ask(lines + 64 * line, ahead);
}

/* Takes the four groups from g on, of which those `inside` are there, into the sums. */
FIXED_INLINE __m512 take_groups(const weight_rows *w, size_t g, __mmask16 inside,
                                const uint8_t *turned, const uint8_t *x, const spread_tail *tail,
                                unsigned digits, distance ahead, __m512 sums)
{
    ask_ahead(w, g / FIXED_GROUPS, ahead);
    __m512 t = dot_block(w->blocks + 16 * g, w->blocks_stride, inside, x, tail, digits);
    return _mm512_fmadd_ps(t, _mm512_mul_ps(scale_values(turned), tail->half_scale), sums);
}

FIXED_INLINE __m128 dot_tile(const weight_rows *w, const uint8_t *x, const spread_tail *tail,
                             size_t groups, unsigned digits, distance ahead)
{
    uint8_t turned[64] __attribute__((aligned(64)));
    __m512 sums = _mm512_setzero_ps();
    for (size_t first = 0; first < groups; first += SCALE_GROUPS) {
        size_t count = groups - first < SCALE_GROUPS ? groups - first : SCALE_GROUPS;
        size_t rest = count % FIXED_GROUPS;
        size_t g = 0;
        _mm512_store_si512(turned, turn_scales(w->scales + first, w->scales_stride, count));
        for (; g + FIXED_GROUPS <= count; g += FIXED_GROUPS, tail++, x += fixed_block_bytes(digits))
            sums = take_groups(w, first + g, 0xffff, turned + 4 * g, x, tail, digits, ahead, sums);
        if (rest > 0)
            sums = take_groups(w, first + g, (__mmask16)((1U << 4 * rest) - 1U), turned + 4 * g, x,
                               tail, digits, ahead, sums);
    }
    return fold_tile(sums);
}

FIXED_INLINE void dot_all(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                          const uint8_t *x, size_t columns, unsigned digits, distance ahead,
                          float *y)
{
    size_t groups = columns / FIXED_GROUP;
    spread_tail tails[MOST_BLOCKS];
    bool fits = fixed_blocks(columns) <= MOST_BLOCKS;
    if (fits)
        spread_tails(x, fixed_blocks(columns), digits, tails);
    for (size_t r = 0; r < rows;) {
        size_t count = rows - r < TILE_ROWS ? 1 : TILE_ROWS;
        weight_rows w = {blocks + r * groups * 16, scales + r * groups, groups * 16, groups};
        if (count == 1)
            w.blocks_stride = w.scales_stride = 0;
        if (!fits || !scales_shift(w.scales, count * groups)) {
            fixed_dot_rows_avx2(w.blocks, w.scales, count, x, columns, digits, y + r);
        } else {
            __m128 products = dot_tile(&w, x, tails, groups, digits, ahead);
            _mm_mask_storeu_ps(y + r, (__mmask8)((1U << count) - 1U), products);
        }
        r += count;
    }
}

/* fixed_table.dot_rows, of weights that are asked for so far ahead, a constant here and above. */
FIXED_INLINE void dot_rows_ahead(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                                 const uint8_t *x, size_t columns, unsigned digits, distance ahead,
                                 float *y)
{
    if (digits == 1)
        dot_all(blocks, scales, rows, x, columns, 1, ahead, y);
    else if (digits == 2)
        dot_all(blocks, scales, rows, x, columns, 2, ahead, y);
    else
        dot_all(blocks, scales, rows, x, columns, 3, ahead, y);
}
