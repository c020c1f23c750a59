/* Products with one activation row, or a few, in lanes, with AVX-512 BF16. */
#include "kernel/ahead.h"
#include "kernel/x86/bfloat_lanes.h"

INLINE float fold_one(__m512 a)
{
    const __m512 none = _mm512_setzero_ps();
    return _mm_cvtss_f32(fold_four((const __m512[4]){a, none, none, none}));
}

/* ---- BF16 rows ------------------------------------------------------------------------------- */

/* As they are stored. Two are read together: with four the last would be read before what lies so
 * far ahead had been asked for. */
enum { BF16_ROWS = 2 };
#define BF16_AHEAD ((distance){0, 16384})

/* One step of `rows` rows into the sums t of their blocks. */
INLINE void bf16_step(const uint8_t *w, size_t rows, const uint16_t *x, size_t k, size_t n,
                      __m512 *t)
{
    __m512i step = _mm512_load_si512(x + k);
    __mmask32 inside = words(n - k);
    UNROLL(4)
    for (size_t r = 0; r < rows; r++) {
        const uint8_t *at = w + 2 * (r * n + k);
        ask(w + (k / STEP * rows + r) * 64, BF16_AHEAD);
        t[r] = take(t[r], in_order(_mm512_maskz_loadu_epi16(inside, at)), step);
    }
}

INLINE void bf16_rows(const uint8_t *w, size_t rows, const uint16_t *x, size_t n, __m512 *sums)
{
    UNROLL(4)
    for (size_t r = 0; r < rows; r++)
        sums[r] = _mm512_setzero_ps();
    for (size_t first = 0; first < n; first += BLOCK) {
        size_t end = first + BLOCK < n ? first + BLOCK : n;
        __m512 t[ROWS];
        UNROLL(4)
        for (size_t r = 0; r < rows; r++)
            t[r] = _mm512_setzero_ps();
        for (size_t k = first; k < end; k += STEP)
            bf16_step(w, rows, x, k, n, t);
        UNROLL(4)
        for (size_t r = 0; r < rows; r++)
            sums[r] = _mm512_add_ps(sums[r], t[r]);
    }
}

static void dot_bf16(const uint8_t *w, size_t rows, const uint16_t *x, size_t n, float *y)
{
    size_t r = 0;
    for (; r + ROWS <= rows; r += ROWS) {
        __m512 sums[ROWS];
        UNROLL(2)
        for (size_t pair = 0; pair < ROWS; pair += BF16_ROWS)
            bf16_rows(w + 2 * (r + pair) * n, BF16_ROWS, x, n, sums + pair);
        _mm_storeu_ps(y + r, fold_four(sums));
    }
    for (; r < rows; r++) {
        __m512 sums;
        bf16_rows(w + 2 * r * n, 1, x, n, &sums);
        y[r] = fold_one(sums);
    }
}

/* ---- packed rows ----------------------------------------------------------------------------- */

/* The sums of a group's rows: those of the block under way, and those of the blocks before. A block
 * here is two of the packing's. */
typedef struct packed_sums {
    __m512 t[ROWS];
    __m512 a[ROWS];
} packed_sums;

INLINE void end_block(packed_sums *sums)
{
    UNROLL(4)
    for (size_t r = 0; r < ROWS; r++) {
        sums->a[r] = _mm512_add_ps(sums->a[r], sums->t[r]);
        sums->t[r] = _mm512_setzero_ps();
    }
}

/* Packed rows lie in the order in which they are read. Streams of their own for parts of a group,
 * or the second cache before, cost a fifth of the speed from memory. */
#define PACKED_AHEAD ((distance){0, 9216})

/* Blocks of the packing [begin, end), which have no escapes. */
INLINE void take_blocks(const packed_group *group, size_t begin, size_t end, const uint16_t *x,
                        distance ahead, packed_sums *in_memory)
{
    packed_sums sums = *in_memory;
    place_table tables[ROWS];
    UNROLL(4)
    for (size_t r = 0; r < ROWS; r++)
        tables[r] = table_load(group->tables + 16 * r);
    for (size_t i = begin; i < end; i++) {
        const uint8_t *block = group->blocks + i * DENSE_BLOCK_BYTES;
        __m512i first = _mm512_load_si512(x + i * DENSE_BLOCK_COLUMNS);
        __m512i second = _mm512_load_si512(x + i * DENSE_BLOCK_COLUMNS + STEP);
        UNROLL(6)
        for (size_t line = 0; line < DENSE_BLOCK_BYTES / DENSE_LINE; line++) {
            ask(block + line * DENSE_LINE, ahead);
        }
        UNROLL(4)
        for (size_t r = 0; r < ROWS; r++) {
            __m512i w[2];
            unpack_steps(block, r, tables[r], w);
            sums.t[r] = take(take(sums.t[r], w[0], first), w[1], second);
        }
        if (i % 2 == 1)
            end_block(&sums);
    }
    *in_memory = sums;
}

