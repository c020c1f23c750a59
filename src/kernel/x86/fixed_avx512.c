/* Preparing fixed-point activations and unpacking MXFP4 panels with AVX-512 F, BW, DQ and VL. */
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "base/number.h"
#include "kernel/fixed.h"

#define INLINE static inline __attribute__((always_inline))

/* ---- activations ----------------------------------------------------------------------------- */

/* 32 whole numbers. */
typedef struct group_numbers {
    __m512i first;
    __m512i second;
} group_numbers;

INLINE __m512i round_half(__m512 x, float inverse, float limit)
{
    __m512 scaled = _mm512_mul_ps(x, _mm512_set1_ps(inverse));
    scaled = _mm512_min_ps(scaled, _mm512_set1_ps(limit));
    scaled = _mm512_max_ps(scaled, _mm512_set1_ps(-limit));
    return _mm512_cvt_roundps_epi32(scaled, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* The whole numbers of a group; returns its scale. */
INLINE float round_group(const float *x, float limit, group_numbers *whole)
{
    __m512 first = _mm512_loadu_ps(x);
    __m512 second = _mm512_loadu_ps(x + 16);
    __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    uint32_t bits = _mm512_reduce_max_epu32(
        _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(first), magnitude),
                         _mm512_and_si512(_mm512_castps_si512(second), magnitude)));
    float largest = float_from_bits(bits);
    whole->first = whole->second = _mm512_setzero_si512();
    if (bits >= 0x7f800000U)
        return NAN;
    if (largest < 0x1p-96F)
        return 0.0F;
    float inverse = limit / largest;
    whole->first = round_half(first, inverse, limit);
    whole->second = round_half(second, inverse, limit);
    return largest / limit;
}

/* Takes the lowest digits off, as whole numbers. */
INLINE __m512i pop_half(__m512i *whole)
{
    __m512i digit = _mm512_srai_epi32(_mm512_slli_epi32(*whole, 24), 24);
    *whole = _mm512_srai_epi32(_mm512_sub_epi32(*whole, digit), 8);
    return digit;
}

INLINE int32_t sum_numbers(group_numbers whole)
{
    return _mm512_reduce_add_epi32(_mm512_add_epi32(whole.first, whole.second));
}

/* Puts 32 digits down, even columns at `to`, odd ones 64 bytes on. */
INLINE void store_digits(group_numbers digits, uint8_t *to)
{
    const __m256i parts = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
    __m256i bytes =
        _mm256_set_m128i(_mm512_cvtepi32_epi8(digits.second), _mm512_cvtepi32_epi8(digits.first));
    bytes = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(bytes, parts), 0xd8);
    _mm_storeu_si128((__m128i *)(void *)to, _mm256_castsi256_si128(bytes));
    _mm_storeu_si128((__m128i *)(void *)(to + 64), _mm256_extracti128_si256(bytes, 1));
}

/* Puts group `place` of a block down. */
INLINE void store_group(const float *x, unsigned digits, size_t place, uint8_t *block)
{
    const float limit = digits == 1 ? 127.0F : digits == 2 ? 32639.0F : 8355711.0F;
    fixed_tail *tail = (fixed_tail *)(void *)(block + (size_t)FIXED_COLUMNS * digits);
    group_numbers whole;
    int32_t low = 0;
    tail->half_scale[place] = 0.5F * round_group(x, limit, &whole);
    if (digits == 3) {
        group_numbers popped = {pop_half(&whole.first), pop_half(&whole.second)};
        low = sum_numbers(popped);
        store_digits(popped, block + (size_t)2 * FIXED_COLUMNS + 16 * place);
    }
    tail->high[place] = -FIXED_OFFSET * sum_numbers(whole);
    tail->low[place] = -FIXED_OFFSET * low;
    if (digits > 1) {
        group_numbers popped = {pop_half(&whole.first), pop_half(&whole.second)};
        store_digits(popped, block + FIXED_COLUMNS + 16 * place);
    }
    store_digits(whole, block + 16 * place);
}

INLINE void quantise_row(const float *x, size_t n, unsigned digits, uint8_t *row)
{
    size_t groups = n / FIXED_GROUP;
    size_t bytes = fixed_block_bytes(digits);
    if (groups % FIXED_GROUPS != 0)
        memset(row + groups / FIXED_GROUPS * bytes, 0, bytes);
    for (size_t g = 0; g < groups; g++) {
        uint8_t *block = row + g / FIXED_GROUPS * bytes;
        fixed_tail *tail = (fixed_tail *)(void *)(block + (size_t)FIXED_COLUMNS * digits);
        tail->none[g % FIXED_GROUPS] = 0;
        store_group(x + g * FIXED_GROUP, digits, g % FIXED_GROUPS, block);
    }
}

static void quantise(const float *x, size_t n, unsigned digits, uint8_t *row)
{
    if (digits == 1)
        quantise_row(x, n, 1, row);
    else if (digits == 2)
        quantise_row(x, n, 2, row);
    else
        quantise_row(x, n, 3, row);
}

/* ---- panels ---------------------------------------------------------------------------------- */

/* 16 bytes of each of four rows. */
INLINE __m512i load_four(const uint8_t *row, size_t stride)
{
    const uint8_t *rows[] = {row, row + stride, row + 2 * stride, row + 3 * stride};
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)rows[0]));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)rows[1]), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)rows[2]), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)rows[3]), 3);
}

/* The quads of a group of 16 rows, `stride` bytes apart, to the panel's group at `to`. Register k
 * holds rows k, k + 4, k + 8, k + 12, so that turning 4 x 4 words within its quarters puts the rows
 * in order. */
