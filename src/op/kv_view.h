/* Keys and values of one layer of one sequence, as the kernels of attention read them. */
#ifndef OP_KV_VIEW_H
#define OP_KV_VIEW_H

#include <stdint.h>

#include "op/matrix.h"

/*
 * A ring over positions: position p lies in slot p % slots of every head. `slots` is a multiple of
 * KERNEL_ATTEND_KEYS, and numbers lie within their units of 32 as kernel/attend.h says.
 */
typedef struct kv_view {
    uint8_t *keys;   /* [kv_heads, slots / 32, head_dim, 32] */
    uint8_t *values; /* [kv_heads, slots, width], width = head_dim rounded up to 32 */
    size_t slots;
    number_format format; /* NUMBER_F32 or NUMBER_BF16 */
} kv_view;

/* Bytes of the keys of `slots` slots of one head, and of their values: multiples of 64. */
size_t kv_key_bytes(number_format format, size_t slots, size_t head_dim);
size_t kv_value_bytes(number_format format, size_t slots, size_t head_dim);

/* Puts a key or a value [head_dim] into its place; in bfloat16 rounded to nearest, ties to even. */
void kv_put_key(const kv_view *view, size_t head_dim, size_t head, size_t position,
                const float *key);
void kv_put_value(const kv_view *view, size_t head_dim, size_t head, size_t position,
                  const float *value);

/* Gets a key or a value [head_dim] back: for arithmetic that does not go by blocks. */
void kv_get_key(const kv_view *view, size_t head_dim, size_t head, size_t position, float *key);
void kv_get_value(const kv_view *view, size_t head_dim, size_t head, size_t position, float *value);

/* Keys and values of all heads at a position as they are stored, each in the order
 * [kv_heads, head_dim] in the view's format: out of their places, unless `keys` or `values` is
 * NULL, and back. */
void kv_take(const kv_view *view, size_t kv_heads, size_t head_dim, size_t position, uint8_t *keys,
             uint8_t *values);
void kv_return(const kv_view *view, size_t kv_heads, size_t head_dim, size_t position,
               const uint8_t *keys, const uint8_t *values);

#endif
