/* Fixed-point products with AVX-512 VNNI: four products of bytes and their sum in an instruction.
 */
#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "kernel/fixed.h"

#define PRAGMA(text) _Pragma(#text)
#define INLINE       static inline __attribute__((always_inline))
#define UNROLL(n)    PRAGMA(GCC unroll n)

INLINE __m512i shift_digit(__m512i sums)
{
    return _mm512_slli_epi32(sums, 8);
}

/* ---- one activation row ---------------------------------------------------------------------- */

/*
 * Four weight rows at a time. 64 bytes are four groups of a row: a quarter of a register holds a
 * group's sums, which a transposing addition brings into the order
 *
 *     lane 4 i + r: group i of the block, row r
 */
enum { TILE_ROWS = 4, CHUNK_BLOCKS = 32 };

/* How far ahead weights are fetched: some 500 ns at the memory's speed for one core. */
enum { AHEAD_BYTES = 6144, AHEAD_SCALES = 1536 };

/* Four bytes for each of four groups, [group][row], to 16 values 2^(scale - 127). */
INLINE __m512 scale_values(__m128i bytes)
{
    __m512i scale = _mm512_cvtepu8_epi32(bytes);
    __m512i bits = _mm512_slli_epi32(scale, 23);
    bits = _mm512_max_epu32(bits, _mm512_set1_epi32(0x00400000)); /* of scale 0 */
    __mmask16 nan = _mm512_cmpeq_epi32_mask(scale, _mm512_set1_epi32(255));
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(bits, nan, _mm512_set1_epi32(0x7fc00000)));
}

/* The scales of `groups` groups of four rows by block, in the order of the sums. */
INLINE void turn_scales(const uint8_t *const rows[TILE_ROWS], size_t groups, float (*out)[16])
{
    for (size_t g = 0; g < groups; g += 16) {
        size_t count = groups - g < 16 ? groups - g : 16;
        __mmask16 inside = (__mmask16)((1U << count) - 1U);
        __m128i row[TILE_ROWS];
        UNROLL(4)
        for (size_t r = 0; r < TILE_ROWS; r++)
            row[r] = _mm_maskz_loadu_epi8(inside, rows[r] + g);
        __m128i a = _mm_unpacklo_epi8(row[0], row[1]);
        __m128i b = _mm_unpacklo_epi8(row[2], row[3]);
        __m128i c = _mm_unpackhi_epi8(row[0], row[1]);
        __m128i d = _mm_unpackhi_epi8(row[2], row[3]);
        float(*to)[16] = out + g / 4;
        _mm512_store_ps(to[0], scale_values(_mm_unpacklo_epi16(a, b)));
        _mm512_store_ps(to[1], scale_values(_mm_unpackhi_epi16(a, b)));
        _mm512_store_ps(to[2], scale_values(_mm_unpacklo_epi16(c, d)));
        _mm512_store_ps(to[3], scale_values(_mm_unpackhi_epi16(c, d)));
    }
}

/* The sums of the quarters of four registers, one a row. */
INLINE __m512i turn_sums(const __m512i row[TILE_ROWS])
{
    __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(row[0], row[1]),
                                 _mm512_unpackhi_epi32(row[0], row[1]));
    __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(row[2], row[3]),
                                 _mm512_unpackhi_epi32(row[2], row[3]));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

/* Each of four words, four times. */
INLINE __m512i spread(const void *four)
{
    const __m512i lanes = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    __m128i words = _mm_load_si128((const __m128i *)four);
    return _mm512_permutexvar_epi32(lanes, _mm512_castsi128_si512(words));
}

/* One digit of both columns of every byte. */
INLINE __m512i add_digit(__m512i sums, __m512i even, __m512i odd, const uint8_t *digit)
{
    sums = _mm512_dpbusd_epi32(sums, even, _mm512_load_si512(digit));
    return _mm512_dpbusd_epi32(sums, odd, _mm512_load_si512(digit + 64));
}

