/* Products of MXFP4 weights with a batch of fixed-point activations with AVX2 and FMA. */
#include "kernel/x86/fixed_few_avx2.h"
#include "kernel/x86/pairs_avx2.h"

/* ---- activations ----------------------------------------------------------------------------- */

/*
 * N of two digits fits 16 bits, and the sum of its products with a group's w2 fits 32: vpmaddwd
 * multiplies pairs of such numbers, where digits apart would take twice the instructions. The one
 * digit, or the last of three, is multiplied by vpmaddubsw.
 *
 * A tile has one row after another, and a row one group after another, each as
 *
 *     | 16 pairs of 16 bits: 256 h + l, or 256 h + m of three digits |   of two or three digits
 *     | 8 quads of 8 bits: h, or l of three digits                   |   of one or three
 *     | s / 2 | -12 * sums of quads: two of 16 bits |
 *
 * Pairs 4 k to 4 k + 3 of a group are its columns 8 k + 0 4, 1 5, 2 6, 3 7; quads 2 k and 2 k + 1
 * are columns 8 k + 0 2 4 6 and 1 3 5 7: as the nibbles of four bytes of codes are taken apart. The
 * last two numbers are of the first two and the last two columns of all quads, -12 * sum of N.
 */
enum { QUADS = FIXED_GROUP / 4 };

/* Pairs and quads of a group. */
INLINE size_t pairs_of(unsigned digits)
{
    return digits > 1 ? PAIRS : 0;
}
INLINE size_t quads_of(unsigned digits)
{
    return digits != 2 ? QUADS : 0;
}

/* Where s / 2 of a group is, and the bytes of a group. */
INLINE size_t tail_at(unsigned digits)
{
    return 4 * (pairs_of(digits) + quads_of(digits));
}
INLINE size_t x_bytes(unsigned digits)
{
    return tail_at(digits) + 8;
}

/* Puts 32 whole numbers down as pairs. */
INLINE void put_pairs(const __m256i whole[4], uint8_t *to)
{
    for (size_t i = 0; i < 2; i++) {
        /* columns 0-3 8-11 | 4-7 12-15 */
        __m256i words = _mm256_packs_epi32(whole[2 * i], whole[2 * i + 1]);
        __m128i low = _mm256_castsi256_si128(words);
        __m128i high = _mm256_extracti128_si256(words, 1);
        _mm_storeu_si128((__m128i *)(void *)(to + 32 * i), _mm_unpacklo_epi16(low, high));
        _mm_storeu_si128((__m128i *)(void *)(to + 32 * i + 16), _mm_unpackhi_epi16(low, high));
    }
}

/* Takes the lowest digits off and puts them down as quads; returns -12 * their sums, two of 16
 * bits. */
INLINE int32_t pop_quads(__m256i whole[4], uint8_t *to)
{
    __m256i digits = pop_columns(whole);
    __m128i even = _mm256_castsi256_si128(digits);
    __m128i odd = _mm256_extracti128_si256(digits, 1);
    __m128i first = _mm_unpacklo_epi32(even, odd);
    __m128i second = _mm_unpackhi_epi32(even, odd);
    _mm_storeu_si128((__m128i *)(void *)to, first);
    _mm_storeu_si128((__m128i *)(void *)(to + 16), second);
    const __m128i ones = _mm_set1_epi8(1);
    __m128i sums = _mm_add_epi16(_mm_maddubs_epi16(ones, first), _mm_maddubs_epi16(ones, second));
    sums = _mm_add_epi16(sums, _mm_shuffle_epi32(sums, 0x4e));
    sums = _mm_add_epi16(sums, _mm_shuffle_epi32(sums, 0xb1));
    return _mm_cvtsi128_si32(_mm_mullo_epi16(sums, _mm_set1_epi16(-FIXED_OFFSET)));
}

