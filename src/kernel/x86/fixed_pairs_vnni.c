/*
 * Products of a batch of two digits with AVX-512 VNNI. N of two digits fits 16 bits, so that
 * weights and activations are multiplied as pairs of 16-bit numbers: as many instructions as for
 * two digits apart, the same whole numbers, and neither an offset nor digits to join.
 *
 * A tile of `count` activation rows, where places are groups in the order 0 4 8 ... 1 5 9 ...:
 *
 *     | place 0: count rows x 16 pairs | place 1: ... | half scales: [place][count] |
 *
 * Pairs 4 k to 4 k + 3 of a group are its columns 8 k + 0 4, 1 5, 2 6, 3 7, as the nibbles of 16
 * bits after 16 bits of codes are.
 */
#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "kernel/x86/fixed_pairs.h"
#include "kernel/x86/fixed_round_avx512.h"

enum { PAIRS = FIXED_GROUP / 2, GROUP_BYTES = 2 * FIXED_GROUP };

/* ---- activations ----------------------------------------------------------------------------- */

/* Groups m, m + 4, m + 8, ... of `groups`: how many they are. */
static size_t places_of(size_t groups, size_t m)
{
    return (groups + FIXED_GROUPS - 1 - m) / FIXED_GROUPS;
}

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
    size_t groups = columns.n / FIXED_GROUP;
    size_t own = columns.count / FIXED_GROUP;
    size_t first_place = columns.first / FIXED_COLUMNS;
    float *half_scales = (float *)(void *)(tile + tile_scales(groups, count));
    for (size_t m = 0; m < FIXED_GROUPS; first_place += places_of(groups, m), m++) {
        size_t place = first_place;
        for (size_t g = m; g < own; g += FIXED_GROUPS, place++)
            for (size_t b = 0; b < count; b++)
                half_scales[place * count + b] = store_pairs(
                    rows[b] + g * FIXED_GROUP, tile + (place * count + b) * GROUP_BYTES);
    }
}

/* ---- weights --------------------------------------------------------------------------------- */

/*
 * Weight rows are taken 16 at a time, a register's lanes: 64 of them in four registers, or up to 32
 * in two. Their codes and scales are first brought into the order in which they are unpacked:
 *
 *     codes   [place][register][4][64]: rows k, k + 4, k + 8 and k + 12 of the 16, for k = 0 .. 3
 *     scales  [place][64]
 *
 * and then some places at a time unpacked, so that they stay in the nearest cache for the whole
 * batch:
 *
 *     | pair 0: 16 rows x 2 numbers w2, for every register | ... | pair 15 | 2^(scale - 127) |
 */
enum { ROWS = FIXED_MULTIPLY_ROWS, LANES = 16, REGISTERS = ROWS / LANES, CHUNK_PLACES = 4 };

/* Where `multiply` keeps what it works on. */
typedef struct workplace {
    uint8_t *chunk;  /* [CHUNK_PLACES][PAIRS + 1][registers][64] */
    uint8_t *codes;  /* [groups][registers][4][64] */
    uint8_t *scales; /* [groups][ROWS] */
    float *sums;     /* a_m [batch][ROWS] */
    float *folded;   /* a_0, a_0 + a_1, ... [batch][ROWS] */
} workplace;

static workplace lay_out(void *scratch, size_t groups, size_t batch)
{
    workplace w = {.chunk = scratch};
    w.codes = w.chunk + (size_t)CHUNK_PLACES * (PAIRS + 1) * REGISTERS * 64;
    w.scales = w.codes + groups * REGISTERS * 4 * 64;
    w.sums = (float *)(void *)(w.scales + groups * ROWS);
    w.folded = w.sums + batch * ROWS;
    return w;
}

/* One call's weight rows. */
typedef struct weight_rows {
    const uint8_t *blocks;
    const uint8_t *scales;
    size_t rows;
    size_t groups;
    size_t registers;
    size_t first_place[FIXED_GROUPS]; /* the places of groups 0 to 3 */
} weight_rows;

FIXED_INLINE size_t place_of(const weight_rows *w, size_t group)
{
    return w->first_place[group % FIXED_GROUPS] + group / FIXED_GROUPS;
}