/* t of four groups of four rows. `inside` masks the words of the rows that there are. */
INLINE __m512 dot_block(const uint8_t *const rows[TILE_ROWS], __mmask16 inside,
                        const uint8_t *block, unsigned digits)
{
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    const __m512i nibble = _mm512_set1_epi8(15);
    const fixed_tail *tail =
        (const fixed_tail *)(const void *)(block + (size_t)FIXED_COLUMNS * digits);
    __m512i high[TILE_ROWS];
    __m512i low[TILE_ROWS];
    UNROLL(4)
    for (size_t r = 0; r < TILE_ROWS; r++) {
        __m512i v = inside == 0xffff ? _mm512_loadu_si512(rows[r])
                                     : _mm512_maskz_loadu_epi32(inside, rows[r]);
        __m512i even = _mm512_shuffle_epi8(table, _mm512_and_si512(v, nibble));
        __m512i odd = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble));
        high[r] = add_digit(_mm512_setzero_si512(), even, odd, block);
        if (digits > 1)
            high[r] = add_digit(shift_digit(high[r]), even, odd, block + FIXED_COLUMNS);
        if (digits > 2)
            low[r] =
                add_digit(_mm512_setzero_si512(), even, odd, block + (size_t)2 * FIXED_COLUMNS);
    }
    __m512 t = _mm512_cvtepi32_ps(_mm512_add_epi32(turn_sums(high), spread(tail->high)));
    if (digits < 3)
        return t;
    __m512 rest = _mm512_cvtepi32_ps(_mm512_add_epi32(turn_sums(low), spread(tail->low)));
    return _mm512_fmadd_ps(t, _mm512_set1_ps(256.0F), rest);
}

/* Four rows of the matrix, of which those past the last may be the last again. */
INLINE __m128 dot_tile(const uint8_t *const blocks[TILE_ROWS],
                       const uint8_t *const scales[TILE_ROWS], const uint8_t *x, size_t groups,
                       unsigned digits)
{
    float factors[CHUNK_BLOCKS][16] __attribute__((aligned(64)));
    __m512 sums = _mm512_setzero_ps();
    size_t bytes = fixed_block_bytes(digits);
    for (size_t first = 0; first < groups; first += (size_t)CHUNK_BLOCKS * FIXED_GROUPS) {
        size_t count = groups - first;
        count = count < CHUNK_BLOCKS * FIXED_GROUPS ? count : CHUNK_BLOCKS * FIXED_GROUPS;
        const uint8_t *chunk_scales[TILE_ROWS];
        const uint8_t *chunk[TILE_ROWS];
        UNROLL(4)
        for (size_t r = 0; r < TILE_ROWS; r++) {
            chunk_scales[r] = scales[r] + first;
            chunk[r] = blocks[r] + 16 * first;
        }
        turn_scales(chunk_scales, count, factors);
        for (size_t i = 0; i < count; i += FIXED_GROUPS, x += bytes) {
            const fixed_tail *tail =
                (const fixed_tail *)(const void *)(x + (size_t)FIXED_COLUMNS * digits);
            const char *ahead = (const char *)blocks[0] + 64 * (first + i) + AHEAD_BYTES;
            UNROLL(4)
            for (size_t line = 0; line < 4; line++)
                _mm_prefetch(ahead + 64 * line, _MM_HINT_T0);
            __m512 t;
            if (count - i >= FIXED_GROUPS)
                t = dot_block(chunk, 0xffff, x, digits);
            else
                t = dot_block(chunk, (__mmask16)((1U << 4 * (count - i)) - 1U), x, digits);
            __m512 half_scale = _mm512_castsi512_ps(spread(tail->half_scale));
            sums = _mm512_fmadd_ps(
                t, _mm512_mul_ps(_mm512_load_ps(factors[i / FIXED_GROUPS]), half_scale), sums);
            UNROLL(4)
            for (size_t r = 0; r < TILE_ROWS; r++)
                chunk[r] += 64;
        }
    }
    __m128 y = _mm_add_ps(_mm512_castps512_ps128(sums), _mm512_extractf32x4_ps(sums, 1));
    y = _mm_add_ps(y, _mm512_extractf32x4_ps(sums, 2));
    return _mm_add_ps(y, _mm512_extractf32x4_ps(sums, 3));
}

