/*
 * Products of MXFP4 weights with a few rows of fixed-point activations with AVX2 and FMA.
 *
 * Too few to be worth a panel: weights are taken apart in registers, two rows of a tile at a time,
 * and multiplied with all activation rows there. N of two digits fits 16 bits, and the sum of its
 * products with a group's w2 fits 32, so that vpmaddwd multiplies pairs of such numbers; the one
 * digit, or the last of three, is multiplied by vpmaddubsw, as in fixed_one_avx2.c. In the end
 *
 *     lane 4 i + r is group i of the two, row r
 */
#include "kernel/x86/fixed_few_avx2.h"
#include "kernel/x86/fixed_tile_avx2.h"

/* ---- activations ----------------------------------------------------------------------------- */

/*
 * Two groups of an activation row:
 *
 *     | columns 0 4 8 .. of both | 2 6 .. | 1 5 .. | 3 7 .. | 16 bits: h, 256 h + l, 256 h + m
 *     | even columns of both | odd ones |                     8 bits: h, or l of three digits
 *     | pair_tail |
 *
 * the first of two or three digits, the second of one or three.
 */
typedef struct pair_tail {
    float half_scale[PAIR_GROUPS];
    int32_t bytes[PAIR_GROUPS]; /* -12 * their sums */
    int32_t none[4];
} pair_tail;

enum { VECTOR = 32, NUMBERS = 4 * VECTOR, BYTES = 2 * VECTOR };

INLINE size_t numbers_of(unsigned digits)
{
    return digits > 1 ? NUMBERS : 0;
}
INLINE size_t bytes_of(unsigned digits)
{
    return digits != 2 ? BYTES : 0;
}
INLINE size_t pair_bytes(unsigned digits)
{
    return numbers_of(digits) + bytes_of(digits) + sizeof(pair_tail);
}

/* Puts 32 whole numbers down as the first or the second half of what both groups have. */
INLINE void put_numbers(const __m256i whole[4], uint8_t *to)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 2, 6, 1, 5, 3, 7);
    __m256i eights[4];
    for (size_t i = 0; i < 4; i++)
        eights[i] = _mm256_permutevar8x32_epi32(whole[i], order);
    /* columns 0 4 2 6 8 12 10 14 | 1 5 3 7 9 13 11 15, and those 16 on */
    __m256 low = _mm256_castsi256_ps(_mm256_packs_epi32(eights[0], eights[1]));
    __m256 high = _mm256_castsi256_ps(_mm256_packs_epi32(eights[2], eights[3]));
    __m256i first = _mm256_castps_si256(_mm256_shuffle_ps(low, high, 0x88));
    __m256i second = _mm256_castps_si256(_mm256_shuffle_ps(low, high, 0xdd));
    _mm_storeu_si128((__m128i *)(void *)to, _mm256_castsi256_si128(first));
    _mm_storeu_si128((__m128i *)(void *)(to + VECTOR), _mm256_castsi256_si128(second));
    _mm_storeu_si128((__m128i *)(void *)(to + 2 * VECTOR), _mm256_extracti128_si256(first, 1));
    _mm_storeu_si128((__m128i *)(void *)(to + 3 * VECTOR), _mm256_extracti128_si256(second, 1));
}

/* Takes the lowest digits off and puts them down likewise; returns -12 * their sum. */
INLINE int32_t pop_bytes(__m256i whole[4], uint8_t *to)
{
    int32_t sum = sum_numbers(whole);
    __m256i digits = pop_columns(whole);
    _mm_storeu_si128((__m128i *)(void *)to, _mm256_castsi256_si128(digits));
    _mm_storeu_si128((__m128i *)(void *)(to + VECTOR), _mm256_extracti128_si256(digits, 1));
    return -FIXED_OFFSET * (sum - 256 * sum_numbers(whole));
}

INLINE void store_group(const float *x, unsigned digits, size_t place, uint8_t *pair)
{
    pair_tail *tail = (pair_tail *)(void *)(pair + pair_bytes(digits) - sizeof(pair_tail));
    __m256i whole[4];
    tail->half_scale[place] = 0.5F * round_group(x, limit_of(digits), whole);
    tail->bytes[place] =
        digits != 2 ? pop_bytes(whole, pair + numbers_of(digits) + VECTOR / 2 * place) : 0;
    if (digits > 1)
        put_numbers(whole, pair + VECTOR / 2 * place);
}

