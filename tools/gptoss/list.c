#include "list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool push(list *out, int64_t item)
{
    if (out->count == LIST_MOST)
        return false;
    out->items[out->count++] = item;
    return true;
}

bool list_numbers(const char *text, double least, double most, list *out)
{
    out->count = 0;
    for (;;) {
        char *end;
        errno = 0;
        long long number = strtoll(text, &end, 10);
        bool digits = text[0] >= '0' && text[0] <= '9'; /* no sign and no space before it */
        if (!digits || errno != 0 || (double)number < least || (double)number > most ||
            !push(out, number))
            return false;
        if (*end != ',')
            return *end == '\0';
        text = end + 1;
    }
}

/* The place of a word among those between bars; -1 when it is none of them. */
static int64_t place_of(const char *word, size_t length, const char *choices)
{
    for (int64_t place = 0;; place++) {
        size_t choice = strcspn(choices, "|");
        if (choice == length && memcmp(choices, word, length) == 0)
            return place;
        if (choices[choice] == '\0')
            return -1;
        choices += choice + 1;
    }
}

bool list_choices(const char *text, const char *choices, list *out)
{
    out->count = 0;
    for (;;) {
        size_t length = strcspn(text, ",");
        int64_t place = place_of(text, length, choices);
        if (place < 0 || !push(out, place))
            return false;
        if (text[length] == '\0')
            return true;
        text += length + 1;
    }
}