INLINE void dot_all(const uint8_t *blocks, const uint8_t *scales, size_t rows, const uint8_t *x,
                    size_t columns, unsigned digits, float *y)
{
    size_t groups = columns / FIXED_GROUP;
    for (size_t r = 0; r < rows; r += TILE_ROWS) {
        const uint8_t *tile_blocks[TILE_ROWS];
        const uint8_t *tile_scales[TILE_ROWS];
        UNROLL(4)
        for (size_t i = 0; i < TILE_ROWS; i++) {
            size_t row = r + i < rows ? r + i : rows - 1;
            tile_blocks[i] = blocks + row * groups * 16;
            tile_scales[i] = scales + row * groups;
        }
        for (size_t at = 0; at < TILE_ROWS * groups; at += 64)
            _mm_prefetch((const char *)tile_scales[0] + AHEAD_SCALES + at, _MM_HINT_T0);
        __m128 four = dot_tile(tile_blocks, tile_scales, x, groups, digits);
        size_t count = rows - r < TILE_ROWS ? rows - r : TILE_ROWS;
        _mm_mask_storeu_ps(y + r, (__mmask8)((1U << count) - 1U), four);
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

/* ---- a panel and a batch --------------------------------------------------------------------- */

/*
 * A tile of 32 weight rows, in the lanes of two registers, and up to 6 activation rows. The
 * contraction is cut into chunks of 6 blocks, whose weights (27 KB) stay in the nearest cache for
 * the whole batch; the partial sums a_0 .. a_3 are parked in between, [batch][4][32]. Within a
 * chunk the groups of one partial sum are taken together, so that it stays in registers.
 */
enum { TILE_BATCH = 6, TILE_BATCH_3 = 4, PANEL_BLOCKS = 6, PARKED = FIXED_GROUPS * 32 };

/* One tile's view of a chunk. */
typedef struct panel_tile {
    const uint8_t *panel;
    const uint8_t *x[TILE_BATCH];
    size_t blocks;
    float *parked;
    bool first;
} panel_tile;

/* What is fetched meanwhile: some lines at each step. */
typedef struct fetcher {
    const char *at;
    const char *end;
    size_t lines;
} fetcher;

INLINE void fetch(fetcher *f)
{
    for (size_t line = 0; line < f->lines && f->at < f->end; line++, f->at += 64)
        _mm_prefetch(f->at, _MM_HINT_T1);
}

INLINE __m512i broadcast(const void *word)
{
    int32_t value;
    memcpy(&value, word, sizeof value);
    return _mm512_set1_epi32(value);
}

/* sums += one digit of a group; x[b] + at is where its even columns begin. */
INLINE void multiply_digit(const uint8_t *quads, const uint8_t *const x[TILE_BATCH], size_t at,
                           size_t count, __m512i sums[TILE_BATCH][2])
{
    UNROLL(8)
    for (size_t quad = 0; quad < 8; quad++) {
        __m512i first = _mm512_load_si512(quads + quad * FIXED_QUAD_BYTES);
        __m512i second = _mm512_load_si512(quads + quad * FIXED_QUAD_BYTES + 64);
        UNROLL(6)
        for (size_t b = 0; b < count; b++) {
            __m512i four = broadcast(x[b] + at + quad / 4 * 64 + quad % 4 * 4);
            sums[b][0] = _mm512_dpbusd_epi32(sums[b][0], first, four);
            sums[b][1] = _mm512_dpbusd_epi32(sums[b][1], second, four);
        }
    }
}

/* t of a group for a tile; `at` is where the block begins. */
INLINE void multiply_group(const uint8_t *quads, const uint8_t *const x[TILE_BATCH], size_t at,
                           size_t place, size_t count, unsigned digits, __m512 t[TILE_BATCH][2])
{
    size_t tail = at + (size_t)FIXED_COLUMNS * digits + 4 * place;
    __m512i sums[TILE_BATCH][2];
    UNROLL(6)
    for (size_t b = 0; b < count; b++)
        sums[b][0] = sums[b][1] = digits > 1 ? _mm512_setzero_si512()
                                             : broadcast(x[b] + tail + offsetof(fixed_tail, high));
    multiply_digit(quads, x, at + 16 * place, count, sums);
    if (digits > 1) {
        UNROLL(6)
        for (size_t b = 0; b < count; b++) {
            __m512i high = broadcast(x[b] + tail + offsetof(fixed_tail, high));
            sums[b][0] = _mm512_add_epi32(shift_digit(sums[b][0]), high);
            sums[b][1] = _mm512_add_epi32(shift_digit(sums[b][1]), high);
        }
        multiply_digit(quads, x, at + FIXED_COLUMNS + 16 * place, count, sums);
    }
    UNROLL(6)
    for (size_t b = 0; b < count; b++) {
        t[b][0] = _mm512_cvtepi32_ps(sums[b][0]);
        t[b][1] = _mm512_cvtepi32_ps(sums[b][1]);
    }
    if (digits < 3)
        return;
    UNROLL(6)
    for (size_t b = 0; b < count; b++)
        sums[b][0] = sums[b][1] = broadcast(x[b] + tail + offsetof(fixed_tail, low));
    multiply_digit(quads, x, at + (size_t)2 * FIXED_COLUMNS + 16 * place, count, sums);
    UNROLL(6)
    for (size_t b = 0; b < count; b++) {
        const __m512 base = _mm512_set1_ps(256.0F);
        t[b][0] = _mm512_fmadd_ps(t[b][0], base, _mm512_cvtepi32_ps(sums[b][0]));
        t[b][1] = _mm512_fmadd_ps(t[b][1], base, _mm512_cvtepi32_ps(sums[b][1]));
    }
}

/* Partial sum `place` of a tile over a chunk. */
INLINE void multiply_place(const panel_tile *tile, size_t place, size_t count, unsigned digits,
                           fetcher *ahead)
{
    __m512 sums[TILE_BATCH][2];
    float *parked = tile->parked + 32 * place;
    UNROLL(6)
    for (size_t b = 0; b < count; b++) {
        sums[b][0] = tile->first ? _mm512_setzero_ps() : _mm512_load_ps(parked + b * PARKED);
        sums[b][1] = tile->first ? _mm512_setzero_ps() : _mm512_load_ps(parked + b * PARKED + 16);
    }
    for (size_t block = 0; block < tile->blocks; block++) {
        const uint8_t *quads = tile->panel + (block * FIXED_GROUPS + place) * FIXED_GROUP_BYTES;
        const float *scales = (const float *)(const void *)(quads + 8 * FIXED_QUAD_BYTES);
        size_t at = block * fixed_block_bytes(digits);
        size_t half_scale = at + (size_t)FIXED_COLUMNS * digits + 4 * place;
        __m512 t[TILE_BATCH][2];
        fetch(ahead);
        multiply_group(quads, tile->x, at, place, count, digits, t);
        __m512 first = _mm512_load_ps(scales);
        __m512 second = _mm512_load_ps(scales + 16);
        UNROLL(6)
        for (size_t b = 0; b < count; b++) {
            __m512 s = _mm512_castsi512_ps(broadcast(tile->x[b] + half_scale));
            sums[b][0] = _mm512_fmadd_ps(t[b][0], _mm512_mul_ps(first, s), sums[b][0]);
            sums[b][1] = _mm512_fmadd_ps(t[b][1], _mm512_mul_ps(second, s), sums[b][1]);
        }
    }
    UNROLL(6)
    for (size_t b = 0; b < count; b++) {
        _mm512_store_ps(parked + b * PARKED, sums[b][0]);
        _mm512_store_ps(parked + b * PARKED + 16, sums[b][1]);
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
MULTIPLY_TILE(1, 2)
MULTIPLY_TILE(2, 2)
MULTIPLY_TILE(3, 2)
MULTIPLY_TILE(4, 2)
MULTIPLY_TILE(5, 2)
MULTIPLY_TILE(6, 2)
MULTIPLY_TILE(1, 3)
MULTIPLY_TILE(2, 3)
MULTIPLY_TILE(3, 3)
MULTIPLY_TILE(4, 3)

typedef void (*multiply_tile_fn)(const panel_tile *, fetcher *);

static const multiply_tile_fn tiles[FIXED_MAX_DIGITS][TILE_BATCH] = {
    {multiply_1_1, multiply_2_1, multiply_3_1, multiply_4_1, multiply_5_1, multiply_6_1},
    {multiply_1_2, multiply_2_2, multiply_3_2, multiply_4_2, multiply_5_2, multiply_6_2},
    {multiply_1_3, multiply_2_3, multiply_3_3, multiply_4_3, NULL, NULL},
};

/* y[r] = ((a_0 + a_1) + a_2) + a_3 */
static void fold_parked(const float *parked, size_t rows, float *y)
{
    for (size_t r = 0; r < rows; r += 16) {
        size_t count = rows - r < 16 ? rows - r : 16;
        __m512 sum = _mm512_add_ps(_mm512_load_ps(parked + r), _mm512_load_ps(parked + 32 + r));
        sum = _mm512_add_ps(sum, _mm512_load_ps(parked + 64 + r));
        sum = _mm512_add_ps(sum, _mm512_load_ps(parked + 96 + r));
        _mm512_mask_storeu_ps(y + r, (__mmask16)((1U << count) - 1U), sum);
    }
}

static void multiply(const uint8_t *panel, size_t rows, size_t columns, fixed_batch batch,
                     unsigned digits, float *parked, fixed_ahead ahead, float *y, size_t y_stride)
{
    size_t blocks = fixed_blocks(columns);
    size_t row_bytes = fixed_row_bytes(columns, digits);
    size_t widest = digits == 3 ? TILE_BATCH_3 : TILE_BATCH;
    size_t tile_count = (batch.count + widest - 1) / widest;
    size_t steps = tile_count * blocks * FIXED_GROUPS;
    fetcher fetching = {(const char *)ahead.at, (const char *)ahead.at + ahead.bytes,
                        steps == 0 ? 0 : (ahead.bytes / 64 + steps - 1) / steps};
    for (size_t first = 0; first < blocks; first += PANEL_BLOCKS) {
        for (size_t b = 0; b < batch.count; b += widest) {
            size_t count = batch.count - b < widest ? batch.count - b : widest;
            panel_tile tile = {.panel = panel + first * FIXED_GROUPS * FIXED_GROUP_BYTES,
                               .blocks =
                                   blocks - first < PANEL_BLOCKS ? blocks - first : PANEL_BLOCKS,
                               .parked = parked + b * PARKED,
                               .first = first == 0};
            for (size_t i = 0; i < count; i++) {
                size_t row = batch.index == NULL ? b + i : batch.index[b + i];
                tile.x[i] = batch.x + row * row_bytes + first * fixed_block_bytes(digits);
            }
            tiles[digits - 1][count - 1](&tile, &fetching);
        }
    }
    for (size_t b = 0; b < batch.count; b++)
        fold_parked(parked + b * PARKED, rows, y + b * y_stride);
}

void fixed_overlay_vnni(fixed_table *table)
{
    table->dot_rows = dot_rows;
    table->multiply = multiply;
}
