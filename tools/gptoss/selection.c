#include "selection.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"

#define LONGEST_SHOWN 40 /* bytes of a mistake in a sentence */
#define ALL_STAGES    ((1U << GPTOSS_STAGE_COUNT) - 1)

/* ---- stages ---------------------------------------------------------------------------------- */

/* The stage of a name that is not terminated; GPTOSS_STAGE_COUNT when there is none. */
static gptoss_stage stage_of(const char *name, size_t length)
{
    char text[32]; /* more than any name has */
    if (length >= sizeof text)
        return GPTOSS_STAGE_COUNT;
    memcpy(text, name, length);
    text[length] = '\0';
    return gptoss_stage_named(text);
}

static int unknown_stage(const options *given, const char *name, size_t length)
{
    char names[512] = ""; /* more than all take */
    size_t used = 0;
    for (int i = 0; i < GPTOSS_STAGE_COUNT; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? ", " : "",
                                 gptoss_stage_name((gptoss_stage)i));
    return console_usage(given->command, "--stages: expected all, or some of %s, found \"%.*s\"",
                         names, (int)(length < LONGEST_SHOWN ? length : LONGEST_SHOWN), name);
}

int selection_stages(const options *given, uint32_t *stages)
{
    *stages = 0;
    if (strcmp(given->stages, "all") == 0) {
        *stages = ALL_STAGES;
        return EXIT_GOOD;
    }
    const char *at = given->stages;
    for (;;) {
        size_t length = strcspn(at, ",");
        gptoss_stage stage = stage_of(at, length);
        if (stage == GPTOSS_STAGE_COUNT)
            return unknown_stage(given, at, length);
        *stages |= 1U << stage;
        if (at[length] == '\0')
            return EXIT_GOOD;
        at += length + 1;
    }
}

/* ---- ranges ---------------------------------------------------------------------------------- */

/* Both ends belong to it; negative ends are not resolved. */
typedef struct range {
    int64_t first, last;
} range;

static bool parse_place(const char **at, int64_t *place)
{
    char *end;
    const char *digits = *at + (**at == '-');
    if (*digits < '0' || *digits > '9')
        return false;
    errno = 0;
    *place = strtoll(*at, &end, 10);
    *at = end;
    return errno == 0;
}

/* Parses "7", "-1", "0-31" or "-8--1" and moves *at behind it. */
static bool parse_range(const char **at, range *out)
{
    if (!parse_place(at, &out->first))
        return false;
    out->last = out->first;
    if (**at != '-')
        return true;
    ++*at;
    return parse_place(at, &out->last);
}

int selection_layers(const options *given, uint32_t layers, uint32_t *begin, uint32_t *end)
{
    *begin = 0;
    *end = layers;
    if (given->layers == NULL)
        return EXIT_GOOD;
    range chosen;
    const char *at = given->layers;
    if (!parse_range(&at, &chosen) || *at != '\0' || chosen.first < 0 ||
        chosen.last < chosen.first || chosen.last >= (int64_t)layers)
        return console_usage(given->command,
                             "--layers: expected a layer or a range such as 0-3 of the model's "
                             "layers 0 to %" PRIu32 ", found \"%.*s\"",
                             layers - 1, LONGEST_SHOWN, given->layers);
    *begin = (uint32_t)chosen.first;
    *end = (uint32_t)chosen.last + 1;
    return EXIT_GOOD;
}

/* Marks the positions of a list; false at the first mistake. */
static bool mark_positions(const char *at, size_t count, bool *marked)
{
    for (;;) {
        range each;
        if (!parse_range(&at, &each))
            return false;
        each.first += each.first < 0 ? (int64_t)count : 0;
        each.last += each.last < 0 ? (int64_t)count : 0;
        if (each.first < 0 || each.last < each.first || each.last >= (int64_t)count)
            return false;
        memset(marked + each.first, true, (size_t)(each.last - each.first + 1));
        if (*at == '\0')
            return true;
        if (*at++ != ',')
            return false;
    }
}

int selection_positions(const options *given, size_t count, uint32_t **positions, size_t *chosen)
{
    *positions = NULL;
    *chosen = 0;
    if (given->positions == NULL)
        return EXIT_GOOD;
    bool *marked = console_resize(NULL, count, sizeof *marked);
    memset(marked, false, count);
    bool good = mark_positions(given->positions, count, marked);
    if (good) {
        *positions = console_resize(NULL, count, sizeof **positions);
        for (size_t i = 0; i < count; i++)
            if (marked[i])
                (*positions)[(*chosen)++] = (uint32_t)i;
    }
    free(marked);
    return good ? EXIT_GOOD
                : console_usage(given->command,
                                "--positions: expected places and ranges such as 0-31,63,-1 among "
                                "the %zu tokens, found \"%.*s\"",
                                count, LONGEST_SHOWN, given->positions);
}

/* ---- numerics -------------------------------------------------------------------------------- */

int selection_numerics(const options *given, gptoss_numerics fallback, gptoss_numerics *numerics)
{
    static const gptoss_numerics all[] = {GPTOSS_NUMERICS_F32, GPTOSS_NUMERICS_TORCH_BF16};
    *numerics = fallback;
    if (given->numerics == NULL)
        return EXIT_GOOD;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(given->numerics, gptoss_numerics_name(all[i])) == 0) {
            *numerics = all[i];
            return EXIT_GOOD;
        }
    return console_usage(given->command, "--numerics: expected f32 or torch-bf16, found \"%.*s\"",
                         LONGEST_SHOWN, given->numerics);
}
