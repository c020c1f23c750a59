/*
 * Products of a batch of two digits with AVX-512 VNNI. N of two digits fits 16 bits, so that
 * weights and activations are multiplied as pairs of 16-bit numbers: as many instructions as for
 * two digits apart, the same whole numbers, and neither an offset nor digits to join.
 *
 * A tile of `count` activation rows:
 *
 *     | group 0: count rows x 16 pairs | group 1: ... | half scales: [group][count] |
 *
 * Pairs 4 k to 4 k + 3 of a group are its columns 8 k + 0 4, 1 5, 2 6, 3 7, as the nibbles of 16
 * bits after 16 bits of codes are.
 */
#include <immintrin.h>
#include <string.h>

#include "kernel/x86/fixed_fetch.h"
#include "kernel/x86/fixed_pairs.h"
#include "kernel/x86/fixed_round_avx512.h"
#include "kernel/x86/fixed_turn.h"

enum { PAIRS = FIXED_GROUP / 2, GROUP_BYTES = 2 * FIXED_GROUP };

/* ---- activations ----------------------------------------------------------------------------- */

/* The half scales of a tile. */
FIXED_INLINE size_t tile_scales(size_t groups, size_t count)
{
    return groups * count * GROUP_BYTES;
}

/* Puts a group down as pairs; returns half its scale. */
FIXED_INLINE float store_pairs(const float *x, uint8_t *to)
{
    const __m512i order =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));
    group_numbers whole;
    float scale = round_group(x, 32639.0F, &whole);
    __m512i words = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(whole.first)),
                                       _mm512_cvtepi32_epi16(whole.second), 1);
    _mm512_storeu_si512(to, _mm512_shuffle_epi8(words, order));
    return 0.5F * scale;
}

void fixed_pairs_quantise(const float *const rows[], size_t count, fixed_columns columns,
                          uint8_t *tile)
{
    size_t first = columns.first / FIXED_GROUP;
    float *half_scales =
        (float *)(void *)(tile + tile_scales(columns.n / FIXED_GROUP, count)) + first * count;
    tile += first * count * GROUP_BYTES;
    for (size_t g = 0; g < columns.count / FIXED_GROUP; g++)
        for (size_t b = 0; b < count; b++)
            half_scales[g * count + b] =
                store_pairs(rows[b] + g * FIXED_GROUP, tile + (g * count + b) * GROUP_BYTES);
}

/* ---- weights --------------------------------------------------------------------------------- */

/*
 * Weight rows are taken 16 at a time, a register's lanes: 64 of them in four registers, or up to 32
 * in two. They are unpacked into a chunk, which the nearest cache keeps for the whole batch: up to
 * four groups of
 *
 *     | pair 0: 16 rows x 2 numbers w2, for every register | ... | pair 15 | 2^(scale - 127) |
 *
 * For few rows of x those are the groups of a block. For many the partial sums of all would not
 * stay in that cache: then a run of four blocks is turned, and the groups that add to one partial
 * sum are unpacked at a time.
 */
enum { RUN_BLOCKS = 4, RUN_GROUPS = RUN_BLOCKS * FIXED_GROUPS, FEW_ROWS = 24 };
enum { ROWS = FIXED_MULTIPLY_ROWS, LANES = FIXED_LANES, REGISTERS = ROWS / LANES };
enum { LINES = PAIRS + 1, CHUNK_BYTES = RUN_BLOCKS * LINES * REGISTERS * 64 };

/* About how many cycles it takes to turn a block of a register's rows, to unpack a group of it and
 * to multiply that with a row of x. */
enum { TURN_TIME = 60, UNPACK_TIME = 24, MULTIPLY_TIME = 10 };

/* A run of turned rows. */
typedef struct turned_run {
    __m512i words[FIXED_GROUPS][RUN_BLOCKS][REGISTERS][4];
    __m512i scales[RUN_BLOCKS][REGISTERS];
} turned_run;

/* What `multiply` works on, in its scratch. */
typedef struct workplace {
    turned_run run;
    uint8_t chunk[CHUNK_BYTES];
    float sums[]; /* a_m: [FIXED_GROUPS][batch][ROWS] */
} workplace;

_Static_assert(sizeof(workplace) <= FIXED_UNPACKED, "fits into fixed_scratch_bytes");

/* Bytes of a group of a chunk. */
FIXED_INLINE size_t group_bytes(size_t registers)
{
    return LINES * registers * 64;
}

