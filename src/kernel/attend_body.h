/*
 * The kernels of kernel/attend.h, written once over the vectors of kernel/body.h. The including
 * file includes kernel/attend.h and a header of vectors, and defines
 *     ATTEND_QUERIES, ATTEND_VECS   a tile whose sums stay in registers: queries by vectors
 *     ATTEND_OVERLAY                the name of the function that fills the table
 */

#include <string.h>

#define LANES 16
#define KEYS  KERNEL_ATTEND_KEYS
#define UNIT  KERNEL_ATTEND_UNIT

/* The parts of a state. */
#define STATE_MAX(state)        (state)
#define STATE_SUM(state, g)     ((state) + LANES * (1 + (g)))
#define STATE_OUT(state, g, wd) ((state) + LANES * (1 + KERNEL_ATTEND_QUERIES) + (g) * (wd))

/* ---- elementary steps ------------------------------------------------------------------------ */

/*
 * exp(x) = 2^n * exp(r) as in kernel/body.h, for x <= 0 and with fewer steps: adding 1.5 * 2^23
 * leaves n, rounded, in the lowest bits, biased by 127 as an exponent is. 1 + r + r^2 (...) of
 * degree 6 is within 2^-28 of exp(r).
 */
INLINE vec vec_decay(vec x)
{
    const vec magic = vec_set(0x1.8p+23F + 127.0F);
    vec biased = vec_fma(x, vec_set(0x1.715476p+0F), magic);
    vec n = vec_sub(biased, magic);
    vec r = vec_fma(n, vec_set(-0x1.62e4p-1F), x);
    r = vec_fma(n, vec_set(-0x1.7f7d1cp-20F), r);
    vec p = vec_set(0x1.6a23dp-10F);
    p = vec_fma(p, r, vec_set(0x1.123a2p-7F));
    p = vec_fma(p, r, vec_set(0x1.5558f2p-5F));
    p = vec_fma(p, r, vec_set(0x1.555492p-3F));
    p = vec_fma(p, r, vec_set(0x1.fffffcp-2F));
    p = vec_fma(p, r, vec_set(1.0F));
    p = vec_fma(p, r, vec_set(1.0F));
    return vec_zero_below(x, vec_set(-87.0F), vec_mul(p, vec_power_of_low_bits(biased)));
}

/* How 32 numbers of a cache become two vectors. */
typedef struct cache_format {
    vec (*first)(const uint8_t *unit);
    vec (*second)(const uint8_t *unit);
    size_t bytes; /* of a unit */
} cache_format;

INLINE vec first_f32(const uint8_t *unit)
{
    return vec_load((const float *)(const void *)unit);
}
INLINE vec second_f32(const uint8_t *unit)
{
    return vec_load((const float *)(const void *)unit + LANES);
}

#define FORMAT_F32  ((cache_format){first_f32, second_f32, sizeof(float) * UNIT})
#define FORMAT_BF16 ((cache_format){vec_low_bf16, vec_high_bf16, sizeof(uint16_t) * UNIT})

INLINE vec load_half(cache_format format, const uint8_t *unit, size_t half)
{
    return half == 0 ? format.first(unit) : format.second(unit);
}

/* Fetches a unit that will be needed soon, into L2 only: what is at work fills L1. */
INLINE void fetch(cache_format format, const uint8_t *unit)
{
    for (size_t byte = 0; byte < format.bytes; byte += 64)
        __builtin_prefetch(unit + byte, 0, 2);
}

/* ---- scores ---------------------------------------------------------------------------------- */

/* Scores of `queries` queries and `vecs` vectors of keys from `half` on; constants after inlining.
 * scores [queries][KEYS]. */
INLINE void score_tile(cache_format format, const uint8_t *keys, size_t half, size_t vecs,
                       const float *q, size_t queries, size_t dim, float scale, size_t ahead,
                       float *scores)
{
    vec sums[ATTEND_QUERIES][ATTEND_VECS];
    UNROLL(8)
    for (size_t g = 0; g < queries; g++) {
        UNROLL(2)
        for (size_t v = 0; v < vecs; v++)
            sums[g][v] = vec_set(0.0F);
    }
    for (size_t d = 0; d < dim; d++) {
        vec k[ATTEND_VECS];
        UNROLL(2)
        for (size_t v = 0; v < vecs; v++)
            k[v] = load_half(format, keys + d * format.bytes, half + v);
        if (ahead != 0)
            fetch(format, keys + d * format.bytes + ahead);
        UNROLL(8)
        for (size_t g = 0; g < queries; g++) {
            vec x = vec_set(q[g * dim + d]);
            UNROLL(2)
            for (size_t v = 0; v < vecs; v++)
                sums[g][v] = vec_fma(x, k[v], sums[g][v]);
        }
    }
    UNROLL(8)
    for (size_t g = 0; g < queries; g++) {
        UNROLL(2)
        for (size_t v = 0; v < vecs; v++)
            vec_store(scores + g * KEYS + (half + v) * LANES, vec_mul(sums[g][v], vec_set(scale)));
    }
}