/* Row r or, past the end, the last one, whose products nobody will read. */
FIXED_INLINE size_t row_or_last(const weight_rows *w, size_t r)
{
    return r < w->rows ? r : w->rows - 1;
}

/* Brings the codes of a register's 16 rows in order, a block of four groups at a time. */
static void turn_codes(const weight_rows *w, size_t reg, uint8_t *to)
{
    const uint8_t *rows[LANES];
    for (size_t r = 0; r < LANES; r++)
        rows[r] = w->blocks + row_or_last(w, LANES * reg + r) * w->groups * 16;
    for (size_t g = 0; g < w->groups; g += FIXED_GROUPS) {
        size_t count = w->groups - g < FIXED_GROUPS ? w->groups - g : FIXED_GROUPS;
        __mmask64 inside = ~0ULL >> (64 - 16 * count);
        for (size_t k = 0; k < 4; k++) {
            __m512i a = _mm512_maskz_loadu_epi8(inside, rows[k] + 16 * g);
            __m512i b = _mm512_maskz_loadu_epi8(inside, rows[k + 4] + 16 * g);
            __m512i c = _mm512_maskz_loadu_epi8(inside, rows[k + 8] + 16 * g);
            __m512i d = _mm512_maskz_loadu_epi8(inside, rows[k + 12] + 16 * g);
            __m512i ab = _mm512_shuffle_i32x4(a, b, 0x44);
            __m512i cd = _mm512_shuffle_i32x4(c, d, 0x44);
            __m512i ab_high = _mm512_shuffle_i32x4(a, b, 0xee);
            __m512i cd_high = _mm512_shuffle_i32x4(c, d, 0xee);
            __m512i by_group[FIXED_GROUPS] = {_mm512_shuffle_i32x4(ab, cd, 0x88),
                                              _mm512_shuffle_i32x4(ab, cd, 0xdd),
                                              _mm512_shuffle_i32x4(ab_high, cd_high, 0x88),
                                              _mm512_shuffle_i32x4(ab_high, cd_high, 0xdd)};
            for (size_t m = 0; m < count; m++)
                _mm512_store_si512(to + ((place_of(w, g + m) * w->registers + reg) * 4 + k) * 64,
                                   by_group[m]);
        }
    }
}

/* Brings the scales of a register's 16 rows in order. */
static void turn_scales(const weight_rows *w, size_t reg, uint8_t *to)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i row = _mm512_add_epi32(lane, _mm512_set1_epi32((int)(LANES * reg)));
    row = _mm512_min_epu32(row, _mm512_set1_epi32((int)w->rows - 1));
    __m512i at = _mm512_mullo_epi32(row, _mm512_set1_epi32((int)w->groups));
    size_t g = 0;
    to += LANES * reg;
    for (; g + FIXED_GROUPS <= w->groups; g += FIXED_GROUPS) {
        __m512i four = _mm512_i32gather_epi32(at, w->scales + g, 1);
        for (size_t m = 0; m < FIXED_GROUPS; m++) {
            _mm_store_si128((__m128i *)(void *)(to + place_of(w, g + m) * ROWS),
                            _mm512_cvtepi32_epi8(four));
            four = _mm512_srli_epi32(four, 8);
        }
    }
    for (; g < w->groups; g++)
        for (size_t r = 0; r < LANES; r++)
            to[place_of(w, g) * ROWS + r] =
                w->scales[row_or_last(w, LANES * reg + r) * w->groups + g];
}

/* 2^(scale - 127) of 16 scales. */
FIXED_INLINE __m512 scale_values(const uint8_t *scales)
{
    __m512i scale = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)(const void *)scales));
    __m512i bits = _mm512_slli_epi32(scale, 23);
    bits = _mm512_max_epu32(bits, _mm512_set1_epi32(0x00400000)); /* of scale 0 */
    __mmask16 nan = _mm512_cmpeq_epi32_mask(scale, _mm512_set1_epi32(255));
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(bits, nan, _mm512_set1_epi32(0x7fc00000)));
}

/* Unpacks a place of 16 rows. Pairs of numbers lie `stride` apart. The permutation looks at five
 * bits of a word: with the table twice, what lies above a code does not matter. */