/* 2^(scale - 127) of 16 scales. */
FIXED_INLINE __m512 scale_values(__m512i scales)
{
    __m512i bits = _mm512_slli_epi32(scales, 23);
    bits = _mm512_max_epu32(bits, _mm512_set1_epi32(0x00400000)); /* of scale 0 */
    __mmask16 nan = _mm512_cmpeq_epi32_mask(scales, _mm512_set1_epi32(255));
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(bits, nan, _mm512_set1_epi32(0x7fc00000)));
}

/* Unpacks a group of 16 rows. Pairs of numbers lie `line` bytes apart. Bytes with sign are made
 * words by vpmaddubsw: vpermw would look words up at once, but needs two units at a time for it. */
FIXED_INLINE void unpack_group(const __m512i words[4], size_t line, uint8_t *to)
{
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12));
    const __m512i nibble = _mm512_set1_epi8(15);
    const __m512i even = _mm512_set1_epi16(0x0001);
    const __m512i odd = _mm512_set1_epi16(0x0100);
    FIXED_UNROLL(4)
    for (size_t k = 0; k < 4; k++) {
        uint8_t *four = to + 4 * k * line;
        __m512i low = _mm512_shuffle_epi8(table, _mm512_and_si512(words[k], nibble));
        __m512i high =
            _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(words[k], 4), nibble));
        _mm512_store_si512(four, _mm512_maddubs_epi16(even, low));
        _mm512_store_si512(four + line, _mm512_maddubs_epi16(even, high));
        _mm512_store_si512(four + 2 * line, _mm512_maddubs_epi16(odd, low));
        _mm512_store_si512(four + 3 * line, _mm512_maddubs_epi16(odd, high));
    }
}

/* A group of register reg's rows to its part of a chunk. */
FIXED_INLINE void put_group(const __m512i words[4], __m512i scales, size_t reg, size_t registers,
                            fetcher *ahead, uint8_t *group)
{
    uint8_t *to = group + 64 * reg;
    fetch_for(ahead, UNPACK_TIME);
    unpack_group(words, registers * 64, to);
    _mm512_store_ps((float *)(void *)(to + PAIRS * registers * 64), scale_values(scales));
}

/* Turns the block at group g of register reg's rows. Returns its scales. */
FIXED_INLINE __m512i turn_rows(const panel_rows *w, size_t reg, size_t g, fetcher *ahead,
                               __m512i words[FIXED_GROUPS][4])
{
    padded_block own;
    row_block block = block_is_whole(w, LANES * reg, g) ? block_at(w, LANES * reg, g)
                                                        : pad_block(w, LANES * reg, g, &own);
    fetch_for(ahead, TURN_TIME);
    turn_block(&block, words);
    return gather_scales(&block);
}

/* Unpacks the block at group g. */
static void unpack_block(const panel_rows *w, size_t registers, size_t g, fetcher *ahead,
                         uint8_t *chunk)
{
    for (size_t reg = 0; reg < registers; reg++) {
        __m512i words[FIXED_GROUPS][4];
        __m512i scales = turn_rows(w, reg, g, ahead, words);
        FIXED_UNROLL(4)
        for (size_t m = 0; m < FIXED_GROUPS; m++)
            put_group(words[m], scales_of(scales, m), reg, registers, ahead,
                      chunk + m * group_bytes(registers));
    }
}

/* Turns the run that begins at group g. */
static void turn_run(const panel_rows *w, size_t registers, size_t g, fetcher *ahead,
                     turned_run *out)
{
    for (size_t reg = 0; reg < registers; reg++) {
        for (size_t i = 0; i < RUN_BLOCKS && g + FIXED_GROUPS * i < w->groups; i++) {
            __m512i words[FIXED_GROUPS][4];
            out->scales[i][reg] = turn_rows(w, reg, g + FIXED_GROUPS * i, ahead, words);
            FIXED_UNROLL(4)
            for (size_t m = 0; m < FIXED_GROUPS; m++)
                memcpy(out->words[m][i][reg], words[m], sizeof words[m]);
        }
    }
}

/* Unpacks `count` groups of a run, those that add to a_m. */
static void unpack_run(const turned_run *run, size_t m, size_t count, size_t registers,
                       fetcher *ahead, uint8_t *chunk)
{
    for (size_t i = 0; i < count; i++)
        for (size_t reg = 0; reg < registers; reg++)
            put_group(run->words[m][i][reg], scales_of(run->scales[i][reg], m), reg, registers,
                      ahead, chunk + i * group_bytes(registers));
}

/* ---- products -------------------------------------------------------------------------------- */

/* The groups of a chunk: every `step`-th of a row's, `sums_step` floats from the partial sum of one
 * to that of the next. */
