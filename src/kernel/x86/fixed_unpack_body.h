/*
 * Unpacking MXFP4 panels with AVX-512 F, BW, DQ and VL. The including file first includes one of
 * fixed_split_avx512.h and fixed_split_vbmi.h, and one of fixed_factor_product.h and
 * fixed_factor_exponent.h, which says what is kept of a scale.
 */
#include "kernel/x86/fixed_fetch.h"
#include "kernel/x86/fixed_turn.h"

/* About how many cycles a group takes: unpacked, 16 rows; multiplied, a row of x by 32. */
enum { UNPACK_TIME = 32, MULTIPLY_TIME = 10 };

/*
 * A panel holds some blocks of 32 weight rows as bytes w2 + 12, group after group, padded with
 * zeros to whole blocks and to 32 rows:
 *
 *     | quad 0: 32 rows x 4 | quad 1 | ... | quad 7: 32 rows x 4 | of their scales: 32 floats |
 *
 * Quads 0 to 3 are columns 0 2 4 6, 8 10 12 14, ... of the group; 4 to 7 columns 1 3 5 7, ...
 */
#define FIXED_PANEL_ROWS  32
#define FIXED_QUAD_BYTES  (FIXED_PANEL_ROWS * 4)
#define FIXED_GROUP_BYTES (9 * FIXED_QUAD_BYTES)

/* The quads of a group of 16 rows to the panel's group at `to`. */
FIXED_INLINE void unpack_group(const row_block *of, size_t m, uint8_t *to)
{
    __m512i words[4];
    turn_group(of, m, words);
    FIXED_UNROLL(4)
    for (size_t k = 0; k < 4; k++) {
        fixed_codes codes = fixed_split(words[k]);
        _mm512_store_si512(to + k * FIXED_QUAD_BYTES, codes.even);
        _mm512_store_si512(to + (4 + k) * FIXED_QUAD_BYTES, codes.odd);
    }
}

/* Unpacks 16 rows' block to its place in half a panel. */
FIXED_INLINE void unpack_rows(row_block block, fetcher *ahead, uint8_t *to)
{
    __m512i scales = gather_scales(&block);
    FIXED_UNROLL(4)
    for (size_t m = 0; m < FIXED_GROUPS; m++)
        _mm512_store_ps((float *)(void *)(to + m * FIXED_GROUP_BYTES + 8 * FIXED_QUAD_BYTES),
                        kept_scales(scales_of(scales, m)));
    for (size_t m = 0; m < FIXED_GROUPS; m++) {
        fetch_for(ahead, UNPACK_TIME);
        unpack_group(&block, m, to + m * FIXED_GROUP_BYTES);
    }
}

static void unpack_padded(const panel_rows *w, size_t row, size_t g, fetcher *ahead, uint8_t *to)
{
    padded_block own;
    unpack_rows(pad_block(w, row, g, &own), ahead, to);
}

/* Unpacks `count` blocks, the first at group g, of 32 rows from `row` on to a panel. */
static void unpack_panel(const panel_rows *w, size_t row, size_t g, size_t count, fetcher *ahead,
                         uint8_t *panel)
{
    for (size_t half = 0; half < FIXED_PANEL_ROWS; half += FIXED_LANES) {
        uint8_t *to = panel + 4 * half;
        for (size_t at = g; at < g + FIXED_GROUPS * count; at += FIXED_GROUPS) {
            if (block_is_whole(w, row + half, at))
                unpack_rows(block_at(w, row + half, at), ahead, to);
            else
                unpack_padded(w, row + half, at, ahead, to);
            to += FIXED_GROUPS * FIXED_GROUP_BYTES;
        }
    }
}
