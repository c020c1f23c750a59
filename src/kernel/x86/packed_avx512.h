/* Unpacking 64 numbers of a packed row with AVX-512 BW. */
#ifndef KERNEL_X86_PACKED_AVX512_H
#define KERNEL_X86_PACKED_AVX512_H

#include <immintrin.h>
#include <stdint.h>

/* A row's sixteen high bytes, four times. */
typedef __m512i place_table;

static inline place_table table_load(const uint8_t *table)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)table));
}

/* Two vectors of BF16 numbers, columns 0 .. 31 and 32 .. 63: 32-bit lane l has column l in its
 * lower half and column 16 + l in its upper. */
static inline void steps_unpack(const uint8_t *low, const uint8_t *pairs, place_table table,
                                __m512i out[2])
{
    const __m512i shifts = _mm512_setr_epi64(0, 0, 0, 0, 4, 4, 4, 4);
    __m512i lows = _mm512_loadu_si512(low);
    __m512i both = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)pairs));
    __m512i places = _mm512_and_si512(_mm512_srlv_epi64(both, shifts), _mm512_set1_epi8(15));
    __m512i highs = _mm512_shuffle_epi8(table, places);
    out[0] = _mm512_unpacklo_epi8(lows, highs);
    out[1] = _mm512_unpackhi_epi8(lows, highs);
}

#endif
