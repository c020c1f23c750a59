/*
 * Products of MXFP4 weights with one row of fixed-point activations with AVX2 and FMA.
 *
 * Four weight rows are taken at once, so that they are read nearly in the order in which they lie:
 * a register has two groups of a row. vpmaddubsw multiplies codes without sign by digits with sign
 * and adds pairs, at most 2 * 24 * 128 in magnitude, so that four of them can be added in 16 bits:
 * those of even and of odd columns, and once more in turning two rows into one register. In the end
 *
 *     lane 4 i + r is group i of the two, row r
 */
#include "kernel/x86/fixed_tile_avx2.h"

/* ---- tails of activations -------------------------------------------------------------------- */

/* What belongs to two groups of activations, for every lane. */
typedef struct lane_tail {
    __m256i high;
    __m256i low;
    __m256 half_scale;
} lane_tail;

/* Pairs of groups whose tails are spread once for all rows; those of longer rows are spread for
 * every tile. */
enum { SPREAD_PAIRS = 64 };

INLINE __m256i spread(const void *four, size_t pair)
{
    __m256i lanes = _mm256_set_m128i(_mm_set1_epi32(0x07060504 + 0x08080808 * (int)pair),
                                     _mm_set1_epi32(0x03020100 + 0x08080808 * (int)pair));
    __m256i words = _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)four));
    return _mm256_shuffle_epi8(words, lanes);
}

/* The tails of a block. */
INLINE void spread_tails(const uint8_t *block, unsigned digits, lane_tail to[PAIRS])
{
    const fixed_tail *tail = (const fixed_tail *)(const void *)(block + FIXED_COLUMNS * digits);
    UNROLL(2)
    for (size_t pair = 0; pair < PAIRS; pair++) {
        to[pair].high = spread(tail->high, pair);
        to[pair].low = spread(tail->low, pair);
        to[pair].half_scale = _mm256_castsi256_ps(spread(tail->half_scale, pair));
    }
}

/* A row of activations. */
typedef struct activations {
    const uint8_t *blocks;
    const lane_tail *tails; /* of all pairs, or NULL */
    size_t groups;
} activations;

/* The tails of a block, perhaps spread in `here`. */
INLINE const lane_tail *tails_at(const activations *x, size_t block, unsigned digits,
                                 lane_tail here[PAIRS])
{
    if (x->tails != NULL)
        return x->tails + block * PAIRS;
    spread_tails(x->blocks + block * fixed_block_bytes(digits), digits, here);
    return here;
}

/* ---- products -------------------------------------------------------------------------------- */

/* Codes w2 + 12 of even and of odd columns, of two rows. */
typedef __m256i two_rows[2][2];

INLINE void load_rows(const uint8_t *at, size_t stride, two_rows codes)
{
    for (size_t r = 0; r < 2; r++)
        decode_offset(_mm256_loadu_si256((const __m256i *)(const void *)(at + r * stride)),
                      codes[r]);
}

/* Products with one digit, added up to one number for every half group and row, times `unit`. */
INLINE __m256i multiply_digit(two_rows codes, const uint8_t *digit, __m256i unit)
{
    __m256i even = _mm256_load_si256((const __m256i *)(const void *)digit);
    __m256i odd = _mm256_load_si256((const __m256i *)(const void *)(digit + 64));
    __m256i rows[2];
    for (size_t r = 0; r < 2; r++)
        rows[r] = _mm256_add_epi16(_mm256_maddubs_epi16(codes[r][0], even),
                                   _mm256_maddubs_epi16(codes[r][1], odd));
    __m256i turned = _mm256_add_epi16(_mm256_unpacklo_epi32(rows[0], rows[1]),
                                      _mm256_unpackhi_epi32(rows[0], rows[1]));
    return _mm256_madd_epi16(turned, unit);
}

/* What two groups of a tile's two halves add up to. */
typedef struct pair_halves {
    __m256i high[2];
    __m256i low[2];
} pair_halves;