/* Scores of the units that have visible keys. */
INLINE void score(cache_format format, const attend_keys *block, const float *q, size_t queries,
                  size_t dim, float scale, float *scores)
{
    size_t ahead = block->ahead * dim * (format.bytes / UNIT);
    for (size_t unit = block->first / UNIT; unit * UNIT < block->end; unit++) {
        const uint8_t *keys = (const uint8_t *)block->keys + unit * dim * format.bytes;
        for (size_t half = 0; half < 2; half += ATTEND_VECS) {
            float *to = scores + unit * UNIT;
            size_t g = 0;
            for (; g + ATTEND_QUERIES <= queries; g += ATTEND_QUERIES)
                score_tile(format, keys, half, ATTEND_VECS, q + g * dim, ATTEND_QUERIES, dim, scale,
                           g + half == 0 ? ahead : 0, to + g * KEYS);
            for (; g < queries; g++)
                score_tile(format, keys, half, ATTEND_VECS, q + g * dim, 1, dim, scale,
                           g + half == 0 ? ahead : 0, to + g * KEYS);
        }
    }
}

/* ---- softmax --------------------------------------------------------------------------------- */

/* Turns scores into exp(score - max) and brings maxima and sums up to date; rescale [16] becomes
 * what the sums and outputs so far are to be multiplied by. */