void fixed_few_quantise_avx2(const float *const rows[], size_t count, fixed_columns columns,
                             unsigned digits, uint8_t *tile)
{
    size_t groups = columns.count / FIXED_GROUP;
    size_t bytes = pair_bytes(digits);
    tile += columns.first / FIXED_COLUMNS * PAIRS * bytes;
    for (size_t b = 0; b < count; b++, tile += fixed_row_bytes(columns.n, digits)) {
        if (groups % PAIR_GROUPS != 0)
            memset(tile + groups / PAIR_GROUPS * bytes, 0, bytes);
        for (size_t g = 0; g < groups; g++)
            store_group(rows[b] + g * FIXED_GROUP, digits, g % PAIR_GROUPS,
                        tile + g / PAIR_GROUPS * bytes);
    }
}

/* ---- products of two groups ------------------------------------------------------------------ */

/* Two groups of a weight row: w2 in the order of the activations' numbers, w2 + 12 in that of their
 * bytes. */
typedef struct row_codes {
    __m256i numbers[4];
    __m256i bytes[2];
} row_codes;

INLINE void take_apart(const uint8_t *row, unsigned digits, row_codes *to)
{
    __m256i codes = _mm256_loadu_si256((const __m256i *)(const void *)row);
    __m256i halves[2];
    if (digits > 1) {
        decode_signed(codes, halves);
        UNROLL(2)
        for (size_t i = 0; i < 2; i++) {
            to->numbers[2 * i] = low_bytes(halves[i]);
            to->numbers[2 * i + 1] = high_bytes(halves[i]);
        }
    }
    if (digits != 2)
        decode_offset(codes, to->bytes);
}

INLINE __m256i load_x(const uint8_t *x)
{
    return _mm256_load_si256((const __m256i *)(const void *)x);
}

/* Sums of the columns that a lane has, of the numbers of two rows, turned into one register:
 * | row 0 | row 1 | row 0 | row 1 | of the first group, then of the second. */
INLINE __m256i multiply_numbers(const row_codes w[2], const uint8_t *x)
{
    __m256i rows[2];
    UNROLL(2)
    for (size_t r = 0; r < 2; r++) {
        __m256i even = _mm256_madd_epi16(w[r].numbers[0], load_x(x));
        __m256i other = _mm256_madd_epi16(w[r].numbers[1], load_x(x + VECTOR));
        KEEP(even);
        KEEP(other);
        __m256i odd = _mm256_madd_epi16(w[r].numbers[2], load_x(x + 2 * VECTOR));
        __m256i last = _mm256_madd_epi16(w[r].numbers[3], load_x(x + 3 * VECTOR));
        KEEP(odd);
        KEEP(last);
        even = _mm256_add_epi32(even, other);
        odd = _mm256_add_epi32(odd, last);
        rows[r] = _mm256_add_epi32(even, odd);
        KEEP(rows[r]);
    }
    return _mm256_add_epi32(_mm256_unpacklo_epi32(rows[0], rows[1]),
                            _mm256_unpackhi_epi32(rows[0], rows[1]));
}

/* The same of the bytes: at most 24 * 128 each, and eight of them in 16 bits. */
INLINE __m256i multiply_bytes(const row_codes w[2], const uint8_t *x)
{
    __m256i rows[2];
    UNROLL(2)
    for (size_t r = 0; r < 2; r++)
        rows[r] = _mm256_add_epi16(_mm256_maddubs_epi16(w[r].bytes[0], load_x(x)),
                                   _mm256_maddubs_epi16(w[r].bytes[1], load_x(x + VECTOR)));
    __m256i turned = _mm256_add_epi16(_mm256_unpacklo_epi32(rows[0], rows[1]),
                                      _mm256_unpackhi_epi32(rows[0], rows[1]));
    return _mm256_madd_epi16(turned, _mm256_set1_epi16(1));
}

/* What two rows of a tile make of an activation row. */
typedef struct half_sums {
    __m256i numbers;
    __m256i bytes;
} half_sums;

/* Each of the two numbers at `two` for a group's lanes. */
INLINE __m256i spread(const void *two)
{
    const __m256i lanes = _mm256_set_m128i(_mm_set1_epi32(0x07060504), _mm_set1_epi32(0x03020100));
    __m128i both = _mm_loadl_epi64((const __m128i *)two);
    return _mm256_shuffle_epi8(_mm256_broadcastq_epi64(both), lanes);
}

/* t of a tile. */
INLINE __m256 join_halves(const half_sums *first, const half_sums *second, const pair_tail *tail,
                          unsigned digits)
{
    __m256 t = _mm256_setzero_ps();
    if (digits > 1)
        t = _mm256_cvtepi32_ps(fold_halves(first->numbers, second->numbers));
    if (digits == 2)
        return t;
    __m256 low = _mm256_cvtepi32_ps(
        _mm256_add_epi32(fold_halves(first->bytes, second->bytes), spread(tail->bytes)));
    return digits == 1 ? low : _mm256_fmadd_ps(t, _mm256_set1_ps(256.0F), low);
}