typedef struct chunk_groups {
    size_t first;
    size_t count;
    size_t step;
    size_t sums_step;
} chunk_groups;

/* One tile's view of a chunk. */
typedef struct pair_tile {
    const uint8_t *weights;   /* [groups][LINES][registers][64] */
    const uint8_t *x;         /* [groups of a row][count][PAIRS] */
    const float *half_scales; /* [groups of a row][count] */
    chunk_groups groups;
    float *sums; /* [count][ROWS], of the first group */
} pair_tile;

typedef __m512i tile_sums[FIXED_TILE_ROWS][REGISTERS];

/* sums += (or, of pair 0, =) the products of a pair of columns. */
FIXED_INLINE void multiply_pair(const uint8_t *weights, const uint8_t *x, size_t pair, size_t count,
                                size_t registers, tile_sums sums)
{
    __m512i w[REGISTERS];
    FIXED_UNROLL(4)
    for (size_t reg = 0; reg < registers; reg++)
        w[reg] = _mm512_load_si512(weights + (pair * registers + reg) * 64);
    FIXED_UNROLL(6)
    for (size_t b = 0; b < count; b++) {
        int32_t two;
        memcpy(&two, x + b * GROUP_BYTES + 4 * pair, sizeof two);
        __m512i both = _mm512_set1_epi32(two);
        FIXED_UNROLL(4)
        for (size_t reg = 0; reg < registers; reg++)
            sums[b][reg] = pair == 0 ? _mm512_madd_epi16(w[reg], both)
                                     : _mm512_dpwssd_epi32(sums[b][reg], w[reg], both);
    }
    /* loads stay where they are: were they done early, sums would be spilled */
    __asm__ volatile("" ::: "memory");
}

/* Adds a chunk's part to the tile's partial sums, which lie in memory: whole numbers need all
 * registers, and floats change once a group. */
FIXED_INLINE void multiply_tile(const pair_tile *tile, size_t count, size_t registers,
                                fetcher *ahead)
{
    const uint8_t *weights = tile->weights;
    const uint8_t *x = tile->x;
    const float *half_scales = tile->half_scales;
    float *to = tile->sums;
    for (size_t group = 0; group < tile->groups.count; group++) {
        tile_sums sums;
        fetch_for(ahead, MULTIPLY_TIME * count * registers);
        FIXED_UNROLL(16)
        for (size_t pair = 0; pair < PAIRS; pair++)
            multiply_pair(weights, x, pair, count, registers, sums);
        const float *scales = (const float *)(const void *)(weights + PAIRS * registers * 64);
        FIXED_UNROLL(6)
        for (size_t b = 0; b < count; b++) {
            __m512 half_scale = _mm512_set1_ps(half_scales[b]);
            FIXED_UNROLL(4)
            for (size_t reg = 0; reg < registers; reg++) {
                float *sum = to + b * ROWS + LANES * reg;
                __m512 factor = _mm512_mul_ps(_mm512_load_ps(scales + LANES * reg), half_scale);
                _mm512_store_ps(sum, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[b][reg]), factor,
                                                     _mm512_load_ps(sum)));
            }
        }
        weights += group_bytes(registers);
        x += tile->groups.step * count * GROUP_BYTES;
        half_scales += tile->groups.step * count;
        to += tile->groups.sums_step;
    }
}

#define MULTIPLY_TILE(count, registers)                                                            \
    static void multiply_##count##_##registers(const pair_tile *tile, fetcher *ahead)              \
    {                                                                                              \
        multiply_tile(tile, count, registers, ahead);                                              \
    }
MULTIPLY_TILE(3, 2)
MULTIPLY_TILE(4, 2)
MULTIPLY_TILE(5, 2)
MULTIPLY_TILE(6, 2)
MULTIPLY_TILE(3, 4)
MULTIPLY_TILE(4, 4)
MULTIPLY_TILE(5, 4)
MULTIPLY_TILE(6, 4)

typedef void (*multiply_tile_fn)(const pair_tile *, fetcher *);

/* Rows of the smallest tile: larger batches than FIXED_FEW are one tile or cut about evenly. */
enum { LEAST_TILE = 3 };
_Static_assert(FIXED_FEW >= LEAST_TILE - 1 && (FIXED_TILE_ROWS + 1) / 2 >= LEAST_TILE,
               "no tile is smaller");

/* By half the registers, less one, and by rows from the least on. */
static const multiply_tile_fn tiles[2][FIXED_TILE_ROWS - LEAST_TILE + 1] = {
    {multiply_3_2, multiply_4_2, multiply_5_2, multiply_6_2},
    {multiply_3_4, multiply_4_4, multiply_5_4, multiply_6_4},
};