/* Puts a group of a batch down. */
INLINE void store_batch_group(const float *x, unsigned digits, uint8_t *to)
{
    __m256i whole[4];
    float half_scale = 0.5F * round_group(x, limit_of(digits), whole);
    int32_t sums = 0;
    if (digits != 2)
        sums = pop_quads(whole, to + 4 * pairs_of(digits));
    if (digits > 1)
        put_pairs(whole, to);
    memcpy(to + tail_at(digits), &half_scale, sizeof half_scale);
    memcpy(to + tail_at(digits) + 4, &sums, sizeof sums);
}

void fixed_quantise_tile_avx2(const float *const rows[], size_t count, size_t batch,
                              fixed_columns columns, unsigned digits, uint8_t *tile)
{
    if (batch <= fixed_few_limit(digits)) {
        fixed_few_quantise_avx2(rows, count, columns, digits, tile);
        return;
    }
    tile += columns.first / FIXED_GROUP * x_bytes(digits);
    for (size_t b = 0; b < count; b++)
        for (size_t g = 0; g < columns.count / FIXED_GROUP; g++)
            store_batch_group(rows[b] + g * FIXED_GROUP, digits,
                              tile + b * fixed_row_bytes(columns.n, digits) + g * x_bytes(digits));
}

/* ---- weights --------------------------------------------------------------------------------- */

/*
 * A panel of weight rows is unpacked some blocks at a time, which stay in the nearest cache for the
 * whole batch. A group has lines of
 *
 *     | 16 pairs w2 |         of two or three digits
 *     | 8 quads w2 + 12 |     of one or three
 *     | 2^(scale - 127) |
 */
INLINE size_t group_bytes(unsigned digits)
{
    return LINE * (pairs_of(digits) + quads_of(digits) + 1);
}

/* Groups that are unpacked at a time, whole blocks: 18, 17 or 13 KB. */
INLINE size_t chunk_groups(unsigned digits)
{
    return digits == 1 ? 16 : digits == 2 ? 8 : 4;
}

/* Up to PANEL_ROWS weight rows. */
typedef struct weight_rows {
    const uint8_t *blocks;
    const uint8_t *scales;
    size_t rows;
    size_t groups;
} weight_rows;

/* 16 bytes of rows r and r + 4. */
INLINE __m256i load_rows(const uint8_t *codes, size_t stride)
{
    return _mm256_set_m128i(_mm_loadu_si128((const __m128i *)(const void *)(codes + 4 * stride)),
                            _mm_loadu_si128((const __m128i *)(const void *)codes));
}

/* A group of LANES rows, `stride` bytes apart. words[k] has bytes 4 k .. 4 k + 3 of every row: quad
 * k in the low nibbles and quad 4 + k in the high ones. */
INLINE void load_group(const uint8_t *codes, size_t stride, __m256i words[4])
{
    __m256i rows[4];
    UNROLL(4)
    for (size_t k = 0; k < 4; k++)
        rows[k] = load_rows(codes + k * stride, stride);
    __m256i a = _mm256_unpacklo_epi32(rows[0], rows[1]);
    __m256i b = _mm256_unpacklo_epi32(rows[2], rows[3]);
    __m256i c = _mm256_unpackhi_epi32(rows[0], rows[1]);
    __m256i d = _mm256_unpackhi_epi32(rows[2], rows[3]);
    words[0] = _mm256_unpacklo_epi64(a, b);
    words[1] = _mm256_unpackhi_epi64(a, b);
    words[2] = _mm256_unpacklo_epi64(c, d);
    words[3] = _mm256_unpackhi_epi64(c, d);
}

INLINE void store_pairs(const __m256i words[4], uint8_t *to)
{
    UNROLL(4)
    for (size_t k = 0; k < 4; k++) {
        __m256i numbers[2];
        decode_signed(words[k], numbers);
        UNROLL(2)
        for (size_t i = 0; i < 2; i++) {
            store(to + (4 * k + i) * LINE, low_bytes(numbers[i]));
            store(to + (4 * k + i + 2) * LINE, high_bytes(numbers[i]));
        }
    }
}