/* Activation rows. `count` and `digits` are constants after inlining. */
typedef struct few_rows {
    const uint8_t *rows;
    size_t row_bytes;
    size_t count;
    unsigned digits;
} few_rows;

/* Adds two groups of a tile to the sums of all activation rows. scales: [group][row]; x: their
 * pairs. */
INLINE void take_pair(const uint8_t *tile, size_t stride, const uint8_t *scales, few_rows x,
                      __m256 sums[FIXED_FEW_AVX2][PAIRS], size_t pair)
{
    half_sums half[2][FIXED_FEW_AVX2];
    UNROLL(2)
    for (size_t i = 0; i < 2; i++) {
        row_codes w[2];
        take_apart(tile + 2 * i * stride, x.digits, &w[0]);
        take_apart(tile + (2 * i + 1) * stride, x.digits, &w[1]);
        UNROLL(6)
        for (size_t b = 0; b < x.count; b++) {
            const uint8_t *own = x.rows + b * x.row_bytes;
            if (x.digits > 1)
                half[i][b].numbers = multiply_numbers(w, own);
            if (x.digits != 2)
                half[i][b].bytes = multiply_bytes(w, own + numbers_of(x.digits));
        }
    }
    __m256 values = load_scale_values(scales, true);
    UNROLL(6)
    for (size_t b = 0; b < x.count; b++) {
        const pair_tail *tail =
            (const void *)(x.rows + b * x.row_bytes + pair_bytes(x.digits) - sizeof(pair_tail));
        __m256 t = join_halves(&half[0][b], &half[1][b], tail, x.digits);
        __m256 f = _mm256_mul_ps(values, _mm256_castsi256_ps(spread(tail->half_scale)));
        sums[b][pair] = _mm256_fmadd_ps(t, f, sums[b][pair]);
    }
}

/* ---- products of rows ------------------------------------------------------------------------ */

/* What is asked for while a tile is worked on. */
typedef struct tile_ahead {
    const uint8_t *second; /* codes, into the second cache */
    const uint8_t *first;  /* and into the first */
    const uint8_t *scales;
} tile_ahead;

/* The first pairs of a block of a tile; those that are missing add +0. */
INLINE void take_block(const uint8_t *tile, size_t stride, const uint8_t *scales, tile_ahead ahead,
                       size_t at, size_t pairs, few_rows x, __m256 sums[FIXED_FEW_AVX2][PAIRS])
{
    UNROLL(2)
    for (size_t pair = 0; pair < pairs; pair++) {
        UNROLL(2)
        for (size_t line = at + 128 * pair; line < at + 128 * (pair + 1); line += 64) {
            _mm_prefetch((const char *)ahead.second + line, _MM_HINT_T1);
            _mm_prefetch((const char *)ahead.first + line, _MM_HINT_T0);
        }
        take_pair(tile + VECTOR * pair, stride, scales + TILE_ROWS * PAIR_GROUPS * pair, x, sums,
                  pair);
        x.rows += pair_bytes(x.digits);
    }
    UNROLL(2)
    for (size_t pair = pairs; pair < PAIRS; pair++)
        for (size_t b = 0; b < x.count; b++)
            sums[b][pair] = _mm256_add_ps(sums[b][pair], _mm256_setzero_ps());
}

/* Groups [g, g + count) of a tile, count at most TURN_GROUPS. Returns whether a scale is rare. */
INLINE bool take_turn(const weight_rows *w, tile_ahead ahead, size_t g, size_t count, few_rows x,
                      __m256 sums[FIXED_FEW_AVX2][PAIRS])
{
    turned_scales turned;
    bool rare = turn_scales(w, g, count, &turned);
    const uint8_t *tile = w->blocks + 16 * g;
    const uint8_t *scales = turned.bytes[0];
    size_t at = TILE_ROWS * 16 * g; /* of what lies ahead */
    x.rows += g / PAIR_GROUPS * pair_bytes(x.digits);
    _mm_prefetch((const char *)ahead.scales + TILE_ROWS * g, _MM_HINT_T0);
    UNROLL(1)
    for (; count >= FIXED_GROUPS; count -= FIXED_GROUPS) {
        take_block(tile, w->blocks_stride, scales, ahead, at, PAIRS, x, sums);
        x.rows += PAIRS * pair_bytes(x.digits);
        tile += 16 * FIXED_GROUPS;
        scales += TILE_ROWS * FIXED_GROUPS;
        at += 16 * FIXED_GROUPS * TILE_ROWS;
    }
    if (count > 0) {
        last_groups own;
        size_t stride = w->blocks_stride;
        tile = whole_pairs(tile, &stride, count, own);
        take_block(tile, stride, scales, ahead, at, (count + 1) / PAIR_GROUPS, x, sums);
    }
    return rare;
}