/* A block that has escapes, or the last one. Returns the next escape. */
static size_t take_patched(const packed_group *group, size_t block, size_t escape,
                           const uint16_t *x, packed_sums *sums)
{
    uint16_t w[ROWS][DENSE_BLOCK_COLUMNS];
    for (size_t r = 0; r < ROWS; r++) {
        __m512i out[2];
        unpack_steps(group->blocks + block * DENSE_BLOCK_BYTES, r,
                     table_load(group->tables + 16 * r), out);
        _mm512_storeu_si512(w[r], out[0]);
        _mm512_storeu_si512(w[r] + STEP, out[1]);
    }
    for (; escape < group->escape_count; escape++) {
        uint32_t found = escape_at(group, escape);
        size_t column = found >> 10;
        if (column / DENSE_BLOCK_COLUMNS != block)
            break;
        w[found >> 8 & 3][column % DENSE_BLOCK_COLUMNS / STEP * STEP + place_in_step(column)] |=
            (uint16_t)((found & 255) << 8);
    }
    for (size_t r = 0; r < ROWS; r++)
        for (size_t step = 2 * block; step < 2 * block + 2; step++)
            sums->t[r] = take(sums->t[r], _mm512_loadu_si512(w[r] + step % 2 * STEP),
                              _mm512_load_si512(x + step * STEP));
    if (block % 2 == 1)
        end_block(sums);
    return escape;
}

INLINE void packed_rows(const packed_group *group, const uint16_t *x, size_t n, distance ahead,
                        float *y)
{
    packed_sums sums;
    size_t whole = n / DENSE_BLOCK_COLUMNS;
    size_t blocks = (n + DENSE_BLOCK_COLUMNS - 1) / DENSE_BLOCK_COLUMNS;
    size_t escape = 0;
    for (size_t r = 0; r < ROWS; r++)
        sums.t[r] = sums.a[r] = _mm512_setzero_ps();
    for (size_t block = 0; block < blocks; block++) {
        size_t stop = escape_block(group, escape, whole);
        if (block < stop)
            take_blocks(group, block, stop, x, ahead, &sums);
        if (stop < blocks)
            escape = take_patched(group, stop, escape, x, &sums);
        block = stop;
    }
    end_block(&sums);
    _mm_storeu_ps(y, fold_four(sums.a));
}

/* `ahead` is a constant after inlining, here and above. */
INLINE void dot_all_packed(const uint8_t *data, const dense_group *groups, size_t count,
                           const uint16_t *x, size_t n, distance ahead, float *y)
{
    for (size_t g = 0; g < count; g++, y += ROWS) {
        if (groups[g].escapes == DENSE_RAW) {
            dot_bf16(data + (size_t)groups[g].line * DENSE_LINE, ROWS, x, n, y);
        } else {
            packed_group group = group_open(data, &groups[g]);
            packed_rows(&group, x, n, ahead, y);
        }
    }
}

static void dot_packed(const uint8_t *data, const dense_group *groups, size_t count,
                       const uint16_t *x, size_t n, float *y)
{
    dot_all_packed(data, groups, count, x, n, PACKED_AHEAD, y);
}

static void dot_packed_twice(const uint8_t *data, const dense_group *groups, size_t count,
                             const uint16_t *x, size_t n, float *y)
{
    dot_all_packed(data, groups, count, x, n, AHEAD_TWICE, y);
}

static void dot_packed_near(const uint8_t *data, const dense_group *groups, size_t count,
                            const uint16_t *x, size_t n, float *y)
{
    dot_all_packed(data, groups, count, x, n, AHEAD_NEAR, y);
}

/* ---- MXFP4 ----------------------------------------------------------------------------------- */

/* The scales of a block's groups, each in the lanes of its group; 0 past the last of them. */
INLINE __m512 scale_lanes(const uint8_t *scales, size_t groups)
{
    const __m512i top =
        _mm512_set_epi32(/* byte L of the four into the uppermost of quarter L */
                         0x03808080, 0x03808080, 0x03808080, 0x03808080, 0x02808080, 0x02808080,
                         0x02808080, 0x02808080, 0x01808080, 0x01808080, 0x01808080, 0x01808080,
                         0x00808080, 0x00808080, 0x00808080, 0x00808080);
    __m512i exponents = _mm512_shuffle_epi8(four_scales(scales, groups), top);
    return _mm512_castsi512_ps(_mm512_srli_epi32(exponents, 1));
}

