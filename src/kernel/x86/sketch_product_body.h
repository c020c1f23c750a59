/*
 * The sketch's product, written once over four groups of codes, 64 bytes. The including file first
 * defines, inline,
 *     sums_vector, no_sums, total_of   32-bit sums, none yet, and all of them together
 *     x_groups                         what up to four groups of x have in registers, or where it
 *     load_x(x, digits, at, groups)    is; from byte `at` of a half on
 *     add_groups(codes, four, x_groups, groups, digits, sums)
 *                                      adds the groups' centred products of each digit times their
 *                                      multipliers, the bytes of `four`
 *     ROWS                             rows that share what x has in registers
 *     INLINE
 * and includes kernel/sketch.h.
 */
#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "kernel/ahead.h"

enum { WIDTH = 64, GROUPS = 4 };

/* Where a row lies, and a row to fetch meanwhile. */
typedef struct row_place {
    const uint8_t *codes;
    const uint8_t *multipliers;
    const uint8_t *next_codes;
    const uint8_t *next_multipliers;
} row_place;

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

/* The products of `count` rows, which share x. The numbers and distances are constants after
 * inlining, here and below; `digits` is x->count. */
INLINE void product_rows(const row_place *rows, size_t count, const sketch_vector *x, size_t digits,
                         bool in_order, distance ahead, int64_t *out)
{
    size_t half = x->groups * (SKETCH_GROUP / 2);
    sums_vector sums[ROWS][2];
    size_t at = 0;
    for (size_t r = 0; r < count; r++) {
        sums[r][0] = sums[r][1] = no_sums();
        for (size_t byte = 0; byte < x->groups; byte += WIDTH)
            _mm_prefetch((const char *)rows[r].next_multipliers + byte, _MM_HINT_T1);
    }
    for (; at + WIDTH <= half; at += WIDTH) {
        x_groups v = load_x(x, digits, at, GROUPS);
#pragma GCC unroll 4
        for (size_t r = 0; r < count; r++) {
            uint32_t four;
            memcpy(&four, rows[r].multipliers + at / (WIDTH / GROUPS), sizeof four);
            fetch_codes(rows, count, r, at, in_order, ahead);
            add_groups(rows[r].codes + at, four, &v, GROUPS, digits, sums[r]);
        }
    }
    if (at < half) {
        size_t left = (half - at) / (WIDTH / GROUPS);
        x_groups v = load_x(x, digits, at, left);
        for (size_t r = 0; r < count; r++) {
            uint32_t four = 0;
            for (size_t i = left; i-- > 0;)
                four = four << 8 | rows[r].multipliers[at / (WIDTH / GROUPS) + i];
            fetch_codes(rows, count, r, at, in_order, ahead);
            add_groups(rows[r].codes + at, four, &v, left, digits, sums[r]);
        }
    }
    for (size_t r = 0; r < count; r++) {
        out[r] = 0;
        for (size_t d = 0; d < digits; d++)
            out[r] = 256 * out[r] + total_of(sums[r][d]);
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