FIXED_INLINE void unpack_register(const uint8_t *codes, const uint8_t *scales, size_t stride,
                                  uint8_t *to)
{
    static const int16_t doubled[32] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12,
                                        0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    const __m512i table = _mm512_loadu_si512(doubled);
    __m512i rows[4];
    FIXED_UNROLL(4)
    for (size_t k = 0; k < 4; k++)
        rows[k] = _mm512_load_si512(codes + 64 * k);
    FIXED_UNROLL(4)
    for (size_t k = 0; k < 4; k++) { /* words k of the rows' four, in the rows' order */
        __m512i a = k < 2 ? _mm512_unpacklo_epi32(rows[0], rows[1])
                          : _mm512_unpackhi_epi32(rows[0], rows[1]);
        __m512i b = k < 2 ? _mm512_unpacklo_epi32(rows[2], rows[3])
                          : _mm512_unpackhi_epi32(rows[2], rows[3]);
        __m512i words = k % 2 == 0 ? _mm512_unpacklo_epi64(a, b) : _mm512_unpackhi_epi64(a, b);
        FIXED_UNROLL(4)
        for (size_t pair = 4 * k; pair < 4 * k + 4; pair++) {
            _mm512_store_si512(to + pair * stride, _mm512_permutexvar_epi16(words, table));
            words = _mm512_srli_epi32(words, 4);
        }
    }
    _mm512_store_ps((float *)(void *)(to + PAIRS * stride), scale_values(scales));
}

static void unpack_places(const workplace *space, size_t first, size_t last, size_t registers)
{
    size_t stride = registers * 64;
    for (size_t place = first; place < last; place++)
        for (size_t reg = 0; reg < registers; reg++)
            unpack_register(space->codes + (place * registers + reg) * 4 * 64,
                            space->scales + place * ROWS + LANES * reg, stride,
                            space->chunk + (place - first) * (PAIRS + 1) * stride + 64 * reg);
}

/* ---- products -------------------------------------------------------------------------------- */

/* What is fetched meanwhile: some lines at each step. */
typedef struct fetcher {
    const uint8_t *at;
    const uint8_t *end;
    size_t lines;
} fetcher;

FIXED_INLINE void fetch(fetcher *f)
{
    for (size_t line = 0; line < f->lines && f->at < f->end; line++, f->at += 64)
        _mm_prefetch((const char *)f->at, _MM_HINT_T1);
}

/* One tile's view of a chunk. */
typedef struct pair_tile {
    const uint8_t *weights;   /* [places][PAIRS + 1][registers][64] */
    const uint8_t *x;         /* [places][count][PAIRS] */
    const float *half_scales; /* [places][count] */
    size_t places;
    float *sums; /* [count][ROWS] */
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
    for (size_t place = 0; place < tile->places; place++) {
        tile_sums sums;
        fetch(ahead);
        FIXED_UNROLL(16)
        for (size_t pair = 0; pair < PAIRS; pair++)
            multiply_pair(weights, x, pair, count, registers, sums);
        const float *scales = (const float *)(const void *)(weights + PAIRS * registers * 64);
        FIXED_UNROLL(6)
        for (size_t b = 0; b < count; b++) {
            __m512 half_scale = _mm512_set1_ps(half_scales[b]);
            FIXED_UNROLL(4)
            for (size_t reg = 0; reg < registers; reg++) {
                float *sum = tile->sums + b * ROWS + LANES * reg;
                __m512 factor = _mm512_mul_ps(_mm512_load_ps(scales + LANES * reg), half_scale);
                _mm512_store_ps(sum, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[b][reg]), factor,
                                                     _mm512_load_ps(sum)));
            }
        }
        weights += (PAIRS + 1) * registers * 64;
        x += count * GROUP_BYTES;
        half_scales += count;
    }
}

#define MULTIPLY_TILE(count, registers)                                                            \
    static void multiply_##count##_##registers(const pair_tile *tile, fetcher *ahead)              \
    {                                                                                              \
        multiply_tile(tile, count, registers, ahead);                                              \
    }
MULTIPLY_TILE(1, 2)
MULTIPLY_TILE(2, 2)
MULTIPLY_TILE(3, 2)
MULTIPLY_TILE(4, 2)
MULTIPLY_TILE(5, 2)
MULTIPLY_TILE(6, 2)
MULTIPLY_TILE(1, 4)
MULTIPLY_TILE(2, 4)
MULTIPLY_TILE(3, 4)
MULTIPLY_TILE(4, 4)
MULTIPLY_TILE(5, 4)
MULTIPLY_TILE(6, 4)