/*
 * Four rows are read together, and what lies some rows further on is asked for meanwhile: more
 * rows, other distances, or a stream for each row cost a tenth to a third of the speed from memory.
 */
enum { CODED_ROWS = 4, FEW = BFLOAT_FEW };
#define CODED_AHEAD ((distance){0, 8192})

/* The numbers of step k of a block whose codes are `bytes`. Of the shifts none is a multiplication:
 * those would wait for the units that the products keep busy. */
INLINE __m512i numbers_of_step(__m512i bytes, int k)
{
    const __m512i numbers = _mm512_broadcast_i64x4(
        _mm256_setr_epi16(0x0000, 0x3f00, 0x3f80, 0x3fc0, 0x4000, 0x4040, 0x4080, 0x40c0,
                          (short)0x8000, (short)0xbf00, (short)0xbf80, (short)0xbfc0, (short)0xc000,
                          (short)0xc040, (short)0xc080, (short)0xc0c0));
    return _mm512_permutexvar_epi16(k == 0 ? bytes : _mm512_srli_epi16(bytes, 4 * (unsigned)k),
                                    numbers);
}

/* Keeps the order of the instructions: a step's products, then the next step's numbers. */
#define HERE(v) __asm__ volatile("" : "+v"(v))

/* Activation rows, `stride` numbers apart. */
typedef struct x_rows {
    const uint16_t *first;
    size_t stride;
    size_t count; /* at most FEW, a constant after inlining */
} x_rows;

typedef __m512 coded_sums[CODED_ROWS][FEW];

/* Takes the block of `count` groups at group g into the sums; `rows` is a constant after inlining,
 * here and below. */
INLINE void take_coded(coded_rows w, size_t rows, x_rows x, size_t g, size_t count, coded_sums sums)
{
    __m512i bytes[CODED_ROWS];
    __m512i numbers[CODED_ROWS];
    coded_sums t;
    UNROLL(4)
    for (size_t r = 0; r < rows; r++) {
        bytes[r] = load_codes(w.blocks + (r * w.groups + g) * 16, count);
        HERE(bytes[r]);
        numbers[r] = numbers_of_step(bytes[r], 0);
        HERE(numbers[r]);
    }
    UNROLL(4)
    for (int k = 0; k < BFLOAT_BLOCK_STEPS; k++) {
        __m512i step[FEW];
        UNROLL(4)
        for (size_t b = 0; b < x.count; b++)
            step[b] = _mm512_load_si512(x.first + b * x.stride + (g + (size_t)k) * STEP);
        UNROLL(4)
        for (size_t r = 0; r < rows; r++) {
            UNROLL(4)
            for (size_t b = 0; b < x.count; b++) {
                t[r][b] = take(k == 0 ? _mm512_setzero_ps() : t[r][b], numbers[r], step[b]);
                HERE(t[r][b]);
            }
            if (k + 1 < BFLOAT_BLOCK_STEPS) {
                numbers[r] = numbers_of_step(bytes[r], k + 1);
                HERE(numbers[r]);
            }
        }
    }
    UNROLL(4)
    for (size_t r = 0; r < rows; r++) {
        __m512 scales = scale_lanes(w.scales + r * w.groups + g, count);
        UNROLL(4)
        for (size_t b = 0; b < x.count; b++)
            sums[r][b] = _mm512_fmadd_ps(t[r][b], scales, sums[r][b]);
    }
}

/* The sums of `rows` rows. What is asked for are the lines behind `asked` and its scales. */
INLINE void mxfp4_rows(coded_rows w, size_t rows, x_rows x, coded_rows asked, distance ahead,
                       coded_sums sums)
{
    const char *scales_ahead = (const char *)asked.scales + furthest(ahead) / 16;
    size_t rest = w.groups % CODED_GROUPS;
    size_t whole = w.groups - rest;
    UNROLL(4)
    for (size_t r = 0; r < rows; r++) {
        UNROLL(4)
        for (size_t b = 0; b < x.count; b++)
            sums[r][b] = _mm512_setzero_ps();
    }
    for (size_t g = 0; g < whole; g += CODED_GROUPS) {
        _mm_prefetch(scales_ahead + rows * g, _MM_HINT_T1);
        UNROLL(4)
        for (size_t r = 0; r < rows; r++)
            ask(asked.blocks + (rows * g / CODED_GROUPS + r) * 64, ahead);
        take_coded(w, rows, x, g, CODED_GROUPS, sums);
    }
    if (rest > 0)
        take_coded(w, rows, x, whole, rest, sums);
}

