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
        put(view->format, view->values, first + d / UNIT * UNIT + in_unit(view->format, d % UNIT),
            value[d]);
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
        value[d] = get(view->format, view->values,
                       first + d / UNIT * UNIT + in_unit(view->format, d % UNIT));
}