/* x: their digits. */
INLINE void multiply_pair(const uint8_t *tile, size_t stride, const uint8_t *x, unsigned digits,
                          pair_halves *to)
{
    const __m256i one = _mm256_set1_epi16(1);
    UNROLL(2)
    for (size_t r = 0; r < 2; r++) {
        two_rows w;
        load_rows(tile + 2 * r * stride, stride, w);
        to->high[r] = multiply_digit(w, x, digits > 1 ? _mm256_set1_epi16(256) : one);
        if (digits > 1)
            to->high[r] = _mm256_add_epi32(to->high[r], multiply_digit(w, x + FIXED_COLUMNS, one));
        KEEP(to->high[r]);
        if (digits > 2) {
            to->low[r] = multiply_digit(w, x + 2 * FIXED_COLUMNS, one);
            KEEP(to->low[r]);
        }
    }
}

/* t of two groups of a tile. */
INLINE __m256 fold_pair(const pair_halves *halves, const lane_tail *tail, unsigned digits)
{
    __m256 t = _mm256_cvtepi32_ps(
        _mm256_add_epi32(fold_halves(halves->high[0], halves->high[1]), tail->high));
    if (digits < 3)
        return t;
    __m256i sums = _mm256_add_epi32(fold_halves(halves->low[0], halves->low[1]), tail->low);
    return _mm256_fmadd_ps(t, _mm256_set1_ps(256.0F), _mm256_cvtepi32_ps(sums));
}

/* The first pairs of a block of a tile; those that are missing add +0. scales: [group][row]. */
INLINE void dot_block(const uint8_t *ahead, const uint8_t *tile, size_t stride,
                      const uint8_t *scales, bool rare, const uint8_t *x, const lane_tail *tails,
                      size_t pairs, unsigned digits, __m256 sums[PAIRS])
{
    pair_halves halves[PAIRS];
    UNROLL(2)
    for (size_t pair = 0; pair < pairs; pair++) {
        ask(ahead + 128 * pair, AHEAD_TWICE);
        ask(ahead + 128 * pair + 64, AHEAD_TWICE);
        multiply_pair(tile + 32 * pair, stride, x + 32 * pair, digits, &halves[pair]);
    }
    UNROLL(2)
    for (size_t pair = 0; pair < pairs; pair++) {
        __m256 t = fold_pair(&halves[pair], &tails[pair], digits);
        __m256 f =
            _mm256_mul_ps(load_scale_values(scales + 8 * pair, rare), tails[pair].half_scale);
        sums[pair] = _mm256_fmadd_ps(t, f, sums[pair]);
    }
    UNROLL(2)
    for (size_t pair = pairs; pair < PAIRS; pair++)
        sums[pair] = _mm256_add_ps(sums[pair], _mm256_setzero_ps());
}

/* Groups [g, g + count) of a tile, count at most TURN_GROUPS. Returns whether a scale is rare. */
INLINE bool dot_turn(const weight_rows *w, const activations *x, size_t g, size_t count,
                     unsigned digits, bool rare, __m256 sums[PAIRS])
{
    turned_scales turned;
    lane_tail here[PAIRS];
    bool found = turn_scales(w, g, count, &turned);
    size_t block = g / FIXED_GROUPS;
    const uint8_t *digits_at = x->blocks + block * fixed_block_bytes(digits);
    const uint8_t *tile = w->blocks + 16 * g;
    const uint8_t *scales = turned.bytes[0];
    const uint8_t *ahead = w->blocks + TILE_ROWS * 16 * g; /* less the distance */
    _mm_prefetch((const char *)w->scales + AHEAD_SCALES + TILE_ROWS * g, _MM_HINT_T0);
    UNROLL(1)
    for (; count >= FIXED_GROUPS; count -= FIXED_GROUPS) {
        dot_block(ahead, tile, w->blocks_stride, scales, rare, digits_at,
                  tails_at(x, block, digits, here), PAIRS, digits, sums);
        digits_at += fixed_block_bytes(digits);
        tile += 16 * FIXED_GROUPS;
        scales += TILE_ROWS * FIXED_GROUPS;
        ahead += 16 * FIXED_GROUPS * TILE_ROWS;
        block++;
    }
    if (count > 0) {
        last_groups own;
        size_t stride = w->blocks_stride;
        tile = whole_pairs(tile, &stride, count, own);
        dot_block(ahead, tile, stride, scales, rare, digits_at, tails_at(x, block, digits, here),
                  (count + 1) / PAIR_GROUPS, digits, sums);
    }
    return found;
}

