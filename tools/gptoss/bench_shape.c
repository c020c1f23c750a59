/* The shape of a synthetic model, as it is typed: 20b,layers=2,vocab=1024 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* One "key=number". False when it is not one. */
static bool set_size(gptoss_config *config, const char *text, size_t length)
{
    const struct {
        const char *key;
        uint32_t *size;
        uint32_t least;
    } sizes[] = {{"layers=", &config->layers, 1},
                 {"vocab=", &config->vocab, 1},
                 {"experts=", &config->experts, config->experts_per_token}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t key = strlen(sizes[i].key);
        if (length <= key || memcmp(text, sizes[i].key, key) != 0)
            continue;
        char *end;
        errno = 0;
        unsigned long number = strtoul(text + key, &end, 10);
        *sizes[i].size = (uint32_t)number;
        return text[key] >= '0' && text[key] <= '9' && end == text + length && errno == 0 &&
               number >= sizes[i].least && number <= INT32_MAX;
    }
    return false;
}

/* "winners=on" or "winners=off". */
static bool set_winners(bool *with_winners, const char *text, size_t length)
{
    *with_winners = length == 10 && memcmp(text, "winners=on", length) == 0;
    return *with_winners || (length == 11 && memcmp(text, "winners=off", length) == 0);
}

bool bench_shape(const char *text, gptoss_config *out, bool *with_winners)
{
    char name[16];
    size_t length = strcspn(text, ",");
    snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : sizeof name - 1),
             text);
    *with_winners = false;
    if (!gptoss_config_published(name, out))
        return false;
    while (text[length] == ',') {
        text += length + 1;
        length = strcspn(text, ",");
        if (!set_size(out, text, length) && !set_winners(with_winners, text, length))
            return false;
    }
    if (out->layers > GPTOSS_MAX_LAYERS)
        return false;
    for (uint32_t layer = 0; layer < out->layers; layer++)
        out->sliding[layer] = layer % 2 == 0;
    return true;
}
