/*
 * Products of 8-bit weights with a batch of activation rows with AVX2 and FMA. vpmaddubsw would
 * need the signs moved from weights to digits for every product, and its sums be widened at once;
 * as numbers of 16 bits both are multiplied by vpmaddwd in half the instructions.
 */
#include "kernel/x86/pairs_avx2.h"
#include "kernel/x86/q8_batch.h"

/* Groups of panels that are unpacked at a time (17 KB), and activation rows that they serve. */
enum { CHUNK = 4, PANELS = 2, BATCH = 48 };

/* ---- weights --------------------------------------------------------------------------------- */

/* Lines of a group: pairs of the first and third, then of the second and fourth bytes of all quads,
 * and the floats 2 s. */
enum { W_BYTES = (PAIRS + 1) * LINE };

/* Bytes as numbers of 16 bits: those in even places, then those in odd ones. */
INLINE void widen(__m256i bytes, __m256i numbers[2])
{
    numbers[0] = _mm256_srai_epi16(_mm256_slli_epi16(bytes, 8), 8);
    numbers[1] = _mm256_srai_epi16(bytes, 8);
}

static void unpack_group(const uint8_t *group, uint8_t *to)
{
    for (size_t at = 0; at < FIXED_GROUP * PANEL_ROWS; at += 4 * LANES) {
        __m256i numbers[2];
        widen(load(group + at) ^ _mm256_set1_epi8((char)128), numbers);
        store(to + at, numbers[0]);
        store(to + PAIRS / 2 * LINE + at, numbers[1]);
    }
    const uint8_t *scales = group + FIXED_GROUP * PANEL_ROWS;
    for (size_t row = 0; row < PANEL_ROWS; row += LANES) {
        __m128i eight = _mm_load_si128((const __m128i *)(const void *)(scales + 2 * row));
        store(to + PAIRS * LINE + 4 * row, _mm256_slli_epi32(_mm256_cvtepu16_epi32(eight), 16));
    }
}

/* ---- activations ----------------------------------------------------------------------------- */

/* A group of activations: 16 pairs as of the weights, and half its scale. */
enum { X_BYTES = PAIRS * 4 + 4 };

/* Activation rows of a tile, CHUNK groups of each. */
typedef uint8_t tile_groups[TILE_ROWS][CHUNK * X_BYTES];

/* row: prepared with one digit. */
INLINE void take_groups(const uint8_t *row, size_t first, size_t count, uint8_t *to)
{
    for (size_t g = first; g < first + count; g++, to += X_BYTES) {
        const uint8_t *block = row + g / FIXED_GROUPS * fixed_block_bytes(1);
        const uint8_t *digits = block + 16 * (g % FIXED_GROUPS);
        __m256i numbers[2];
        widen(_mm256_set_m128i(_mm_load_si128((const __m128i *)(const void *)(digits + 64)),
                               _mm_load_si128((const __m128i *)(const void *)digits)),
              numbers);
        _mm256_storeu_si256((__m256i *)(void *)to, numbers[0]);
        _mm256_storeu_si256((__m256i *)(void *)(to + 32), numbers[1]);
        _mm_storeu_si32(to + PAIRS * 4,
                        _mm_loadu_si32(block + FIXED_COLUMNS + 4 * (g % FIXED_GROUPS)));
    }
}

/* ---- products -------------------------------------------------------------------------------- */

/* What a block's `groups` groups of a panel add to the sums of a tile. */
INLINE void multiply_groups(const uint8_t *w, size_t groups, const tile_groups x, size_t count,
                            float *sums)
{
    for (size_t g = 0; g < groups; g++, w += W_BYTES, sums += PANEL_ROWS) {
        const uint8_t *at[TILE_ROWS];
        tile_sums products;
        tile_reals t;
        for (size_t b = 0; b < count; b++)
            at[b] = x[b] + g * X_BYTES;
        multiply_pairs(w, at, count, products);
        FOR_TILE (count)
            t[b][p] = _mm256_cvtepi32_ps(products[b][p]);
        for (size_t b = 0; b < count; b++)
            at[b] += PAIRS * 4;
        add_group(w + PAIRS * LINE, at, count, t, sums);
    }
}

