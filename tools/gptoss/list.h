/* Lists as they are typed: 512,2048 and f32,bf16. */
#ifndef GPTOSS_TOOL_LIST_H
#define GPTOSS_TOOL_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIST_MOST 64

typedef struct list {
    int64_t items[LIST_MOST];
    size_t count;
} list;

/* Whole numbers from `least` to `most` with commas between. False when the text is anything else or
 * too long; *out is complete then up to the fault. */
bool list_numbers(const char *text, double least, double most, list *out);

/* Words of `choices`, which has them with bars between, as their places in it. */
bool list_choices(const char *text, const char *choices, list *out);

#endif
