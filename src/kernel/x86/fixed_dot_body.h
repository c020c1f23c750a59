/*
 * One activation row and any number of weight rows, with AVX-512 VNNI. The including file first
 * includes one of fixed_split_avx512.h and fixed_split_vbmi.h.
 */
#include "kernel/fixed.h"

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
FIXED_INLINE __m512 scale_values(__m128i bytes)
{
    __m512i scale = _mm512_cvtepu8_epi32(bytes);
    __m512i bits = _mm512_slli_epi32(scale, 23);
    bits = _mm512_max_epu32(bits, _mm512_set1_epi32(0x00400000)); /* of scale 0 */
    __mmask16 nan = _mm512_cmpeq_epi32_mask(scale, _mm512_set1_epi32(255));
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(bits, nan, _mm512_set1_epi32(0x7fc00000)));
}

/* The scales of `groups` groups of four rows by block, in the order of the sums. */
FIXED_INLINE void turn_scales(const uint8_t *const rows[TILE_ROWS], size_t groups, float (*out)[16])
{
    for (size_t g = 0; g < groups; g += 16) {
        size_t count = groups - g < 16 ? groups - g : 16;
        __mmask16 inside = (__mmask16)((1U << count) - 1U);
        __m128i row[TILE_ROWS];
        FIXED_UNROLL(4)
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

/* t of four groups of four rows. `inside` masks the words of the rows that there are. */
FIXED_INLINE __m512 dot_block(const uint8_t *const rows[TILE_ROWS], __mmask16 inside,
                              const uint8_t *block, unsigned digits)
{
    const fixed_tail *tail =
        (const fixed_tail *)(const void *)(block + (size_t)FIXED_COLUMNS * digits);
    __m512i high[TILE_ROWS];
    __m512i low[TILE_ROWS];
    FIXED_UNROLL(4)
    for (size_t r = 0; r < TILE_ROWS; r++) {
        __m512i v = inside == 0xffff ? _mm512_loadu_si512(rows[r])
                                     : _mm512_maskz_loadu_epi32(inside, rows[r]);
        fixed_codes w = fixed_split(v);
        high[r] = add_digit(_mm512_setzero_si512(), w, block);
        if (digits > 1)
            high[r] = add_digit(_mm512_slli_epi32(high[r], 8), w, block + FIXED_COLUMNS);
        if (digits > 2)
            low[r] = add_digit(_mm512_setzero_si512(), w, block + (size_t)2 * FIXED_COLUMNS);
    }
    __m512 t = _mm512_cvtepi32_ps(_mm512_add_epi32(turn_sums(high), spread(tail->high)));
    if (digits < 3)
        return t;
    __m512 rest = _mm512_cvtepi32_ps(_mm512_add_epi32(turn_sums(low), spread(tail->low)));
    return _mm512_fmadd_ps(t, _mm512_set1_ps(256.0F), rest);
}

/* Four rows of the matrix, of which those past the last may be the last again. */
FIXED_INLINE __m128 dot_tile(const uint8_t *const blocks[TILE_ROWS],
                             const uint8_t *const scales[TILE_ROWS], const uint8_t *x,
                             size_t groups, unsigned digits)
{
    float factors[CHUNK_BLOCKS][16] __attribute__((aligned(64)));
    __m512 sums = _mm512_setzero_ps();
    size_t bytes = fixed_block_bytes(digits);
    for (size_t first = 0; first < groups; first += (size_t)CHUNK_BLOCKS * FIXED_GROUPS) {
        size_t count = groups - first;
        count = count < CHUNK_BLOCKS * FIXED_GROUPS ? count : CHUNK_BLOCKS * FIXED_GROUPS;
        const uint8_t *chunk_scales[TILE_ROWS];
        const uint8_t *chunk[TILE_ROWS];
        FIXED_UNROLL(4)
        for (size_t r = 0; r < TILE_ROWS; r++) {
            chunk_scales[r] = scales[r] + first;
            chunk[r] = blocks[r] + 16 * first;
        }
        turn_scales(chunk_scales, count, factors);
        for (size_t i = 0; i < count; i += FIXED_GROUPS, x += bytes) {
            const fixed_tail *tail =
                (const fixed_tail *)(const void *)(x + (size_t)FIXED_COLUMNS * digits);
            const char *ahead = (const char *)blocks[0] + 64 * (first + i) + AHEAD_BYTES;
            FIXED_UNROLL(4)
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
            FIXED_UNROLL(4)
            for (size_t r = 0; r < TILE_ROWS; r++)
                chunk[r] += 64;
        }
    }
    __m128 y = _mm_add_ps(_mm512_castps512_ps128(sums), _mm512_extractf32x4_ps(sums, 1));
    y = _mm_add_ps(y, _mm512_extractf32x4_ps(sums, 2));
    return _mm_add_ps(y, _mm512_extractf32x4_ps(sums, 3));
}

FIXED_INLINE void dot_all(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                          const uint8_t *x, size_t columns, unsigned digits, float *y)
{
    size_t groups = columns / FIXED_GROUP;
    for (size_t r = 0; r < rows; r += TILE_ROWS) {
        const uint8_t *tile_blocks[TILE_ROWS];
        const uint8_t *tile_scales[TILE_ROWS];
        FIXED_UNROLL(4)
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