/* Weight rows of up to PANELS panels. */
typedef struct weight_rows {
    const uint8_t *panels;
    size_t rows;
    size_t groups;
} weight_rows;

static size_t panels_of(const weight_rows *w)
{
    return (w->rows + PANEL_ROWS - 1) / PANEL_ROWS;
}

/* Of each panel, CHUNK groups unpacked and the sums of the batch. */
typedef struct workplace {
    uint8_t chunk[PANELS][CHUNK * W_BYTES];
    float sums[PANELS][BATCH * SUMS];
} workplace;

static void clear_sums(workplace *work, size_t panels, size_t batch)
{
    for (size_t panel = 0; panel < panels; panel++)
        for (size_t i = 0; i < batch * SUMS; i++)
            work->sums[panel][i] = 0.0F;
}

/* `count` rows of x from row b of the batch on and all panels. */
INLINE void multiply_tile(workplace *work, size_t panels, size_t first, size_t groups,
                          const uint8_t *x, size_t row_bytes, size_t b, size_t count)
{
    tile_groups own;
    for (size_t i = 0; i < count; i++)
        take_groups(x + (b + i) * row_bytes, first, groups, own[i]);
    for (size_t panel = 0; panel < panels; panel++)
        multiply_groups(work->chunk[panel], groups, own, count, work->sums[panel] + b * SUMS);
}

/* At most BATCH activation rows. */
static void multiply_rows(const weight_rows *w, const uint8_t *x, size_t row_bytes, size_t batch,
                          float *y, size_t y_stride)
{
    workplace work __attribute__((aligned(64)));
    size_t panels = panels_of(w);
    clear_sums(&work, panels, batch);
    for (size_t first = 0; first < w->groups; first += CHUNK) {
        size_t count = w->groups - first < CHUNK ? w->groups - first : CHUNK;
        for (size_t panel = 0; panel < panels; panel++)
            for (size_t g = 0; g < count; g++)
                unpack_group(w->panels + (panel * w->groups + first + g) * Q8_GROUP_BYTES,
                             work.chunk[panel] + g * W_BYTES);
        size_t b = 0;
        for (; b + TILE_ROWS <= batch; b += TILE_ROWS)
            multiply_tile(&work, panels, first, count, x, row_bytes, b, TILE_ROWS);
        for (; b < batch; b++)
            multiply_tile(&work, panels, first, count, x, row_bytes, b, 1);
    }
    for (size_t panel = 0; panel < panels; panel++) {
        size_t left = w->rows - panel * PANEL_ROWS;
        for (size_t b = 0; b < batch; b++)
            fold_row(work.sums[panel] + b * SUMS, left < PANEL_ROWS ? left : PANEL_ROWS,
                     FIXED_GROUPS, y + b * y_stride + panel * PANEL_ROWS);
    }
}

void q8_multiply_batch_avx2(const uint8_t *panels, size_t rows, size_t columns, const uint8_t *x,
                            size_t batch, float *y, size_t y_stride)
{
    enum { ROWS = PANELS * PANEL_ROWS };
    size_t groups = columns / FIXED_GROUP;
    size_t row_bytes = fixed_row_bytes(columns, 1);
    for (size_t row = 0; row < rows; row += ROWS) {
        weight_rows w = {panels + q8_bytes(row, columns), rows - row < ROWS ? rows - row : ROWS,
                         groups};
        for (size_t b = 0; b < batch; b += BATCH)
            multiply_rows(&w, x + b * row_bytes, row_bytes, batch - b < BATCH ? batch - b : BATCH,
                          y + b * y_stride + row, y_stride);
    }
}