INLINE void store_quads(const __m256i words[4], uint8_t *to)
{
    UNROLL(4)
    for (size_t k = 0; k < 4; k++) {
        __m256i codes[2];
        decode_offset(words[k], codes);
        store(to + 2 * k * LINE, codes[0]);
        store(to + (2 * k + 1) * LINE, codes[1]);
    }
}

INLINE __m128i load_word(const uint8_t *from)
{
    return _mm_loadu_si32(from);
}
INLINE __m128i load_four_words(const uint8_t *from, size_t stride)
{
    __m128i a = _mm_unpacklo_epi32(load_word(from), load_word(from + stride));
    __m128i b = _mm_unpacklo_epi32(load_word(from + 2 * stride), load_word(from + 3 * stride));
    return _mm_unpacklo_epi64(a, b);
}
INLINE __m256i load_words(const uint8_t *from, size_t stride)
{
    return _mm256_set_m128i(load_four_words(from + 4 * stride, stride),
                            load_four_words(from, stride));
}

/* A block of LANES rows, codes `stride` bytes apart and a word of scales of each, to its place in a
 * chunk. */
INLINE void unpack_block(const uint8_t *codes, size_t stride, __m256i scales, unsigned digits,
                         uint8_t *to)
{
    UNROLL(1)
    for (size_t m = 0; m < FIXED_GROUPS; m++, to += group_bytes(digits)) {
        __m256i words[4];
        __m256i scale = scales & _mm256_set1_epi32(255);
        __m256i full = _mm256_cmpeq_epi32(scale, _mm256_set1_epi32(255));
        __m256 values = _mm256_or_ps(scale_values(scale), _mm256_castsi256_ps(full)); /* NaN */
        load_group(codes + 16 * m, stride, words);
        if (digits > 1)
            store_pairs(words, to);
        if (digits != 2)
            store_quads(words, to + pairs_of(digits) * LINE);
        _mm256_store_ps((float *)(void *)(to + group_bytes(digits) - LINE), values);
        scales = _mm256_srli_epi32(scales, 8);
    }
}

/* A block of LANES rows, of which some may be past the end, as may be some groups: zeros. */
typedef struct block_rows {
    uint8_t codes[LANES][16 * FIXED_GROUPS];
    uint8_t scales[LANES][FIXED_GROUPS];
} block_rows;

/* The block at group g of LANES rows from `row` on. */
INLINE void unpack_rows(const weight_rows *w, size_t row, size_t g, unsigned digits, uint8_t *to)
{
    const uint8_t *codes = w->blocks + 16 * (row * w->groups + g);
    const uint8_t *scales = w->scales + row * w->groups + g;
    if (row + LANES <= w->rows && g + FIXED_GROUPS <= w->groups) {
        unpack_block(codes, 16 * w->groups, load_words(scales, w->groups), digits, to);
        return;
    }
    block_rows own = {0};
    size_t groups = w->groups - g < FIXED_GROUPS ? w->groups - g : FIXED_GROUPS;
    for (size_t r = 0; r < LANES && row + r < w->rows; r++) {
        memcpy(own.codes[r], codes + 16 * r * w->groups, 16 * groups);
        memcpy(own.scales[r], scales + r * w->groups, groups);
    }
    unpack_block(own.codes[0], sizeof own.codes[0], load_words(own.scales[0], FIXED_GROUPS), digits,
                 to);
}

/* `count` groups from g, the first of a block, on. */
INLINE void unpack_chunk(const weight_rows *w, size_t g, size_t count, unsigned digits,
                         uint8_t *chunk)
{
    for (size_t row = 0; row < PANEL_ROWS; row += LANES)
        for (size_t i = 0; i < count; i += FIXED_GROUPS)
            unpack_rows(w, row, g + i, digits, chunk + i * group_bytes(digits) + 4 * row);
}

