/* Fixed-point activations with AVX2 and FMA. */
#include <string.h>

#include "kernel/x86/fixed_avx2.h"

/* Takes the lowest digits off and puts them down, even columns at `to` and odd ones 64 bytes on. */
INLINE void pop_digits(__m256i whole[4], uint8_t *to)
{
    __m256i digits = pop_columns(whole);
    _mm_storeu_si128((__m128i *)(void *)to, _mm256_castsi256_si128(digits));
    _mm_storeu_si128((__m128i *)(void *)(to + 64), _mm256_extracti128_si256(digits, 1));
}

/* Puts group `place` of a block down. */
static void store_group(const float *x, unsigned digits, size_t place, uint8_t *block)
{
    fixed_tail *tail = (fixed_tail *)(void *)(block + (size_t)FIXED_COLUMNS * digits);
    uint8_t *to = block + 16 * place;
    __m256i whole[4];
    tail->half_scale[place] = 0.5F * round_group(x, limit_of(digits), whole);
    tail->low[place] = 0;
    if (digits == 3) {
        int32_t sum = sum_numbers(whole);
        pop_digits(whole, to + (size_t)2 * FIXED_COLUMNS);
        tail->low[place] = -FIXED_OFFSET * (sum - 256 * sum_numbers(whole));
    }
    tail->high[place] = -FIXED_OFFSET * sum_numbers(whole);
    tail->none[place] = 0;
    if (digits > 1)
        pop_digits(whole, to + FIXED_COLUMNS);
    pop_digits(whole, to);
}

static void quantise(const float *x, size_t n, unsigned digits, uint8_t *row)
{
    size_t groups = n / FIXED_GROUP;
    size_t bytes = fixed_block_bytes(digits);
    if (groups % FIXED_GROUPS != 0)
        memset(row + groups / FIXED_GROUPS * bytes, 0, bytes);
    for (size_t g = 0; g < groups; g++)
        store_group(x + g * FIXED_GROUP, digits, g % FIXED_GROUPS, row + g / FIXED_GROUPS * bytes);
}

void fixed_overlay_avx2(fixed_table *table)
{
    *table =
        (fixed_table){quantise, fixed_quantise_tile_avx2, fixed_dot_rows_avx2, fixed_multiply_avx2};
}
