/*
 * One activation row and any number of weight rows, with AVX-512 VNNI. The including file first
 * includes one of fixed_split_avx512.h and fixed_split_vbmi.h, and defines
 *     CODED_AHEAD    how far ahead weights are asked for
 */
#include <math.h>

#include "kernel/fixed.h"
#include "kernel/x86/ahead.h"

/*
 * Four weight rows are a tile. 64 bytes are four groups of a row: a quarter of a register holds a
 * group's sums, which a transposing addition brings into the order
 *
 *     lane 4 i + r: group i of the block, row r
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

/* 2^(scale - 127) of a block, but for scale 255. */
FIXED_INLINE __m512 scale_values(const uint8_t *turned)
{
    __m512i scale = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)(const void *)turned));
    __m512i bits = _mm512_slli_epi32(scale, 23);
    return _mm512_castsi512_ps(_mm512_max_epu32(bits, _mm512_set1_epi32(0x00400000))); /* of 0 */
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

/* Each of four words, four times. */
FIXED_INLINE __m512i spread(const void *four)
{
    const __m512i lanes = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    __m128i words = _mm_load_si128((const __m128i *)four);
    return _mm512_permutexvar_epi32(lanes, _mm512_castsi128_si512(words));
}

/* One digit of both columns of every byte. */
FIXED_INLINE __m512i add_digit(__m512i sums, fixed_codes w, const uint8_t *digit)
{
    sums = _mm512_dpbusd_epi32(sums, w.even, _mm512_load_si512(digit));
    return _mm512_dpbusd_epi32(sums, w.odd, _mm512_load_si512(digit + 64));
}

/* What the tiles of a step need of a block of activations. */
typedef struct activation_block {
    const uint8_t *digits;
    __m512i high;
    __m512i low;
    __m512 half_scale;
} activation_block;

FIXED_INLINE activation_block open_block(const uint8_t *block, unsigned digits)
{
    const fixed_tail *tail =
        (const fixed_tail *)(const void *)(block + (size_t)FIXED_COLUMNS * digits);
    return (activation_block){block, spread(tail->high), spread(tail->low),
                              _mm512_castsi512_ps(spread(tail->half_scale))};
}

/* t of four groups of a tile. `inside` masks the words of the groups that there are. */
FIXED_INLINE __m512 dot_block(const uint8_t *tile, size_t stride, __mmask16 inside,
                              const activation_block *x, unsigned digits)
{
    __m512i high[TILE_ROWS];
    __m512i low[TILE_ROWS];
    FIXED_UNROLL(4)
    for (size_t r = 0; r < TILE_ROWS; r++) {
        const uint8_t *row = tile + r * stride;
        fixed_codes w = fixed_split(inside == 0xffff ? _mm512_loadu_si512(row)
                                                     : _mm512_maskz_loadu_epi32(inside, row));
        high[r] = add_digit(_mm512_setzero_si512(), w, x->digits);
        if (digits > 1)
            high[r] = add_digit(_mm512_slli_epi32(high[r], 8), w, x->digits + FIXED_COLUMNS);
        if (digits > 2)
            low[r] = add_digit(_mm512_setzero_si512(), w, x->digits + (size_t)2 * FIXED_COLUMNS);
    }
    __m512 t = _mm512_cvtepi32_ps(_mm512_add_epi32(turn_sums(high), x->high));
    if (digits < 3)
        return t;
    __m512 rest = _mm512_cvtepi32_ps(_mm512_add_epi32(turn_sums(low), x->low));
    return _mm512_fmadd_ps(t, _mm512_set1_ps(256.0F), rest);
}

/* y of a tile; a bit of `nan` for every scale of 255, in the order of the sums. */
FIXED_INLINE __m128 fold_tile(__m512 sums, uint64_t nan)
{
    __m128 y = _mm_add_ps(_mm512_castps512_ps128(sums), _mm512_extractf32x4_ps(sums, 1));
    y = _mm_add_ps(y, _mm512_extractf32x4_ps(sums, 2));
    y = _mm_add_ps(y, _mm512_extractf32x4_ps(sums, 3));
    for (size_t r = 0; nan != 0 && r < TILE_ROWS; r++)
        if ((nan & 0x1111111111111111U << r) != 0)
            y = _mm_mask_mov_ps(y, (__mmask8)(1U << r), _mm_set1_ps(NAN));
    return y;
}

/* Asks for what lies ahead of block `block` of a tile. Streams for parts of a tile, or several
 * tiles side by side, cost a tenth of the speed from memory. */
FIXED_INLINE void ask_ahead(const weight_rows *w, size_t block)
{
    const distance ahead = CODED_AHEAD;
    const uint8_t *lines = w->blocks + TILE_ROWS * 64 * block;
    _mm_prefetch((const char *)w->scales + ahead.first / 16 + TILE_ROWS * 4 * block, _MM_HINT_T0);
    FIXED_UNROLL(4)
    for (size_t line = 0; line < TILE_ROWS; line++)
        ask(lines + 64 * line, ahead);
}

FIXED_INLINE __m128 dot_tile(const weight_rows *w, const uint8_t *x, size_t groups, unsigned digits)
{
    uint8_t scales[64] __attribute__((aligned(64)));
    __m512 sums = _mm512_setzero_ps();
    uint64_t nan = 0;
    for (size_t first = 0; first < groups; first += SCALE_GROUPS) {
        size_t count = groups - first < SCALE_GROUPS ? groups - first : SCALE_GROUPS;
        __m512i turned = turn_scales(w->scales + first, w->scales_stride, count);
        nan |= _mm512_cmpeq_epi8_mask(turned, _mm512_set1_epi8(-1));
        _mm512_store_si512(scales, turned);
        for (size_t g = 0; g < count; g += FIXED_GROUPS, x += fixed_block_bytes(digits)) {
            activation_block block = open_block(x, digits);
            size_t left = count - g;
            __mmask16 inside = left < FIXED_GROUPS ? (__mmask16)((1U << 4 * left) - 1U) : 0xffff;
            ask_ahead(w, (first + g) / FIXED_GROUPS);
            __m512 t =
                dot_block(w->blocks + 16 * (first + g), w->blocks_stride, inside, &block, digits);
            __m512 f = _mm512_mul_ps(scale_values(scales + 4 * g), block.half_scale);
            sums = _mm512_fmadd_ps(t, f, sums);
        }
    }
    return fold_tile(sums, nan);
}

FIXED_INLINE void dot_all(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                          const uint8_t *x, size_t columns, unsigned digits, float *y)
{
    size_t groups = columns / FIXED_GROUP;
    size_t r = 0;
    for (; r + TILE_ROWS <= rows; r += TILE_ROWS) {
        weight_rows w = {blocks + r * groups * 16, scales + r * groups, groups * 16, groups};
        _mm_storeu_ps(y + r, dot_tile(&w, x, groups, digits));
    }
    for (; r < rows; r++) {
        weight_rows same = {blocks + r * groups * 16, scales + r * groups, 0, 0};
        y[r] = _mm_cvtss_f32(dot_tile(&same, x, groups, digits));
    }
}

static void dot_rows(const uint8_t *blocks, const uint8_t *scales, size_t rows, const uint8_t *x,
                     size_t columns, unsigned digits, float *y)
{
    if (digits == 1)
        dot_all(blocks, scales, rows, x, columns, 1, y);
    else if (digits == 2)
        dot_all(blocks, scales, rows, x, columns, 2, y);
    else
        dot_all(blocks, scales, rows, x, columns, 3, y);
}