/* ---- products -------------------------------------------------------------------------------- */

/* The sums of a group's quads, which lie at x[b] + at. */
INLINE void multiply_quads(const uint8_t *w, const uint8_t *const x[TILE_ROWS], size_t at,
                           unsigned digits, size_t count, tile_sums sums)
{
    FOR_TILE (count)
        sums[b][p] = spread(x[b] + tail_at(digits) + 4);
    UNROLL(8)
    for (size_t quad = 0; quad < QUADS; quad++) {
        __m256i parts[TILE_PARTS];
        load_line(w + quad * LINE, parts);
        UNROLL(2)
        for (size_t b = 0; b < count; b++) {
            __m256i xs = spread(x[b] + at + 4 * quad);
            TAKE_PARTS(_mm256_maddubs_epi16, _mm256_add_epi16, parts, xs, sums[b])
        }
    }
    FOR_TILE (count)
        sums[b][p] = _mm256_madd_epi16(sums[b][p], _mm256_set1_epi16(1));
}

/* t of a group. */
INLINE void multiply_numbers(const uint8_t *w, const uint8_t *const x[TILE_ROWS], size_t count,
                             unsigned digits, tile_reals t)
{
    tile_sums sums;
    if (digits > 1) {
        multiply_pairs(w, x, count, sums);
        FOR_TILE (count)
            t[b][p] = _mm256_cvtepi32_ps(sums[b][p]);
    }
    if (digits == 2)
        return;
    size_t pairs = pairs_of(digits);
    multiply_quads(w + pairs * LINE, x, 4 * pairs, digits, count, sums);
    FOR_TILE (count) {
        __m256 low = _mm256_cvtepi32_ps(sums[b][p]);
        t[b][p] = digits == 1 ? low : _mm256_fmadd_ps(t[b][p], _mm256_set1_ps(256.0F), low);
    }
}

/* Brings the next tile's group at x into the nearest cache, and of its sums what is to come with
 * group g of `groups`: neither stays there from one chunk to the next. */
INLINE void fetch_group(const uint8_t *x, size_t row_bytes, unsigned digits, size_t g,
                        size_t groups, const float *sums)
{
    size_t lines = (TILE_ROWS * SUMS * sizeof *sums / 64 + groups - 1) / groups;
    for (size_t b = 0; b < TILE_ROWS; b++)
        for (size_t at = 0; at + 32 < x_bytes(digits); at += 64)
            _mm_prefetch((const char *)x + b * row_bytes + at, _MM_HINT_T0);
    for (size_t line = g * lines; line < (g + 1) * lines; line++)
        _mm_prefetch((const char *)sums + 64 * line, _MM_HINT_T0);
}

/* What the groups of a chunk add to the sums of `count` activation rows. x: those of the first. */
INLINE void multiply_tile(const uint8_t *w, size_t groups, const uint8_t *x, size_t row_bytes,
                          size_t count, unsigned digits, float *sums)
{
    const uint8_t *at[TILE_ROWS];
    for (size_t b = 0; b < count; b++)
        at[b] = x + b * row_bytes;
    for (size_t g = 0; g < groups; g++) {
        tile_reals t;
        fetch_group(at[0] + count * row_bytes, row_bytes, digits, g, groups, sums + count * SUMS);
        multiply_numbers(w, at, count, digits, t);
        w += group_bytes(digits);
        for (size_t b = 0; b < count; b++)
            at[b] += tail_at(digits);
        add_group(w - LINE, at, count, t, sums + g % FIXED_GROUPS * PANEL_ROWS);
        for (size_t b = 0; b < count; b++)
            at[b] += x_bytes(digits) - tail_at(digits);
    }
}

/* Memory that is fetched meanwhile, some lines at a step. */
typedef struct fetcher {
    const uint8_t *at;
    size_t lines;
    size_t lines_a_step;
} fetcher;