/* What a chunk adds to the sums of the whole batch. A row has `all` groups. */
static void multiply_chunk(const uint8_t *chunk, size_t registers, chunk_groups groups, size_t all,
                           fixed_batch batch, float *sums, fetcher *ahead)
{
    for (size_t t = 0; t < fixed_tiles(batch.count); t++) {
        size_t b = fixed_tile_begin(batch.count, t);
        size_t count = fixed_tile_begin(batch.count, t + 1) - b;
        const uint8_t *x = batch.tiles + b * fixed_row_bytes(all * FIXED_GROUP, 2);
        const float *half_scales = (const float *)(const void *)(x + tile_scales(all, count));
        pair_tile tile = {chunk, x + groups.first * count * GROUP_BYTES,
                          half_scales + groups.first * count, groups, sums + b * ROWS};
        tiles[registers / 2 - 1][count - LEAST_TILE](&tile, ahead);
    }
}

static void multiply_block(const panel_rows *w, size_t registers, size_t g, fixed_batch batch,
                           workplace *space, fetcher *ahead)
{
    size_t left = w->groups - g;
    chunk_groups groups = {g, left < FIXED_GROUPS ? left : FIXED_GROUPS, 1, batch.count * ROWS};
    unpack_block(w, registers, g, ahead, space->chunk);
    multiply_chunk(space->chunk, registers, groups, w->groups, batch, space->sums, ahead);
}

static void multiply_run(const panel_rows *w, size_t registers, size_t g, fixed_batch batch,
                         workplace *space, fetcher *ahead)
{
    size_t left = w->groups - g;
    size_t own = left < RUN_GROUPS ? left : RUN_GROUPS;
    turn_run(w, registers, g, ahead, &space->run);
    for (size_t m = 0; m < FIXED_GROUPS && m < own; m++) {
        chunk_groups groups = {g + m, (own - m + FIXED_GROUPS - 1) / FIXED_GROUPS, FIXED_GROUPS, 0};
        unpack_run(&space->run, m, groups.count, registers, ahead, space->chunk);
        multiply_chunk(space->chunk, registers, groups, w->groups, batch,
                       space->sums + m * batch.count * ROWS, ahead);
    }
}

/* y[r] = ((a_0 + a_1) + a_2) + a_3, where the groups past the end of the last block have added +0.
 * The sums are `apart` numbers apart. */
static void fold_sums(const float *sums, size_t apart, size_t rows, size_t groups, float *y)
{
    size_t last = groups % FIXED_GROUPS == 0 ? FIXED_GROUPS : groups % FIXED_GROUPS;
    for (size_t r = 0; r < rows; r += LANES) {
        __mmask16 inside = (__mmask16)(rows - r < LANES ? (1U << (rows - r)) - 1U : 0xffffU);
        __m512 sum = _mm512_load_ps(sums + r);
        for (size_t m = 1; m < FIXED_GROUPS; m++) {
            __m512 own = _mm512_load_ps(sums + m * apart + r);
            if (m >= last)
                own = _mm512_add_ps(own, _mm512_setzero_ps());
            sum = _mm512_add_ps(sum, own);
        }
        _mm512_mask_storeu_ps(y + r, inside, sum);
    }
}

void fixed_pairs_multiply(const uint8_t *blocks, const uint8_t *scales, size_t rows, size_t columns,
                          fixed_batch batch, void *scratch, fixed_ahead ahead, float *y,
                          size_t y_stride)
{
    panel_rows w = {blocks, scales, rows, columns / FIXED_GROUP};
    workplace *space = scratch;
    size_t registers = rows > ROWS / 2 ? REGISTERS : REGISTERS / 2;
    size_t apart = batch.count * ROWS; /* from a_m to a_(m + 1) */
    size_t group_time = TURN_TIME / FIXED_GROUPS + UNPACK_TIME + MULTIPLY_TIME * batch.count;
    fetcher fetching = fetch_evenly(ahead, registers * w.groups * group_time);
    memset(space->sums, 0, FIXED_GROUPS * apart * sizeof *space->sums);
    if (batch.count <= FEW_ROWS)
        for (size_t g = 0; g < w.groups; g += FIXED_GROUPS)
            multiply_block(&w, registers, g, batch, space, &fetching);
    else
        for (size_t g = 0; g < w.groups; g += RUN_GROUPS)
            multiply_run(&w, registers, g, batch, space, &fetching);
    for (size_t b = 0; b < batch.count; b++)
        fold_sums(space->sums + b * ROWS, apart, rows, w.groups, y + b * y_stride);
}