INLINE void soften(const attend_keys *block, size_t queries, float *scores, float *state,
                   float *rescale)
{
    size_t begin = block->first / LANES * LANES;
    size_t end = (block->end + LANES - 1) / LANES * LANES;
    float *max = STATE_MAX(state);
    vec before = vec_load(max);
    for (size_t g = 0; g < queries; g++) {
        float *s = scores + g * KEYS;
        for (size_t j = begin; j < block->first; j++)
            s[j] = -INFINITY;
        for (size_t j = block->end; j < end; j++)
            s[j] = -INFINITY;
        vec top = vec_load(s + begin);
        for (size_t j = begin + LANES; j < end; j += LANES)
            top = vec_max(top, vec_load(s + j));
        float highest = vec_fold_max(top);
        max[g] = max[g] > highest ? max[g] : highest;
    }
    vec_store(rescale, vec_decay(vec_sub(before, vec_load(max))));
    for (size_t g = 0; g < queries; g++) {
        float *s = scores + g * KEYS;
        vec top = vec_set(max[g]);
        vec total = vec_set(0.0F);
        for (size_t j = begin; j < end; j += LANES) {
            vec p = vec_decay(vec_sub(vec_load(s + j), top));
            vec_store(s + j, p);
            total = vec_add(total, p);
        }
        float *sum = STATE_SUM(state, g);
        vec_store(sum, vec_fma(vec_load(sum), vec_set(rescale[g]), total));
    }
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Adds the weighted values of `queries` queries in `vecs` vectors from `half` on; constants after
 * inlining. weights [queries][KEYS], out [queries][width]. Fetches units from `next` on, unless
 * that is NULL: in the order of their addresses, which is faster than in that of the work. */
INLINE void gather_tile(cache_format format, const attend_keys *block, const uint8_t *values,
                        size_t half, size_t vecs, size_t queries, size_t width, const uint8_t *next,
                        const float *weights, const float *rescale, float *out)
{
    size_t row = width / UNIT * format.bytes;
    vec sums[ATTEND_QUERIES][ATTEND_VECS];
    UNROLL(8)
    for (size_t g = 0; g < queries; g++) {
        UNROLL(2)
        for (size_t v = 0; v < vecs; v++)
            sums[g][v] =
                vec_mul(vec_load(out + g * width + (half + v) * LANES), vec_set(rescale[g]));
    }
    for (size_t j = block->first; j < block->end; j++) {
        vec x[ATTEND_VECS];
        UNROLL(2)
        for (size_t v = 0; v < vecs; v++)
            x[v] = load_half(format, values + j * row, half + v);
        if (next != NULL)
            fetch(format, next + j * format.bytes);
        UNROLL(8)
        for (size_t g = 0; g < queries; g++) {
            vec weight = vec_set(weights[g * KEYS + j]);
            UNROLL(2)
            for (size_t v = 0; v < vecs; v++)
                sums[g][v] = vec_fma(weight, x[v], sums[g][v]);
        }
    }
    UNROLL(8)
    for (size_t g = 0; g < queries; g++) {
        UNROLL(2)
        for (size_t v = 0; v < vecs; v++)
            vec_store(out + g * width + (half + v) * LANES, sums[g][v]);
    }
}

INLINE void gather(cache_format format, const attend_keys *block, size_t queries, size_t width,
                   const float *weights, const float *rescale, float *state)
{
    size_t ahead = block->ahead * (width / UNIT) * format.bytes;
    for (size_t unit = 0; unit < width / UNIT; unit++) {
        const uint8_t *values = (const uint8_t *)block->values + unit * format.bytes;
        const uint8_t *next = (const uint8_t *)block->values + ahead + unit * KEYS * format.bytes;
        for (size_t half = 0; half < 2; half += ATTEND_VECS) {
            float *out = STATE_OUT(state, 0, width) + unit * UNIT;
            size_t g = 0;
            for (; g + ATTEND_QUERIES <= queries; g += ATTEND_QUERIES)
                gather_tile(format, block, values, half, ATTEND_VECS, ATTEND_QUERIES, width,
                            ahead != 0 && g + half == 0 ? next : NULL, weights + g * KEYS,
                            rescale + g, out + g * width);
            for (; g < queries; g++)
                gather_tile(format, block, values, half, ATTEND_VECS, 1, width,
                            ahead != 0 && g + half == 0 ? next : NULL, weights + g * KEYS,
                            rescale + g, out + g * width);
        }
    }
}

/* ---- the kernels ----------------------------------------------------------------------------- */

static void attend_start(const float *sinks, size_t queries, size_t dim, float share, float *state)
{
    memset(state, 0, KERNEL_ATTEND_STATE(dim) * sizeof *state);
    for (size_t g = 0; g < queries; g++) {
        STATE_MAX(state)[g] = sinks[g];
        STATE_SUM(state, g)[0] = share;
    }
}

INLINE void attend(cache_format format, const attend_keys *block, const float *q, size_t queries,
                   size_t dim, float scale, float *state)
{
    float scores[KERNEL_ATTEND_QUERIES * KEYS];
    float rescale[LANES];
    score(format, block, q, queries, dim, scale, scores);
    soften(block, queries, scores, state, rescale);
    gather(format, block, queries, KERNEL_ATTEND_WIDTH(dim), scores, rescale, state);
}

/* The published head size and group are worth code of their own: addresses become constants. */
#define COMMON_DIM 64

static void attend_f32(const attend_keys *block, const float *q, size_t queries, size_t dim,
                       float scale, float *state)
{
    if (dim == COMMON_DIM && queries == KERNEL_ATTEND_QUERIES)
        attend(FORMAT_F32, block, q, KERNEL_ATTEND_QUERIES, COMMON_DIM, scale, state);
    else
        attend(FORMAT_F32, block, q, queries, dim, scale, state);
}

static void attend_bf16(const attend_keys *block, const float *q, size_t queries, size_t dim,
                        float scale, float *state)
{
    if (dim == COMMON_DIM && queries == KERNEL_ATTEND_QUERIES)
        attend(FORMAT_BF16, block, q, KERNEL_ATTEND_QUERIES, COMMON_DIM, scale, state);
    else
        attend(FORMAT_BF16, block, q, queries, dim, scale, state);
}

static void attend_merge(const float *later, size_t queries, size_t dim, float *state)
{
    size_t width = KERNEL_ATTEND_WIDTH(dim);
    float keep[LANES];
    float take[LANES];
    vec before = vec_load(STATE_MAX(state));
    vec after = vec_load(STATE_MAX(later));
    vec top = vec_max(before, after);
    vec_store(STATE_MAX(state), top);
    vec_store(keep, vec_decay(vec_sub(before, top)));
    vec_store(take, vec_decay(vec_sub(after, top)));
    for (size_t g = 0; g < queries; g++) {
        float *sum = STATE_SUM(state, g);
        float *out = STATE_OUT(state, g, width);
        vec factor = vec_set(take[g]);
        vec_store(sum, vec_fma(vec_load(STATE_SUM(later, g)), factor,
                               vec_mul(vec_load(sum), vec_set(keep[g]))));
        for (size_t d = 0; d < width; d += LANES)
            vec_store(out + d, vec_fma(vec_load(STATE_OUT(later, g, width) + d), factor,
                                       vec_mul(vec_load(out + d), vec_set(keep[g]))));
    }
}

static void attend_finish(const float *state, const float *sinks, size_t queries, size_t dim,
                          float *out, float *mass)
{
    size_t width = KERNEL_ATTEND_WIDTH(dim);
    for (size_t g = 0; g < queries; g++) {
        float sum = vec_fold(vec_load(STATE_SUM(state, g)));
        const float *from = STATE_OUT(state, g, width);
        float *to = out + g * dim;
        size_t d = 0;
        for (; d + LANES <= dim; d += LANES)
            vec_store(to + d, vec_div(vec_load(from + d), vec_set(sum)));
        for (; d < dim; d++)
            to[d] = from[d] / sum;
        if (mass != NULL) {
            float decayed[LANES];
            vec_store(decayed, vec_decay(vec_set(sinks[g] - STATE_MAX(state)[g])));
            mass[g] = decayed[0] / sum;
        }
    }
}

void ATTEND_OVERLAY(attend_table *table)
{
    table->start = attend_start;
    table->f32 = attend_f32;
    table->bf16 = attend_bf16;
    table->merge = attend_merge;
    table->finish = attend_finish;
}