INLINE void fetch_some(fetcher *f)
{
    for (size_t line = 0; line < f->lines_a_step && f->lines > 0; line++, f->lines--, f->at += 64)
        _mm_prefetch((const char *)f->at, _MM_HINT_T1);
}

/* What a chunk adds to the sums of a batch. x: its groups of the first row. */
INLINE void multiply_chunk(const uint8_t *chunk, size_t groups, const uint8_t *x, size_t row_bytes,
                           size_t batch, unsigned digits, float *sums, fetcher *next)
{
    size_t b = 0;
    for (; b + TILE_ROWS <= batch; b += TILE_ROWS, fetch_some(next))
        multiply_tile(chunk, groups, x + b * row_bytes, row_bytes, TILE_ROWS, digits,
                      sums + b * SUMS);
    for (; b < batch; b++)
        multiply_tile(chunk, groups, x + b * row_bytes, row_bytes, 1, digits, sums + b * SUMS);
    fetch_some(next);
}

/* y[b * y_stride + r] = canonical products of up to PANEL_ROWS rows. */
INLINE void multiply_panel(const weight_rows *w, fixed_batch batch, unsigned digits, uint8_t *chunk,
                           fetcher *next, float *y, size_t y_stride)
{
    size_t row_bytes = fixed_row_bytes(w->groups * FIXED_GROUP, digits);
    float *sums = (float *)(void *)(chunk + chunk_groups(digits) * group_bytes(digits));
    memset(sums, 0, batch.count * SUMS * sizeof *sums);
    for (size_t g = 0; g < w->groups; g += chunk_groups(digits)) {
        size_t left = w->groups - g;
        size_t count = left < chunk_groups(digits) ? left : chunk_groups(digits);
        unpack_chunk(w, g, count, digits, chunk);
        multiply_chunk(chunk, count, batch.tiles + g * x_bytes(digits), row_bytes, batch.count,
                       digits, sums, next);
    }
    size_t padded = w->groups % FIXED_GROUPS == 0 ? FIXED_GROUPS : w->groups % FIXED_GROUPS;
    for (size_t b = 0; b < batch.count; b++)
        fold_row(sums + b * SUMS, w->rows, padded, y + b * y_stride);
}

INLINE void multiply_digits(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                            size_t columns, fixed_batch batch, unsigned digits, uint8_t *chunk,
                            fixed_ahead ahead, float *y, size_t y_stride)
{
    size_t groups = columns / FIXED_GROUP;
    size_t panels = (rows + PANEL_ROWS - 1) / PANEL_ROWS;
    size_t steps = panels * (groups / chunk_groups(digits) + 1) * (batch.count / TILE_ROWS + 1);
    fetcher next = {ahead.blocks, ahead.bytes / 64, ahead.bytes / 64 / steps + 1};
    for (size_t r = 0; r < rows; r += PANEL_ROWS) {
        size_t count = rows - r < PANEL_ROWS ? rows - r : PANEL_ROWS;
        weight_rows w = {blocks + 16 * r * groups, scales + r * groups, count, groups};
        multiply_panel(&w, batch, digits, chunk, &next, y + r, y_stride);
    }
}

void fixed_multiply_avx2(const uint8_t *blocks, const uint8_t *scales, size_t rows, size_t columns,
                         fixed_batch batch, unsigned digits, void *scratch, fixed_ahead ahead,
                         float *y, size_t y_stride)
{
    if (batch.count <= fixed_few_limit(digits))
        fixed_few_multiply_avx2(blocks, scales, rows, columns, batch, digits, ahead, y, y_stride);
    else if (digits == 1)
        multiply_digits(blocks, scales, rows, columns, batch, 1, scratch, ahead, y, y_stride);
    else if (digits == 2)
        multiply_digits(blocks, scales, rows, columns, batch, 2, scratch, ahead, y, y_stride);
    else
        multiply_digits(blocks, scales, rows, columns, batch, 3, scratch, ahead, y, y_stride);
}
