/*
 * The sketch's product over vectors of 64 bytes, for files that first define
 *     digit(low, high, first, second, centre, multipliers, sum)
 *         the sum, with a digit's centred products of four groups of codes times multipliers added
 */
#include <immintrin.h>
#include <stdbool.h>

#include "kernel/ahead.h"

enum { WIDTH = 64, GROUPS = 4, ROWS = 2 };

#define INLINE static inline __attribute__((always_inline))

/* Four multipliers, each in the 32-bit lanes of its group. */
INLINE __m512i spread(uint32_t four)
{
    const __m512i lanes = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    const __m512i bytes = _mm512_or_si512(lanes, _mm512_set1_epi32((int32_t)0x80808000));
    return _mm512_shuffle_epi8(_mm512_set1_epi32((int32_t)four), bytes);
}

/* Where a row lies, and a row to fetch meanwhile. */
typedef struct row_place {
    const uint8_t *codes;
    const uint8_t *multipliers;
    const uint8_t *next_codes;
    const uint8_t *next_multipliers;
} row_place;

/* The digits of x for four groups, and what centres their products. */
typedef struct four_groups {
    __m512i digits[2][2]; /* of each digit the halves */
    __m512i centre[2];
} four_groups;

/* `digits` is x->count, a constant after inlining, here and below. */
INLINE four_groups load_groups(const sketch_vector *x, size_t digits, size_t at, __mmask64 mask)
{
    size_t half = x->groups * (SKETCH_GROUP / 2);
    four_groups v = {0};
    for (size_t d = 0; d < digits; d++) {
        v.digits[d][0] = _mm512_maskz_loadu_epi8(mask, x->digits + 2 * d * half + at);
        v.digits[d][1] = _mm512_maskz_loadu_epi8(mask, x->digits + (2 * d + 1) * half + at);
        v.centre[d] = _mm512_maskz_loadu_epi8(mask, (const int8_t *)x->centre + d * half + at);
    }
    return v;
}

INLINE void add_groups(__m512i codes, uint32_t multipliers, const four_groups *x, size_t digits,
                       __m512i sums[2])
{
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i low = _mm512_and_si512(codes, nibble);
    __m512i high = _mm512_and_si512(_mm512_srli_epi16(codes, 4), nibble);
    __m512i spread_out = spread(multipliers);
    for (size_t d = 0; d < digits; d++)
        sums[d] =
            digit(low, high, x->digits[d][0], x->digits[d][1], x->centre[d], spread_out, sums[d]);
}

/* What to fetch when row r of `count` rows is at byte `at`: rows one behind another as they lie, so
 * far ahead, which is a quarter faster than a stream for each. */
INLINE void fetch_codes(const row_place *rows, size_t count, size_t r, size_t at, bool in_order,
                        distance ahead)
{
    if (in_order)
        ask(rows[0].codes + at * count + r * WIDTH, ahead);
    else
        _mm_prefetch((const char *)rows[r].next_codes + at, _MM_HINT_T0);
}

/* The products of `count` rows, which share the loads of x. The numbers and distances are constants
 * after inlining, here and below. */
INLINE void product_rows(const row_place *rows, size_t count, const sketch_vector *x, size_t digits,
                         bool in_order, distance ahead, int64_t *out)
{
    size_t half = x->groups * (SKETCH_GROUP / 2);
    __m512i sums[ROWS][2];
    size_t at = 0;
    for (size_t r = 0; r < count; r++) {
        sums[r][0] = sums[r][1] = _mm512_setzero_si512();
        for (size_t byte = 0; byte < x->groups; byte += WIDTH)
            _mm_prefetch((const char *)rows[r].next_multipliers + byte, _MM_HINT_T1);
    }
    for (; at + WIDTH <= half; at += WIDTH) {
        four_groups v = load_groups(x, digits, at, UINT64_MAX);
#pragma GCC unroll 4
        for (size_t r = 0; r < count; r++) {
            uint32_t four;
            memcpy(&four, rows[r].multipliers + at / (WIDTH / GROUPS), sizeof four);
            fetch_codes(rows, count, r, at, in_order, ahead);
            add_groups(_mm512_loadu_si512(rows[r].codes + at), four, &v, digits, sums[r]);
        }
    }
    if (at < half) {
        __mmask64 mask = (1ULL << (half - at)) - 1;
        four_groups v = load_groups(x, digits, at, mask);
        for (size_t r = 0; r < count; r++) {
            uint32_t four = 0;
            for (size_t i = (half - at) / (WIDTH / GROUPS); i-- > 0;)
                four = four << 8 | rows[r].multipliers[at / (WIDTH / GROUPS) + i];
            fetch_codes(rows, count, r, at, in_order, ahead);
            add_groups(_mm512_maskz_loadu_epi8(mask, rows[r].codes + at), four, &v, digits,
                       sums[r]);
        }
    }
    for (size_t r = 0; r < count; r++) {
        out[r] = 0;
        for (size_t d = 0; d < digits; d++)
            out[r] = 256 * out[r] + _mm512_reduce_add_epi32(sums[r][d]);
    }
}

/* Places of `count` rows from ids[first] on. */
INLINE void find_places(const sketch_rows *rows, size_t first, size_t count, size_t groups,
                        row_place *places)
{
    size_t half = groups * (SKETCH_GROUP / 2);
    size_t all = rows->count + rows->next;
    for (size_t r = 0; r < count; r++) {
        size_t i = first + r;
        uint32_t id = rows->ids[i];
        uint32_t next = i + SKETCH_AHEAD < all ? rows->ids[i + SKETCH_AHEAD] : id;
        places[r] = (row_place){rows->plane + id * half, rows->multipliers + id * groups,
                                rows->plane + next * half, rows->multipliers + next * groups};
    }
}

INLINE void product_all(const sketch_rows *rows, const sketch_vector *x, size_t digits,
                        bool in_order, distance ahead, int64_t *sums)
{
    for (size_t first = 0; first < rows->count; first += ROWS) {
        size_t count = rows->count - first < ROWS ? rows->count - first : ROWS;
        row_place places[ROWS];
        find_places(rows, first, count, x->groups, places);
        if (count == ROWS)
            product_rows(places, ROWS, x, digits, in_order, ahead, sums + first);
        else
            for (size_t r = 0; r < count; r++)
                product_rows(places + r, 1, x, digits, in_order, ahead, sums + first + r);
    }
}

INLINE void product_digits(const sketch_rows *rows, const sketch_vector *x, size_t digits,
                           distance ahead, int64_t *sums)
{
    size_t last = rows->count + rows->next - 1;
    if (rows->count > 0 && rows->ids[last] - rows->ids[0] == last)
        product_all(rows, x, digits, true, ahead, sums);
    else
        product_all(rows, x, digits, false, ahead, sums);
}

INLINE void product_ahead(const sketch_rows *rows, const sketch_vector *x, distance ahead,
                          int64_t *sums)
{
    if (x->count == 1)
        product_digits(rows, x, 1, ahead, sums);
    else
        product_digits(rows, x, 2, ahead, sums);
}

static void product(const sketch_rows *rows, const sketch_vector *x, int64_t *sums)
{
    product_ahead(rows, x, (distance){0, 12288}, sums);
}
