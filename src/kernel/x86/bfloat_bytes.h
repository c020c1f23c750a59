/* Unpacking MXFP4 in the order of bytes (bfloat.h), with AVX-512 BW. */
#ifndef KERNEL_X86_BFLOAT_BYTES_H
#define KERNEL_X86_BFLOAT_BYTES_H

#include "kernel/x86/bfloat_steps.h"

/* What decode_scaled_block needs of every value: a quarter has the sixteen values, in two bytes. */
typedef struct byte_tables {
    __m512i exponents; /* less that of 1, and less 1 */
    __m512i signs;
    __m512i fractions; /* their first bit */
    __m512i last_bits; /* where the exponent's last bit goes, of all values but zeros */
    __m512i quarters;  /* number of the quarter */
    __m512i nibble;
    __mmask64 not_zero;
} byte_tables;

/* So that it is kept, and not made anew wherever it is needed. */
INLINE __m512i keep(__m512i value)
{
    __asm__("" : "+v"(value));
    return value;
}

INLINE byte_tables tables_by_bytes(void)
{
    const __m128i exponents = _mm_setr_epi8(-1, -2, -1, -1, 0, 0, 1, 1, -1, -2, -1, -1, 0, 0, 1, 1);
    const __m128i signs =
        _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, -128, -128, -128, -128, -128, -128, -128, -128);
    const __m128i fractions = _mm_setr_epi8(0, 0, 0, 64, 0, 64, 0, 64, 0, 0, 0, 64, 0, 64, 0, 64);
    const __m128i last_bits = _mm_setr_epi8(0, -128, -128, -128, -128, -128, -128, -128, 0, -128,
                                            -128, -128, -128, -128, -128, -128);
    const __m512i quarters = _mm512_set_epi32(
        0x03030303, 0x03030303, 0x03030303, 0x03030303, 0x02020202, 0x02020202, 0x02020202,
        0x02020202, 0x01010101, 0x01010101, 0x01010101, 0x01010101, 0, 0, 0, 0);
    return (byte_tables){keep(_mm512_broadcast_i32x4(exponents)),
                         keep(_mm512_broadcast_i32x4(signs)),
                         keep(_mm512_broadcast_i32x4(fractions)),
                         keep(_mm512_broadcast_i32x4(last_bits)),
                         keep(quarters),
                         keep(_mm512_set1_epi8(15)),
                         0xfefefefefefefefeULL};
}

/*
 * The four steps of a block with their scales, byte by byte: a quarter of the vectors is a group,
 * whose sixteen values, multiplied, are looked up in a table of upper and one of lower bytes.
 * Intel's processors permute words at half the speed of bytes.
 */
INLINE void decode_scaled_block(const byte_tables *tables, const uint8_t *codes,
                                const uint8_t *scales, size_t groups, __m512i out[4])
{
    __m512i scale = _mm512_shuffle_epi8(four_scales(scales, groups), tables->quarters);
    /* the exponent, less 1: halved and rounded up it is the upper byte, its last bit is inverted */
    __m512i exponent = _mm512_add_epi8(tables->exponents, scale);
    __m512i upper = _mm512_or_si512(
        _mm512_maskz_avg_epu8(tables->not_zero, exponent, _mm512_setzero_si512()), tables->signs);
    __m512i lower = /* what is in last_bits and not in the exponent, and the fraction */
        _mm512_ternarylogic_epi64(_mm512_slli_epi16(exponent, 7), tables->last_bits,
                                  tables->fractions, 0xae);
    __m512i bytes = load_codes(codes, groups);
    __m512i first = _mm512_and_si512(bytes, tables->nibble);
    __m512i second = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), tables->nibble);
    __m512i first_upper = _mm512_shuffle_epi8(upper, first);
    __m512i first_lower = _mm512_shuffle_epi8(lower, first);
    __m512i second_upper = _mm512_shuffle_epi8(upper, second);
    __m512i second_lower = _mm512_shuffle_epi8(lower, second);
    out[0] = _mm512_unpacklo_epi8(first_lower, first_upper);
    out[1] = _mm512_unpackhi_epi8(first_lower, first_upper);
    out[2] = _mm512_unpacklo_epi8(second_lower, second_upper);
    out[3] = _mm512_unpackhi_epi8(second_lower, second_upper);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Rows of codes and scales. */
typedef struct coded_rows {
    const uint8_t *codes;
    const uint8_t *scales;
    size_t rows;
    size_t groups; /* of a row */
    bool plain;    /* no scale is an extreme one */
} coded_rows;

static inline coded_rows coded_rows_at(const uint8_t *codes, const uint8_t *scales, size_t rows,
                                       size_t columns)
{
    size_t groups = columns / 32;
    return (coded_rows){codes, scales, rows, groups, scales_are_plain(scales, rows * groups)};
}

/* A block of a row, of which `left` groups or more are there. */
typedef struct coded_block {
    const uint8_t *codes;
    const uint8_t *scales;
    size_t left;
} coded_block;

INLINE coded_block block_at(const coded_rows *from, size_t r, size_t b)
{
    size_t first = r * from->groups + b * CODED_GROUPS;
    return (coded_block){from->codes + first * 16, from->scales + first,
                         from->groups - b * CODED_GROUPS};
}

/* Its four steps, without extreme scales. */
INLINE void unpack_block(const byte_tables *tables, coded_block from, __m512i steps[4])
{
    if (from.left >= CODED_GROUPS)
        decode_scaled_block(tables, from.codes, from.scales, CODED_GROUPS, steps);
    else
        decode_scaled_block(tables, from.codes, from.scales, from.left, steps);
}

/* The same with any. */
static inline void unpack_extreme(coded_block from, __m512i steps[4])
{
    _Alignas(64) uint16_t numbers[BFLOAT_BLOCK_STEPS][STEP];
    bfloat_unpack_block(from.codes, from.scales,
                        from.left < CODED_GROUPS ? from.left : CODED_GROUPS, BFLOAT_BYTES, numbers);
    for (size_t k = 0; k < BFLOAT_BLOCK_STEPS; k++)
        steps[k] = _mm512_load_si512(numbers[k]);
}

#endif
