/*
 * Attention over blocks of keys: the kernels of one row's query heads that share a key-value head.
 *
 * A cache holds the keys and values of a head in numbers of one format, float32 or bfloat16. Keys
 * lie in units of 32 so that scores are computed with keys in lanes; a value lies in a row of its
 * own, padded to whole units of 32:
 *
 *     keys     [unit of 32][dim][32]
 *     values   [key][width],  width = dim rounded up to 32
 *
 *     the 32 numbers of a unit    float32:   0  1  2 ... 31
 *                                 bfloat16:  0 16  1 17 ... 15 31, so that half of each 32-bit
 *                                            word gives 16 floats in order
 *
 * The canonical order, the same at every level. Positions are cut into blocks of
 * KERNEL_ATTEND_KEYS. In a block, of its visible keys only: s_j = scale * (fma chain over d,
 * ascending, from +0, of q_d * k_jd) top = max(max, s_j ...), r = decay(max - top), p_j = decay(s_j
 * - top) t_l = sum of p_j in ascending j over j mod 16 = l;  sum_l = fma(sum_l, r, t_l) out_d = fma
 * chain over j, ascending, from out_d * r, of p_j * v_jd decay(x), for x <= 0: exp with a relative
 * error below 2^-23, 0 below -87, exactly 1 at 0. The 16 partial sums of a softmax are folded in
 * halves (kernel/kernel.h) when it is finished.
 */
#ifndef KERNEL_ATTEND_H
#define KERNEL_ATTEND_H

#include <stddef.h>
#include <stdint.h>

/* Keys of a block. */
#define KERNEL_ATTEND_KEYS 64

/* Keys, or numbers of a value, that lie together. */
#define KERNEL_ATTEND_UNIT 32

/* Most queries that a kernel takes at once. */
#define KERNEL_ATTEND_QUERIES 8

/* Widest head. */
#define KERNEL_MAX_HEAD_DIM 1024

#define KERNEL_ATTEND_WIDTH(dim)                                                                   \
    (((dim) + KERNEL_ATTEND_UNIT - 1) / KERNEL_ATTEND_UNIT * KERNEL_ATTEND_UNIT)

/*
 * The running softmax of at most KERNEL_ATTEND_QUERIES queries, in floats:
 *
 *     | max [16], 8 of them used | sum [8][16] | out [8][width] |
 */
#define KERNEL_ATTEND_STATE(dim) (16 + KERNEL_ATTEND_QUERIES * (16 + KERNEL_ATTEND_WIDTH(dim)))

/* What of a block's keys a row sees, and where it lies. */
typedef struct attend_keys {
    const void *keys;   /* [KERNEL_ATTEND_KEYS / 32][dim][32] */
    const void *values; /* [KERNEL_ATTEND_KEYS][width] */
    size_t first;       /* keys [first, end) of the block are visible, at least one */
    size_t end;
    size_t ahead; /* fetch the keys this many further on into the cache; 0: none */
} attend_keys;

/* Begins a softmax with the queries' sinks [queries] as the maxima. They count as `share` keys
 * whose values are zero: 1, or 0 in all parts of a divided softmax but the first. */
typedef void (*kernel_attend_start_fn)(const float *sinks, size_t queries, size_t dim, float share,
                                       float *state);

/* Takes the visible keys of a block into the softmax. q [queries, dim]. */
typedef void (*kernel_attend_fn)(const attend_keys *block, const float *q, size_t queries,
                                 size_t dim, float scale, float *state);

/* Takes the softmax of later keys into that of earlier ones: with top = max(max, max'),
 * sum = fma(sum', decay(max' - top), sum * decay(max - top)), out likewise. */
typedef void (*kernel_attend_merge_fn)(const float *later, size_t queries, size_t dim,
                                       float *state);

/* out = out / sum, [queries, dim]; mass: the sinks' share of the softmax, [queries], or NULL. */
typedef void (*kernel_attend_finish_fn)(const float *state, const float *sinks, size_t queries,
                                        size_t dim, float *out, float *mass);

typedef struct attend_table {
    kernel_attend_start_fn start;
    kernel_attend_fn f32;
    kernel_attend_fn bf16;
    kernel_attend_merge_fn merge;
    kernel_attend_finish_fn finish;
} attend_table;

/* The overlays, lowest level first. */
void attend_overlay_plain(attend_table *table);
void attend_overlay_avx2(attend_table *table);
void attend_overlay_avx512(attend_table *table);

#endif