/* y[b * y_stride + r] of a tile. */
INLINE void multiply_tile(const weight_rows *w, size_t groups, tile_ahead ahead, few_rows x,
                          __m128 y[FIXED_FEW_AVX2])
{
    __m256 sums[FIXED_FEW_AVX2][PAIRS];
    bool rare = false;
    size_t g = 0;
    for (size_t b = 0; b < x.count; b++)
        sums[b][0] = sums[b][1] = _mm256_setzero_ps();
    for (; g + TURN_GROUPS <= groups; g += TURN_GROUPS)
        rare |= take_turn(w, ahead, g, TURN_GROUPS, x, sums);
    if (g < groups)
        rare |= take_turn(w, ahead, g, groups - g, x, sums);
    for (size_t b = 0; b < x.count; b++) {
        y[b] = fold_tile(sums[b]);
        if (rare)
            y[b] = set_nan(w, groups, y[b]);
    }
}

/* Weight rows, and those that are read next. */
typedef struct few_source {
    const uint8_t *blocks;
    const uint8_t *scales;
    size_t rows;
    fixed_ahead next;
} few_source;

INLINE void multiply_rows(const few_source *w, size_t groups, few_rows x, float *y, size_t y_stride)
{
    size_t all = w->rows * groups;
    for (size_t r = 0; r < w->rows;) {
        size_t rows = w->rows - r < TILE_ROWS ? 1 : TILE_ROWS;
        size_t stride = rows == 1 ? 0 : groups;
        size_t at = r * groups;
        weight_rows tile = {w->blocks + 16 * at, w->scales + at, 16 * stride, stride};
        distance far = AHEAD_TWICE;
        tile_ahead ahead = {byte_ahead(w->blocks, 16 * all, w->next.blocks, 16 * at + far.second),
                            byte_ahead(w->blocks, 16 * all, w->next.blocks, 16 * at + far.first),
                            byte_ahead(w->scales, all, w->next.scales, at + AHEAD_SCALES)};
        __m128 products[FIXED_FEW_AVX2];
        multiply_tile(&tile, groups, ahead, x, products);
        for (size_t b = 0; b < x.count; b++) {
            if (rows == 1)
                _mm_store_ss(y + b * y_stride + r, products[b]);
            else
                _mm_storeu_ps(y + b * y_stride + r, products[b]);
        }
        r += rows;
    }
}

/* The published width is worth code of its own: strides and the last groups become constants. */
enum { COMMON_GROUPS = 2880 / FIXED_GROUP };

#define MULTIPLY_FEW(rows, digits)                                                                 \
    static void multiply_##rows##_##digits(const few_source *w, size_t groups, const uint8_t *x,   \
                                           size_t row_bytes, float *y, size_t y_stride)            \
    {                                                                                              \
        few_rows few = {x, row_bytes, rows, digits};                                               \
        if (groups == COMMON_GROUPS)                                                               \
            multiply_rows(w, COMMON_GROUPS, few, y, y_stride);                                     \
        else                                                                                       \
            multiply_rows(w, groups, few, y, y_stride);                                            \
    }
#define MULTIPLY_DIGITS(rows) MULTIPLY_FEW(rows, 1) MULTIPLY_FEW(rows, 2) MULTIPLY_FEW(rows, 3)
MULTIPLY_DIGITS(1)
MULTIPLY_DIGITS(2)
MULTIPLY_DIGITS(3)
MULTIPLY_FEW(4, 1)
MULTIPLY_FEW(4, 2)
MULTIPLY_FEW(5, 1)
MULTIPLY_FEW(5, 2)
MULTIPLY_FEW(6, 1)
MULTIPLY_FEW(6, 2)

void fixed_few_multiply_avx2(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                             size_t columns, fixed_batch batch, unsigned digits, fixed_ahead ahead,
                             float *y, size_t y_stride)
{
    static void (*const multiply[FIXED_FEW_AVX2][FIXED_MAX_DIGITS])(
        const few_source *, size_t, const uint8_t *, size_t, float *, size_t) = {
        {multiply_1_1, multiply_1_2, multiply_1_3}, {multiply_2_1, multiply_2_2, multiply_2_3},
        {multiply_3_1, multiply_3_2, multiply_3_3}, {multiply_4_1, multiply_4_2, NULL},
        {multiply_5_1, multiply_5_2, NULL},         {multiply_6_1, multiply_6_2, NULL}};
    few_source w = {blocks, scales, rows, ahead};
    multiply[batch.count - 1][digits - 1](&w, columns / FIXED_GROUP, batch.tiles,
                                          fixed_row_bytes(columns, digits), y, y_stride);
}
