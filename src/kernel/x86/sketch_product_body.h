/*
 * The sketch's product over vectors of 64 bytes, for files that first define
 *     digit(low, high, first, second, centre, multipliers, sum)
 *         the sum, with a digit's centred products of four groups of codes times multipliers added
 */
#include <immintrin.h>
#include <stdbool.h>

enum { WIDTH = 64, GROUPS = 4, ROWS = 2 };

#define INLINE static inline __attribute__((always_inline))

/* Four multipliers, each in the 32-bit lanes of its group. */
INLINE __m512i spread(uint32_t four)
{
    const __m512i lanes = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    const __m512i bytes = _mm512_or_si512(lanes, _mm512_set1_epi32((int32_t)0x80808000));
    return _mm512_shuffle_epi8(_mm512_set1_epi32((int32_t)four), bytes);
}

/* Codes to fetch while a row is multiplied, a line at a time, so many bytes apart. */
typedef struct fetched_codes {
    const uint8_t *at;
    size_t step;
} fetched_codes;

/* Where a row lies, and what to fetch meanwhile. */
typedef struct row_place {
    const uint8_t *codes;
    const uint8_t *multipliers;
    const uint8_t *next_multipliers;
    fetched_codes far;
    fetched_codes near; /* of rows sooner wanted, on Zen 4 */
} row_place;

/* On Zen 4 codes come into the second cache first (ahead.h), and so many rows before they are
 * wanted into the first. */
enum { NEAR_ROWS = 3 };

/* Fetches line number `line` of both. */
INLINE void fetch_codes(const row_place *row, size_t line, bool zen4)
{
    _mm_prefetch((const char *)row->far.at + line * row->far.step,
                 zen4 ? _MM_HINT_T1 : _MM_HINT_T0);
    if (zen4)
        _mm_prefetch((const char *)row->near.at + line * row->near.step, _MM_HINT_T0);
}

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

/* The products of `count` rows, which share the loads of x; `count` and `zen4` are constants after
 * inlining. */
INLINE void product_rows(const row_place *rows, size_t count, const sketch_vector *x, size_t digits,
                         bool zen4, int64_t *out)
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
            fetch_codes(&rows[r], at / WIDTH, zen4);
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
            fetch_codes(&rows[r], at / WIDTH, zen4);
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

/* Codes of `count` rows, `ahead` of those from ids[first] on. When they lie one behind another they
 * are fetched as they lie, which is a quarter faster than a stream for each. */
INLINE void find_codes(const sketch_rows *rows, size_t first, size_t count, size_t ahead,
                       size_t half, fetched_codes out[ROWS])
{
    size_t all = rows->count + rows->next;
    bool together = count == ROWS;
    for (size_t r = 0; r < count; r++) {
        size_t i = first + r + ahead < all ? first + r + ahead : first + r;
        out[r] = (fetched_codes){rows->plane + rows->ids[i] * half, WIDTH};
        together &= out[r].at == out[0].at + r * half;
    }
    for (size_t r = 0; together && r < count; r++)
        out[r] = (fetched_codes){out[0].at + r * WIDTH, ROWS * WIDTH};
}

/* Places of `count` rows from ids[first] on. */
INLINE void find_places(const sketch_rows *rows, size_t first, size_t count, size_t groups,
                        bool zen4, row_place *places)
{
    size_t half = groups * (SKETCH_GROUP / 2);
    size_t all = rows->count + rows->next;
    fetched_codes far[ROWS] = {0};
    fetched_codes near[ROWS] = {0};
    find_codes(rows, first, count, SKETCH_AHEAD, half, far);
    if (zen4)
        find_codes(rows, first, count, NEAR_ROWS, half, near);
    for (size_t r = 0; r < count; r++) {
        uint32_t id = rows->ids[first + r];
        size_t ahead = first + r + SKETCH_AHEAD;
        uint32_t next = ahead < all ? rows->ids[ahead] : id;
        places[r] = (row_place){rows->plane + id * half, rows->multipliers + id * groups,
                                rows->multipliers + next * groups, far[r], near[r]};
    }
}

INLINE void product_all(const sketch_rows *rows, const sketch_vector *x, size_t digits, bool zen4,
                        int64_t *sums)
{
    for (size_t first = 0; first < rows->count; first += ROWS) {
        size_t count = rows->count - first < ROWS ? rows->count - first : ROWS;
        row_place places[ROWS];
        find_places(rows, first, count, x->groups, zen4, places);
        if (count == ROWS)
            product_rows(places, ROWS, x, digits, zen4, sums + first);
        else
            for (size_t r = 0; r < count; r++)
                product_rows(places + r, 1, x, digits, zen4, sums + first + r);
    }
}

/* `zen4` is a constant after inlining, here and above. */
INLINE void product_digits(const sketch_rows *rows, const sketch_vector *x, bool zen4,
                           int64_t *sums)
{
    if (x->count == 1)
        product_all(rows, x, 1, zen4, sums);
    else
        product_all(rows, x, 2, zen4, sums);
}

static void product(const sketch_rows *rows, const sketch_vector *x, int64_t *sums)
{
    product_digits(rows, x, false, sums);
}