typedef void (*multiply_tile_fn)(const pair_tile *, fetcher *);

/* By half the registers and rows, less one. */
static const multiply_tile_fn tiles[2][FIXED_TILE_ROWS] = {
    {multiply_1_2, multiply_2_2, multiply_3_2, multiply_4_2, multiply_5_2, multiply_6_2},
    {multiply_1_4, multiply_2_4, multiply_3_4, multiply_4_4, multiply_5_4, multiply_6_4},
};

/* Places [first, last) of the whole batch. */
static void multiply_places(const workplace *space, const weight_rows *w, fixed_batch batch,
                            size_t first, size_t last, fetcher *ahead)
{
    for (size_t t = 0; t < fixed_tiles(batch.count); t++) {
        size_t b = fixed_tile_begin(batch.count, t);
        size_t count = fixed_tile_begin(batch.count, t + 1) - b;
        const uint8_t *x = batch.tiles + b * fixed_row_bytes(w->groups * FIXED_GROUP, 2);
        const float *half_scales = (const float *)(const void *)(x + tile_scales(w->groups, count));
        pair_tile tile = {space->chunk, x + first * count * GROUP_BYTES,
                          half_scales + first * count, last - first, space->sums + b * ROWS};
        tiles[w->registers / 2 - 1][count - 1](&tile, ahead);
    }
}

/* folded = ((a_0 + a_1) + a_2) + a_3, of which this adds a_m, where groups past the end of the last
 * block have added +0. */
static void fold_sums(const workplace *space, size_t groups, size_t m, size_t batch)
{
    bool padded = groups % FIXED_GROUPS != 0 && m >= groups % FIXED_GROUPS;
    for (size_t i = 0; i < batch * ROWS; i += LANES) {
        __m512 sum = _mm512_load_ps(space->sums + i);
        if (padded)
            sum = _mm512_add_ps(sum, _mm512_setzero_ps());
        if (m > 0)
            sum = _mm512_add_ps(_mm512_load_ps(space->folded + i), sum);
        _mm512_store_ps(space->folded + i, sum);
    }
}

void fixed_pairs_multiply(const uint8_t *blocks, const uint8_t *scales, size_t rows, size_t columns,
                          fixed_batch batch, void *scratch, fixed_ahead ahead, float *y,
                          size_t y_stride)
{
    weight_rows w = {blocks, scales, rows, columns / FIXED_GROUP, rows > ROWS / 2 ? 4 : 2, {0}};
    workplace space = lay_out(scratch, w.groups, batch.count);
    size_t steps = w.groups * fixed_tiles(batch.count);
    fetcher fetching = {ahead.at, ahead.at + ahead.bytes, (ahead.bytes / 64 + steps - 1) / steps};
    for (size_t m = 1; m < FIXED_GROUPS; m++)
        w.first_place[m] = w.first_place[m - 1] + places_of(w.groups, m - 1);
    for (size_t reg = 0; reg < w.registers; reg++) {
        turn_codes(&w, reg, space.codes);
        turn_scales(&w, reg, space.scales);
    }
    for (size_t m = 0; m < FIXED_GROUPS; m++) {
        size_t end = w.first_place[m] + places_of(w.groups, m);
        memset(space.sums, 0, batch.count * ROWS * sizeof *space.sums);
        for (size_t first = w.first_place[m]; first < end; first += CHUNK_PLACES) {
            size_t last = end - first < CHUNK_PLACES ? end : first + CHUNK_PLACES;
            unpack_places(&space, first, last, w.registers);
            multiply_places(&space, &w, batch, first, last, &fetching);
        }
        fold_sums(&space, w.groups, m, batch.count);
    }
    for (size_t b = 0; b < batch.count; b++)
        for (size_t r = 0; r < rows; r += LANES) {
            __mmask16 inside = (__mmask16)(rows - r < LANES ? (1U << (rows - r)) - 1U : 0xffffU);
            _mm512_mask_storeu_ps(y + b * y_stride + r, inside,
                                  _mm512_load_ps(space.folded + b * ROWS + r));
        }
}