/* The products of a tile, whose scales may be 0 if `rare`. Returns whether one is 0 or 255. */
INLINE bool dot_tile(const weight_rows *w, const activations *x, unsigned digits, bool rare,
                     __m128 *products)
{
    size_t g = 0;
    bool found = false;
    __m256 sums[PAIRS] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (; g + TURN_GROUPS <= x->groups; g += TURN_GROUPS)
        found |= dot_turn(w, x, g, TURN_GROUPS, digits, rare, sums);
    if (g < x->groups)
        found |= dot_turn(w, x, g, x->groups - g, digits, rare, sums);
    *products = fold_tile(sums);
    return found;
}

/* A tile with any scales. */
static __m128 dot_rare_tile(const weight_rows *w, const activations *x, unsigned digits)
{
    __m128 y;
    dot_tile(w, x, digits, true, &y);
    return set_nan(w, x->groups, y);
}

INLINE __m128 dot_any_tile(const weight_rows *w, const activations *x, unsigned digits)
{
    __m128 y;
    return dot_tile(w, x, digits, false, &y) ? dot_rare_tile(w, x, digits) : y;
}

INLINE void dot_all(const uint8_t *blocks, const uint8_t *scales, size_t rows, const uint8_t *x,
                    size_t columns, unsigned digits, float *y)
{
    size_t groups = columns / FIXED_GROUP;
    lane_tail tails[SPREAD_PAIRS];
    activations all = {x, NULL, groups};
    size_t r = 0;
    if (fixed_blocks(columns) * PAIRS <= SPREAD_PAIRS) {
        for (size_t i = 0; i < fixed_blocks(columns); i++)
            spread_tails(x + i * fixed_block_bytes(digits), digits, tails + i * PAIRS);
        all.tails = tails;
    }
    for (; r + TILE_ROWS <= rows; r += TILE_ROWS) {
        weight_rows w = {blocks + r * groups * 16, scales + r * groups, groups * 16, groups};
        _mm_storeu_ps(y + r, dot_any_tile(&w, &all, digits));
    }
    for (; r < rows; r++) {
        weight_rows same = {blocks + r * groups * 16, scales + r * groups, 0, 0};
        y[r] = _mm_cvtss_f32(dot_any_tile(&same, &all, digits));
    }
}

INLINE void dot_digits(const uint8_t *blocks, const uint8_t *scales, size_t rows, const uint8_t *x,
                       size_t columns, unsigned digits, float *y)
{
    if (digits == 1)
        dot_all(blocks, scales, rows, x, columns, 1, y);
    else if (digits == 2)
        dot_all(blocks, scales, rows, x, columns, 2, y);
    else
        dot_all(blocks, scales, rows, x, columns, 3, y);
}

/* The published width is worth code of its own: strides and the last groups become constants. */
#define COMMON_COLUMNS 2880

void fixed_dot_rows_avx2(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                         const uint8_t *x, size_t columns, unsigned digits, float *y)
{
    if (columns == COMMON_COLUMNS)
        dot_digits(blocks, scales, rows, x, COMMON_COLUMNS, digits, y);
    else
        dot_digits(blocks, scales, rows, x, columns, digits, y);
}
