/*
 * Products of bfloat16 numbers with AVX-512 BF16: VDPBF16PS adds the products of the odd and then
 * of the even numbers of 16 lanes, each addition rounded.
 */
#include <immintrin.h>
#include <string.h>

#include "kernel/bfloat.h"
#include "kernel/packed.h"
#include "kernel/x86/packed_avx512.h"

#define PRAGMA(text) _Pragma(#text)
#define INLINE       static inline __attribute__((always_inline))
#define UNROLL(n)    PRAGMA(GCC unroll n)

enum {
    STEP = BFLOAT_STEP,
    LANES = STEP / 2,
    BLOCK = BFLOAT_BLOCK,
    ROWS = DENSE_GROUP_ROWS,
};

INLINE __m512 take(__m512 sums, __m512i w, __m512i x)
{
    return _mm512_dpbf16_ps(sums, (__m512bh)w, (__m512bh)x);
}

/* The products of four rows, from the sums of their lanes. */
INLINE __m128 fold_four(const __m512 a[4])
{
    __m512 first = _mm512_add_ps(_mm512_unpacklo_ps(a[0], a[1]), _mm512_unpackhi_ps(a[0], a[1]));
    __m512 second = _mm512_add_ps(_mm512_unpacklo_ps(a[2], a[3]), _mm512_unpackhi_ps(a[2], a[3]));
    __m512d low = _mm512_unpacklo_pd(_mm512_castps_pd(first), _mm512_castps_pd(second));
    __m512d high = _mm512_unpackhi_pd(_mm512_castps_pd(first), _mm512_castps_pd(second));
    __m512 s = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
    return _mm_add_ps(_mm_add_ps(_mm512_castps512_ps128(s), _mm512_extractf32x4_ps(s, 1)),
                      _mm_add_ps(_mm512_extractf32x4_ps(s, 2), _mm512_extractf32x4_ps(s, 3)));
}

INLINE float fold_one(__m512 a)
{
    const __m512 none = _mm512_setzero_ps();
    return _mm_cvtss_f32(fold_four((const __m512[4]){a, none, none, none}));
}

/* ---- rounding -------------------------------------------------------------------------------- */