/* One activation row's products with `count` weight rows, 1 or CODED_ROWS of them. */
INLINE void dot_rows(coded_rows w, size_t count, const uint16_t *x, distance ahead, float *y)
{
    coded_sums sums;
    mxfp4_rows(w, count, (x_rows){x, 0, 1}, w, ahead, sums);
    if (count == 1)
        *y = fold_one(sums[0][0]);
    else
        _mm_storeu_ps(y,
                      fold_four((const __m512[4]){sums[0][0], sums[1][0], sums[2][0], sums[3][0]}));
}

INLINE void dot_all_mxfp4(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                          const uint16_t *x, size_t columns, distance ahead, float *y)
{
    size_t groups = columns / 32;
    for (size_t r = 0; r < rows;) {
        size_t count = rows - r < CODED_ROWS ? 1 : CODED_ROWS;
        coded_rows w = rows_from((coded_rows){blocks, scales, groups}, r);
        if (!scales_are_plain(w.scales, count * groups))
            bfloat_dot_mxfp4_lanes(w.blocks, w.scales, count, x, columns, y + r);
        else if (count == CODED_ROWS)
            dot_rows(w, CODED_ROWS, x, ahead, y + r);
        else
            dot_rows(w, 1, x, ahead, y + r);
        r += count;
    }
}

static void dot_mxfp4(const uint8_t *blocks, const uint8_t *scales, size_t rows, const uint16_t *x,
                      size_t columns, float *y)
{
    dot_all_mxfp4(blocks, scales, rows, x, columns, CODED_AHEAD, y);
}

static void dot_mxfp4_twice(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                            const uint16_t *x, size_t columns, float *y)
{
    dot_all_mxfp4(blocks, scales, rows, x, columns, AHEAD_TWICE, y);
}

/* ---- MXFP4, a few activation rows ------------------------------------------------------------ */

/* Two weight rows with `x.count` activation rows: as many sums as registers hold. */
INLINE void multiply_two(coded_rows w, x_rows x, coded_rows asked, float *y, size_t y_stride)
{
    coded_sums sums;
    mxfp4_rows(w, 2, x, asked, CODED_AHEAD, sums);
    UNROLL(2)
    for (size_t b = 0; b < x.count; b += 2) {
        size_t other = b + 1 < x.count ? b + 1 : b;
        __m128 four =
            fold_four((const __m512[4]){sums[0][b], sums[1][b], sums[0][other], sums[1][other]});
        _mm_storel_pi((__m64 *)(void *)(y + b * y_stride), four);
        _mm_storeh_pi((__m64 *)(void *)(y + other * y_stride), four);
    }
}

INLINE void multiply_all(coded_rows all, size_t rows, x_rows x, coded_rows next, float *y,
                         size_t y_stride)
{
    const size_t groups = rows * all.groups;
    const distance ahead = CODED_AHEAD;
    for (size_t r = 0; r < rows; r += 2) {
        size_t at = r * all.groups;
        coded_rows w = rows_from(all, r);
        coded_rows asked = w;
        if (16 * at + ahead.first >= 16 * groups && next.blocks != NULL)
            asked = (coded_rows){next.blocks + 16 * at - 16 * groups, next.scales + at - groups,
                                 all.groups};
        multiply_two(w, x, asked, y + r, y_stride);
    }
}

bool bfloat_multiply_few_bf16(const uint8_t *blocks, const uint8_t *scales, size_t rows,
                              size_t columns, const uint16_t *x, size_t count, bfloat_ahead ahead,
                              float *y, size_t y_stride)
{
    coded_rows all = {blocks, scales, columns / 32};
    coded_rows next = {ahead.bytes > 0 ? ahead.at : NULL, ahead.scales, columns / 32};
    size_t stride = bfloat_blocks(columns) * BLOCK;
    if (count < 2 || count > FEW || rows % 2 != 0 || !scales_are_plain(scales, rows * all.groups))
        return false;
    if (count == 2)
        multiply_all(all, rows, (x_rows){x, stride, 2}, next, y, y_stride);
    else if (count == 3)
        multiply_all(all, rows, (x_rows){x, stride, 3}, next, y, y_stride);
    else
        multiply_all(all, rows, (x_rows){x, stride, FEW}, next, y, y_stride);
    return true;
}

void bfloat_overlay_one_bf16(bfloat_table *lanes, cpu_fetching fetching)
{
    lanes->dot_bf16 = dot_bf16;
    lanes->dot_packed = fetching == CPU_FETCHES_NEAR    ? dot_packed_near
                        : fetching == CPU_FETCHES_TWICE ? dot_packed_twice
                                                        : dot_packed;
    lanes->dot_mxfp4 = fetching == CPU_FETCHES_ONCE ? dot_mxfp4 : dot_mxfp4_twice;
}
