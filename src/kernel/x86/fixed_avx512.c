/* Preparing fixed-point activations with AVX-512 F, BW, DQ and VL. */
#include <string.h>

#include "kernel/fixed.h"
#include "kernel/x86/fixed_pairs.h"
#include "kernel/x86/fixed_round_avx512.h"

/* Takes the lowest digits off, as whole numbers. */
FIXED_INLINE __m512i pop_half(__m512i *whole)
{
    __m512i digit = _mm512_srai_epi32(_mm512_slli_epi32(*whole, 24), 24);
    *whole = _mm512_srai_epi32(_mm512_sub_epi32(*whole, digit), 8);
    return digit;
}

FIXED_INLINE int32_t sum_numbers(group_numbers whole)
{
    return _mm512_reduce_add_epi32(_mm512_add_epi32(whole.first, whole.second));
}

/* Puts 32 digits down, even columns at `to`, odd ones 64 bytes on. */
FIXED_INLINE void store_digits(group_numbers digits, uint8_t *to)
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
FIXED_INLINE void store_group(const float *x, unsigned digits, size_t place, uint8_t *block)
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

FIXED_INLINE void quantise_row(const float *x, size_t n, unsigned digits, uint8_t *row)
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

void fixed_quantise_tile_avx512(const float *const rows[], size_t count, size_t batch,
                                fixed_columns columns, unsigned digits, uint8_t *tile)
{
    (void)batch;
    for (size_t b = 0; b < count; b++)
        quantise(rows[b], columns.count, digits,
                 fixed_columns_at(tile + b * fixed_row_bytes(columns.n, digits), columns, digits));
}

void fixed_overlay_avx512(fixed_table *table)
{
    table->quantise = quantise;
}
