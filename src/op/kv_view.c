#include "op/kv_view.h"

#include <string.h>

#include "base/number.h"
#include "kernel/attend.h"

enum { UNIT = KERNEL_ATTEND_UNIT };

size_t kv_key_bytes(number_format format, size_t slots, size_t head_dim)
{
    return number_bytes(format, slots * head_dim);
}

size_t kv_value_bytes(number_format format, size_t slots, size_t head_dim)
{
    return number_bytes(format, slots * KERNEL_ATTEND_WIDTH(head_dim));
}

/* Where number `place` of a unit lies in it: bfloat16 has the second half of a unit between the
 * numbers of the first. */
static inline size_t in_unit(number_format format, size_t place)
{
    return format == NUMBER_BF16 ? place % (UNIT / 2) * 2 + place / (UNIT / 2) : place;
}

static inline void put(number_format format, uint8_t *numbers, size_t index, float value)
{
    if (format == NUMBER_BF16) {
        uint16_t half = bf16_from_float(value);
        memcpy(numbers + index * sizeof half, &half, sizeof half);
    } else {
        memcpy(numbers + index * sizeof value, &value, sizeof value);
    }
}

static inline float get(number_format format, const uint8_t *numbers, size_t index)
{
    float value;
    uint16_t half;
    if (format == NUMBER_BF16) {
        memcpy(&half, numbers + index * sizeof half, sizeof half);
        return bf16_to_float(half);
    }
    memcpy(&value, numbers + index * sizeof value, sizeof value);
    return value;
}

/* Index of the first number of a key; the next ones follow at steps of UNIT. */
static inline size_t key_index(const kv_view *view, size_t head_dim, size_t head, size_t position)
{
    size_t slot = head * view->slots + position % view->slots;
    return slot / UNIT * head_dim * UNIT + in_unit(view->format, slot % UNIT);
}

/* Index of the first number of a value. */
static inline size_t value_index(const kv_view *view, size_t head_dim, size_t head, size_t position)
{
    return (head * view->slots + position % view->slots) * KERNEL_ATTEND_WIDTH(head_dim);
}

/* Index of number `d` of a value, whose first has the index `first`. */
static inline size_t within_value(number_format format, size_t first, size_t d)
{
    return first + d / UNIT * UNIT + in_unit(format, d % UNIT);
}

void kv_put_key(const kv_view *view, size_t head_dim, size_t head, size_t position,
                const float *key)
{
    size_t first = key_index(view, head_dim, head, position);
    for (size_t d = 0; d < head_dim; d++)
        put(view->format, view->keys, first + d * UNIT, key[d]);
}

void kv_put_value(const kv_view *view, size_t head_dim, size_t head, size_t position,
                  const float *value)
{
    size_t first = value_index(view, head_dim, head, position);
    for (size_t d = 0; d < head_dim; d++)
        put(view->format, view->values, within_value(view->format, first, d), value[d]);
}

void kv_get_key(const kv_view *view, size_t head_dim, size_t head, size_t position, float *key)
{
    size_t first = key_index(view, head_dim, head, position);
    for (size_t d = 0; d < head_dim; d++)
        key[d] = get(view->format, view->keys, first + d * UNIT);
}

void kv_get_value(const kv_view *view, size_t head_dim, size_t head, size_t position, float *value)
{
    size_t first = value_index(view, head_dim, head, position);
    for (size_t d = 0; d < head_dim; d++)
        value[d] = get(view->format, view->values, within_value(view->format, first, d));
}

/* One number as it is stored. */
static inline void copy(number_format format, uint8_t *to, size_t to_index, const uint8_t *from,
                        size_t from_index)
{
    size_t size = format == NUMBER_BF16 ? sizeof(uint16_t) : sizeof(float);
    memcpy(to + to_index * size, from + from_index * size, size);
}

void kv_take(const kv_view *view, size_t kv_heads, size_t head_dim, size_t position, uint8_t *keys,
             uint8_t *values)
{
    for (size_t head = 0; head < kv_heads; head++) {
        size_t key = key_index(view, head_dim, head, position);
        size_t value = value_index(view, head_dim, head, position);
        for (size_t d = 0; d < head_dim && keys != NULL; d++)
            copy(view->format, keys, head * head_dim + d, view->keys, key + d * UNIT);
        for (size_t d = 0; d < head_dim && values != NULL; d++)
            copy(view->format, values, head * head_dim + d, view->values,
                 within_value(view->format, value, d));
    }
}

void kv_return(const kv_view *view, size_t kv_heads, size_t head_dim, size_t position,
               const uint8_t *keys, const uint8_t *values)
{
    for (size_t head = 0; head < kv_heads; head++) {
        size_t key = key_index(view, head_dim, head, position);
        size_t value = value_index(view, head_dim, head, position);
        for (size_t d = 0; d < head_dim; d++) {
            size_t i = head * head_dim + d;
            copy(view->format, view->keys, key + d * UNIT, keys, i);
            copy(view->format, view->values, within_value(view->format, value, d), values, i);
        }
    }
}