INLINE void unpack_group(const uint8_t *codes, size_t stride, uint8_t *to)
{
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i rows[4];
    __m512i words[4];
    for (size_t k = 0; k < 4; k++)
        rows[k] = load_four(codes + k * stride, 4 * stride);
    for (size_t k = 0; k < 2; k++) {
        __m512i a = k == 0 ? _mm512_unpacklo_epi32(rows[0], rows[1])
                           : _mm512_unpackhi_epi32(rows[0], rows[1]);
        __m512i b = k == 0 ? _mm512_unpacklo_epi32(rows[2], rows[3])
                           : _mm512_unpackhi_epi32(rows[2], rows[3]);
        words[2 * k] = _mm512_unpacklo_epi64(a, b);
        words[2 * k + 1] = _mm512_unpackhi_epi64(a, b);
    }
    for (size_t k = 0; k < 4; k++) {
        __m512i even = _mm512_and_si512(words[k], nibble);
        __m512i odd = _mm512_and_si512(_mm512_srli_epi16(words[k], 4), nibble);
        _mm512_store_si512(to + k * FIXED_QUAD_BYTES, _mm512_shuffle_epi8(table, even));
        _mm512_store_si512(to + (4 + k) * FIXED_QUAD_BYTES, _mm512_shuffle_epi8(table, odd));
    }
}

/* 2^(scale - 127) of 16 scales. */
INLINE __m512 scale_value(__m512i scale)
{
    __m512i bits = _mm512_slli_epi32(scale, 23);
    bits = _mm512_max_epu32(bits, _mm512_set1_epi32(0x00400000)); /* of scale 0 */
    __mmask16 nan = _mm512_cmpeq_epi32_mask(scale, _mm512_set1_epi32(255));
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(bits, nan, _mm512_set1_epi32(0x7fc00000)));
}

/* The scales of a whole block of 16 rows, `groups` bytes apart. */
INLINE void unpack_scales(const uint8_t *scales, size_t groups, uint8_t *to)
{
    const __m512i row = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i places = _mm512_mullo_epi32(row, _mm512_set1_epi32((int)groups));
    __m512i four = _mm512_i32gather_epi32(places, scales, 1);
    for (size_t g = 0; g < FIXED_GROUPS; g++) {
        __m512i one = _mm512_and_si512(four, _mm512_set1_epi32(255));
        _mm512_store_ps((float *)(void *)(to + g * FIXED_GROUP_BYTES), scale_value(one));
        four = _mm512_srli_epi32(four, 8);
    }
}

/* 16 rows to one half of a panel. */
static void unpack_half(const uint8_t *blocks, const uint8_t *scales, size_t groups, uint8_t *panel)
{
    size_t stride = 16 * groups;
    size_t whole = groups / FIXED_GROUPS * FIXED_GROUPS;
    uint8_t *to_scales = panel + 8 * FIXED_QUAD_BYTES;
    for (size_t g = 0; g < groups; g++)
        unpack_group(blocks + 16 * g, stride, panel + g * FIXED_GROUP_BYTES);
    for (size_t g = 0; g < whole; g += FIXED_GROUPS)
        unpack_scales(scales + g, groups, to_scales + g * FIXED_GROUP_BYTES);
    for (size_t g = whole; g < groups; g++) {
        for (size_t r = 0; r < 16; r++) {
            float value = e8m0_to_float(scales[r * groups + g]);
            memcpy(to_scales + g * FIXED_GROUP_BYTES + 4 * r, &value, sizeof value);
        }
    }
}

/* One row, a number at a time: where there are fewer than 16. */
static void unpack_row(const uint8_t *blocks, const uint8_t *scales, size_t groups, uint8_t *panel)
{
    static const uint8_t table[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
    for (size_t g = 0; g < groups; g++) {
        uint8_t *to = panel + g * FIXED_GROUP_BYTES;
        float scale = e8m0_to_float(scales[g]);
        for (size_t i = 0; i < 16; i++) {
            to[i / 4 * FIXED_QUAD_BYTES + i % 4] = table[blocks[16 * g + i] & 15];
            to[(4 + i / 4) * FIXED_QUAD_BYTES + i % 4] = table[blocks[16 * g + i] >> 4];
        }
        memcpy(to + 8 * FIXED_QUAD_BYTES, &scale, sizeof scale);
    }
}

/* Zeros in groups [first, last). */
static void clear_groups(uint8_t *panel, size_t first, size_t last)
{
    for (size_t g = first; g < last; g++) {
        memset(panel + g * FIXED_GROUP_BYTES, FIXED_OFFSET, 8 * FIXED_QUAD_BYTES);
        memset(panel + g * FIXED_GROUP_BYTES + 8 * FIXED_QUAD_BYTES, 0, FIXED_QUAD_BYTES);
    }
}

static void unpack(const uint8_t *blocks, const uint8_t *scales, size_t rows, size_t columns,
                   uint8_t *panel)
{
    size_t groups = columns / FIXED_GROUP;
    clear_groups(panel, rows == FIXED_PANEL_ROWS ? groups : 0,
                 fixed_blocks(columns) * FIXED_GROUPS);
    size_t r = 0;
    for (; r + 16 <= rows; r += 16)
        unpack_half(blocks + r * 16 * groups, scales + r * groups, groups, panel + 4 * r);
    for (; r < rows; r++)
        unpack_row(blocks + r * 16 * groups, scales + r * groups, groups, panel + 4 * r);
}

void fixed_overlay_avx512(fixed_table *table)
{
    table->quantise = quantise;
    table->unpack = unpack;
}