/* Numbers 0 .. 15 and 16 .. 31 of a step, in its order. */
INLINE __m512i pair_up(__m256i low, __m256i high)
{
    return _mm512_or_si512(_mm512_cvtepu16_epi32(low),
                           _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
}

/* A step of a row as it lies in memory, in its order. */
INLINE __m512i in_order(__m512i step)
{
    const __m512i places = _mm512_setr_epi32(
        16 << 16 | 0, 17 << 16 | 1, 18 << 16 | 2, 19 << 16 | 3, 20 << 16 | 4, 21 << 16 | 5,
        22 << 16 | 6, 23 << 16 | 7, 24 << 16 | 8, 25 << 16 | 9, 26 << 16 | 10, 27 << 16 | 11,
        28 << 16 | 12, 29 << 16 | 13, 30 << 16 | 14, 31 << 16 | 15);
    return _mm512_permutexvar_epi16(places, step);
}

/* Up to 16 floats. */
INLINE __m512 floats(const float *x, size_t count)
{
    __mmask16 inside = (__mmask16)(count < LANES ? (1U << count) - 1U : 0xffffU);
    return _mm512_maskz_loadu_ps(inside, x);
}

INLINE __m256i rounded(const float *x, size_t count)
{
    return (__m256i)_mm512_cvtneps_pbh(floats(x, count));
}

/* The same in the coded order: small ones are zeros, great ones infinite. */
INLINE __m256i rounded_coded(const float *x, size_t count)
{
    const __m512 sign = _mm512_set1_ps(-0.0F);
    const __m512 infinity = _mm512_castsi512_ps(_mm512_set1_epi32(0x7f800000));
    __m512 all = floats(x, count);
    __m512 size = _mm512_andnot_ps(sign, all);
    __mmask16 small = _mm512_cmp_ps_mask(size, _mm512_set1_ps(0x1p-48F), _CMP_LT_OQ);
    __mmask16 great = _mm512_cmp_ps_mask(size, _mm512_set1_ps(0x1p64F), _CMP_GE_OQ);
    all = _mm512_mask_and_ps(all, small, all, sign);
    all = _mm512_mask_or_ps(all, great, _mm512_and_ps(all, sign), infinity);
    return (__m256i)_mm512_cvtneps_pbh(all);
}

/* What of n numbers lies behind number `first`. */
INLINE size_t behind(size_t n, size_t first)
{
    return first < n ? n - first : 0;
}

static void round_dense(const float *x, size_t n, uint16_t *row)
{
    for (size_t k = 0; k < bfloat_blocks(n) * BLOCK; k += STEP)
        _mm512_store_si512(row + k, pair_up(rounded(x + k, behind(n, k)),
                                            rounded(x + k + LANES, behind(n, k + LANES))));
}

/* Four steps: number 4 i + k of a block goes to place i of step k. */
static void round_coded(const float *x, size_t n, uint16_t *row)
{
    /* of 32 numbers, those of k = 0, then of k = 1, ... */
    static const uint16_t by_step[STEP] = {0,  4,  8,  12, 16, 20, 24, 28, 1,  5,  9,
                                           13, 17, 21, 25, 29, 2,  6,  10, 14, 18, 22,
                                           26, 30, 3,  7,  11, 15, 19, 23, 27, 31};
    const __m512i sorted = _mm512_loadu_si512(by_step);
    for (size_t k = 0; k < n; k += 4 * STEP) {
        for (size_t part = 0; part < 4; part++) {
            size_t first = k + part * STEP;
            __m512i step = _mm512_inserti64x4(
                _mm512_castsi256_si512(rounded_coded(x + first, behind(n, first))),
                rounded_coded(x + first + LANES, behind(n, first + LANES)), 1);
            step = _mm512_permutexvar_epi16(sorted, step);
            uint16_t *to = row + k + part * 8;
            _mm_store_si128((__m128i *)(void *)to, _mm512_castsi512_si128(step));
            _mm_store_si128((__m128i *)(void *)(to + STEP), _mm512_extracti32x4_epi32(step, 1));
            _mm_store_si128((__m128i *)(void *)(to + 2 * STEP), _mm512_extracti32x4_epi32(step, 2));
            _mm_store_si128((__m128i *)(void *)(to + 3 * STEP), _mm512_extracti32x4_epi32(step, 3));
        }
    }
}

static void round_row(const float *x, size_t n, bfloat_order order, uint16_t *row)
{
    if (order == BFLOAT_DENSE)
        round_dense(x, n, row);
    else
        round_coded(x, n, row);
}

/* ---- BF16 rows ------------------------------------------------------------------------------- */

/*
 * Weights are asked for twice, as in dense_body.h: the same place of the next four rows into the
 * second cache, and what comes soon into the first.
 */
enum { NEAR = 768, NEAR_PACKED = 5 * DENSE_BLOCK_BYTES, NEAR_CODED = 256 };

/* The mask of `count` words, at most 32. */
INLINE __mmask32 words(size_t count)
{
    return count < STEP ? (1U << count) - 1U : UINT32_MAX;
}

/* One step of `rows` rows into the sums t of their blocks. */
INLINE void bf16_step(const uint8_t *w, size_t rows, const uint16_t *x, size_t k, size_t n,
                      __m512 *t)
{
    __m512i step = _mm512_load_si512(x + k);
    __mmask32 inside = words(n - k);
    UNROLL(4)
    for (size_t r = 0; r < rows; r++) {
        const uint8_t *at = w + 2 * (r * n + k);
        _mm_prefetch((const char *)at + 2 * rows * n, _MM_HINT_T1);
        _mm_prefetch((const char *)at + NEAR, _MM_HINT_T0);
        t[r] = take(t[r], in_order(_mm512_maskz_loadu_epi16(inside, at)), step);
    }
}

INLINE void bf16_rows(const uint8_t *w, size_t rows, const uint16_t *x, size_t n, __m512 *sums)
{
    UNROLL(4)
    for (size_t r = 0; r < rows; r++)
        sums[r] = _mm512_setzero_ps();
    for (size_t first = 0; first < n; first += BLOCK) {
        size_t end = first + BLOCK < n ? first + BLOCK : n;
        __m512 t[ROWS];
        UNROLL(4)
        for (size_t r = 0; r < rows; r++)
            t[r] = _mm512_setzero_ps();
        for (size_t k = first; k < end; k += STEP)
            bf16_step(w, rows, x, k, n, t);
        UNROLL(4)
        for (size_t r = 0; r < rows; r++)
            sums[r] = _mm512_add_ps(sums[r], t[r]);
    }
}

static void dot_bf16(const uint8_t *w, size_t rows, const uint16_t *x, size_t n, float *y)
{
    size_t r = 0;
    for (; r + ROWS <= rows; r += ROWS) {
        __m512 sums[ROWS];
        bf16_rows(w + 2 * r * n, ROWS, x, n, sums);
        _mm_storeu_ps(y + r, fold_four(sums));
    }
    for (; r < rows; r++) {
        __m512 sums;
        bf16_rows(w + 2 * r * n, 1, x, n, &sums);
        y[r] = fold_one(sums);
    }
}

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

/* ---- packed rows ----------------------------------------------------------------------------- */

/* The two steps of a row of a block. */
INLINE void unpack_steps(const uint8_t *block, size_t row, place_table table, __m512i out[2])
{
    steps_unpack(block + 64 * row, block + 256 + 32 * row, table, out);
}

/* Where in its step of 32 the number of a column lies. */
INLINE size_t place_in_step(size_t column)
{
    return column % LANES * 2 + column % STEP / LANES;
}

/* The sums of a group's rows: those of the block under way, and those of the blocks before. A block
 * here is two of the packing's. */
typedef struct packed_sums {
    __m512 t[ROWS];
    __m512 a[ROWS];
} packed_sums;

INLINE void end_block(packed_sums *sums)
{
    UNROLL(4)
    for (size_t r = 0; r < ROWS; r++) {
        sums->a[r] = _mm512_add_ps(sums->a[r], sums->t[r]);
        sums->t[r] = _mm512_setzero_ps();
    }
}

/* Blocks of the packing [begin, end), which have no escapes. */
INLINE void take_blocks(const packed_group *group, size_t begin, size_t end, size_t whole,
                        const uint16_t *x, packed_sums *in_memory)
{
    packed_sums sums = *in_memory;
    const uint8_t *next_group = group->blocks + whole * DENSE_BLOCK_BYTES;
    place_table tables[ROWS];
    UNROLL(4)
    for (size_t r = 0; r < ROWS; r++)
        tables[r] = table_load(group->tables + 16 * r);
    for (size_t i = begin; i < end; i++) {
        const uint8_t *block = group->blocks + i * DENSE_BLOCK_BYTES;
        __m512i first = _mm512_load_si512(x + i * DENSE_BLOCK_COLUMNS);
        __m512i second = _mm512_load_si512(x + i * DENSE_BLOCK_COLUMNS + STEP);
        UNROLL(6)
        for (size_t line = 0; line < DENSE_BLOCK_BYTES / DENSE_LINE; line++) {
            _mm_prefetch((const char *)next_group + (line * whole + i) * DENSE_LINE, _MM_HINT_T1);
            _mm_prefetch((const char *)block + NEAR_PACKED + line * DENSE_LINE, _MM_HINT_T0);
        }
        UNROLL(4)
        for (size_t r = 0; r < ROWS; r++) {
            __m512i w[2];
            unpack_steps(block, r, tables[r], w);
            sums.t[r] = take(take(sums.t[r], w[0], first), w[1], second);
        }
        if (i % 2 == 1)
            end_block(&sums);
    }
    *in_memory = sums;
}

/* A block that has escapes, or the last one. Returns the next escape. */
static size_t take_patched(const packed_group *group, size_t block, size_t escape,
                           const uint16_t *x, packed_sums *sums)
{
    uint16_t w[ROWS][DENSE_BLOCK_COLUMNS];
    for (size_t r = 0; r < ROWS; r++) {
        __m512i out[2];
        unpack_steps(group->blocks + block * DENSE_BLOCK_BYTES, r,
                     table_load(group->tables + 16 * r), out);
        _mm512_storeu_si512(w[r], out[0]);
        _mm512_storeu_si512(w[r] + STEP, out[1]);
    }
    for (; escape < group->escape_count; escape++) {
        uint32_t found = escape_at(group, escape);
        size_t column = found >> 10;
        if (column / DENSE_BLOCK_COLUMNS != block)
            break;
        w[found >> 8 & 3][column % DENSE_BLOCK_COLUMNS / STEP * STEP + place_in_step(column)] |=
            (uint16_t)((found & 255) << 8);
    }
    for (size_t r = 0; r < ROWS; r++)
        for (size_t step = 2 * block; step < 2 * block + 2; step++)
            sums->t[r] = take(sums->t[r], _mm512_loadu_si512(w[r] + step % 2 * STEP),
                              _mm512_load_si512(x + step * STEP));
    if (block % 2 == 1)
        end_block(sums);
    return escape;
}

static void packed_rows(const packed_group *group, const uint16_t *x, size_t n, float *y)
{
    packed_sums sums;
    size_t whole = n / DENSE_BLOCK_COLUMNS;
    size_t blocks = (n + DENSE_BLOCK_COLUMNS - 1) / DENSE_BLOCK_COLUMNS;
    size_t escape = 0;
    for (size_t r = 0; r < ROWS; r++)
        sums.t[r] = sums.a[r] = _mm512_setzero_ps();
    for (size_t block = 0; block < blocks; block++) {
        size_t stop = escape_block(group, escape, whole);
        if (block < stop)
            take_blocks(group, block, stop, whole, x, &sums);
        if (stop < blocks)
            escape = take_patched(group, stop, escape, x, &sums);
        block = stop;
    }
    end_block(&sums);
    _mm_storeu_ps(y, fold_four(sums.a));
}

static void dot_packed(const uint8_t *data, const dense_group *groups, size_t count,
                       const uint16_t *x, size_t n, float *y)
{
    for (size_t g = 0; g < count; g++, y += ROWS) {
        if (groups[g].escapes == DENSE_RAW) {
            dot_bf16(data + (size_t)groups[g].line * DENSE_LINE, ROWS, x, n, y);
        } else {
            packed_group group = group_open(data, &groups[g]);
            packed_rows(&group, x, n, y);
        }
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

/* ---- MXFP4 ----------------------------------------------------------------------------------- */

/* Whether all scales may multiply sums, and be added to exponents of weights. */
static bool scales_are_plain(const uint8_t *scales, size_t groups)
{
    const __m512i least = _mm512_set1_epi8(BFLOAT_LEAST_SCALE);
    const __m512i span = _mm512_set1_epi8(BFLOAT_MOST_SCALE - BFLOAT_LEAST_SCALE);
    __mmask64 odd = 0;
    for (size_t g = 0; g < groups; g += 64) {
        __mmask64 inside = groups - g < 64 ? (1ULL << (groups - g)) - 1 : UINT64_MAX;
        __m512i above = _mm512_sub_epi8(_mm512_maskz_loadu_epi8(inside, scales + g), least);
        odd |= _mm512_mask_cmpgt_epu8_mask(inside, above, span);
    }
    return odd == 0;
}

enum { CODED_GROUPS = 4 };

/* The four steps of a block of 128 columns, of which `groups` groups of 32 are there; without their
 * scales. */
INLINE void decode_block(const uint8_t *codes, size_t groups, __m512i out[4])
{
    const __m512i table = _mm512_broadcast_i64x4(
        _mm256_setr_epi16(0x0000, 0x3f00, 0x3f80, 0x3fc0, 0x4000, 0x4040, 0x4080, 0x40c0,
                          (short)0x8000, (short)0xbf00, (short)0xbf80, (short)0xbfc0, (short)0xc000,
                          (short)0xc040, (short)0xc080, (short)0xc0c0));
    __m512i bytes = groups == CODED_GROUPS
                        ? _mm512_loadu_si512(codes)
                        : _mm512_maskz_loadu_epi32((__mmask16)((1U << 4 * groups) - 1U), codes);
    /* The permutation looks at five bits: the table stands twice, the bit above a code is free. Two
     * of the shifts are multiplications, since permutations and shifts wait for the same units. */
    out[0] = _mm512_permutexvar_epi16(bytes, table);
    out[1] = _mm512_permutexvar_epi16(_mm512_srli_epi16(bytes, 4), table);
    out[2] = _mm512_permutexvar_epi16(_mm512_mulhi_epu16(bytes, _mm512_set1_epi16(1 << 8)), table);
    out[3] = _mm512_permutexvar_epi16(_mm512_mulhi_epu16(bytes, _mm512_set1_epi16(1 << 4)), table);
}

/* The scales of a block's groups, the first in the lowest byte. */
INLINE int32_t four_scales(const uint8_t *scales, size_t groups)
{
    uint32_t four = 0;
    if (groups == CODED_GROUPS) /* one load */
        memcpy(&four, scales, CODED_GROUPS);
    else
        memcpy(&four, scales, groups);
    return (int32_t)four;
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

/* The scales of a block's groups, each in the lanes of its group; 0 past the last of them. */
INLINE __m512 scale_lanes(const uint8_t *scales, size_t groups)
{
    const __m512i top =
        _mm512_set_epi32(/* byte L of the four into the uppermost of quarter L */
                         0x03808080, 0x03808080, 0x03808080, 0x03808080, 0x02808080, 0x02808080,
                         0x02808080, 0x02808080, 0x01808080, 0x01808080, 0x01808080, 0x01808080,
                         0x00808080, 0x00808080, 0x00808080, 0x00808080);
    __m512i exponents = _mm512_shuffle_epi8(_mm512_set1_epi32(four_scales(scales, groups)), top);
    return _mm512_castsi512_ps(_mm512_srli_epi32(exponents, 1));
}

/* Takes a block into a row's sums. */
INLINE __m512 take_coded(__m512 sums, const uint8_t *codes, const uint8_t *scales, size_t groups,
                         const uint16_t *x)
{
    __m512i w[4];
    __m512 t = _mm512_setzero_ps();
    decode_block(codes, groups, w);
    UNROLL(4)
    for (size_t k = 0; k < 4; k++)
        t = take(t, w[k], _mm512_load_si512(x + k * STEP));
    return _mm512_fmadd_ps(t, scale_lanes(scales, groups), sums);
}

/*
 * Eight rows are read together, and what lies sixteen rows further on is asked for meanwhile, line
 * by line: other numbers of rows or distances, or one stream a row, cost a fifth to a half of the
 * speed from memory.
 */
enum { CODED_ROWS = 8, CODED_AHEAD = 16 };

/* `rows` is a constant after inlining. */
INLINE void mxfp4_rows(const uint8_t *blocks, const uint8_t *scales, size_t rows, const uint16_t *x,
                       size_t groups, __m512 sums[CODED_ROWS])
{
    const char *ahead = (const char *)blocks + CODED_AHEAD * groups * 16;
    const char *scales_ahead = (const char *)scales + CODED_AHEAD * groups;
    size_t whole = groups / CODED_GROUPS * CODED_GROUPS;
    UNROLL(8)
    for (size_t r = 0; r < rows; r++)
        sums[r] = _mm512_setzero_ps();
    for (size_t g = 0; g < whole; g += CODED_GROUPS) {
        _mm_prefetch(scales_ahead + rows * g, _MM_HINT_T1);
        UNROLL(8)
        for (size_t r = 0; r < rows; r++) {
            const uint8_t *codes = blocks + (r * groups + g) * 16;
            _mm_prefetch(ahead + r / 4 * 4 * groups * 16 + 64 * (g + r % 4), _MM_HINT_T1);
            _mm_prefetch((const char *)codes + NEAR_CODED, _MM_HINT_T0);
            sums[r] =
                take_coded(sums[r], codes, scales + r * groups + g, CODED_GROUPS, x + g * STEP);
        }
    }
    for (size_t r = 0; r < rows && whole < groups; r++)
        sums[r] = take_coded(sums[r], blocks + (r * groups + whole) * 16,
                             scales + r * groups + whole, groups - whole, x + whole * STEP);
}

static void dot_mxfp4(const uint8_t *blocks, const uint8_t *scales, size_t rows, const uint16_t *x,
                      size_t columns, float *y)
{
    size_t groups = columns / 32;
    for (size_t r = 0; r < rows;) {
        size_t count = rows - r < CODED_ROWS ? 1 : CODED_ROWS;
        const uint8_t *codes = blocks + r * groups * 16;
        __m512 sums[CODED_ROWS];
        if (!scales_are_plain(scales + r * groups, count * groups)) {
            bfloat_dot_mxfp4_plain(codes, scales + r * groups, count, x, columns, y + r);
        } else if (count == CODED_ROWS) {
            mxfp4_rows(codes, scales + r * groups, CODED_ROWS, x, groups, sums);
            _mm_storeu_ps(y + r, fold_four(sums));
            _mm_storeu_ps(y + r + 4, fold_four(sums + 4));
        } else {
            mxfp4_rows(codes, scales + r * groups, 1, x, groups, sums);
            y[r] = fold_one(sums[0]);
        }
        r += count;
    }
}

/* ---- many rows ------------------------------------------------------------------------------- */

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
    const uint8_t *end = ahead->at + ahead->bytes;
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

void bfloat_overlay_bf16(bfloat_table *table)
{
    *table = (bfloat_table){.round = round_row,
                            .dot_bf16 = dot_bf16,
                            .dot_packed = dot_packed,
                            .dot_mxfp4 = dot_mxfp4,
                            .take_bf16 = take_bf16,
                            .take_packed = take_packed,
                            .take_mxfp4 = take_mxfp4,
                            .multiply = multiply};
}
