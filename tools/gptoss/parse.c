#include "parse.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "list.h"

#define LONGEST_NAME 64

/* ---- what may have been meant -------------------------------------------------------------- */

static size_t least_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t rows[3][LONGEST_NAME + 1]; /* the rows i - 2, i - 1 and i of the table, in turn */
    size_t length_a = strlen(a);
    size_t length_b = strlen(b);
    if (length_a > LONGEST_NAME || length_b > LONGEST_NAME)
        return SIZE_MAX;
    for (size_t j = 0; j <= length_b; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= length_a; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= length_b; j++) {
            size_t replaced = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least_of(replaced, least_of(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least_of(row[j], two_above[j - 2] + 1);
        }
    }
    return rows[length_a % 3][length_b];
}

/* The nearest name so far, among those near enough to be meant. */
typedef struct guess {
    const char *name;
    size_t distance;
} guess;

static void guess_consider(guess *best, const char *typed, const char *name)
{
    if (name == NULL)
        return;
    size_t distance = edit_distance(typed, name);
    bool begins = strlen(typed) >= 3 && strncmp(typed, name, strlen(typed)) == 0;
    if (begins)
        distance = 1;
    size_t tolerated = strlen(typed) < 4 ? 1 : 2;
    if (distance <= tolerated && (best->name == NULL || distance < best->distance))
        *best = (guess){name, distance};
}

static const char *guess_flag(const command *of, const char *typed)
{
    guess best = {NULL, 0};
    size_t index = 0;
    for (const flag *each; (each = command_flag(of, &index)) != NULL;) {
        guess_consider(&best, typed, each->name);
        guess_consider(&best, typed, each->alias);
    }
    return best.name;
}

int parse_unknown_command(const char *name)
{
    guess best = {NULL, 0};
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!command_table[i].hidden)
            guess_consider(&best, name, command_table[i].name);
    if (best.name != NULL)
        return console_usage(NULL, "there is no command \"%s\"; did you mean %s?", name, best.name);
    return console_usage(NULL, "there is no command \"%s\"; gptoss --help lists them", name);
}

/* Another command that takes the flag; NULL when none does. */
static const command *command_taking(const char *name, size_t length)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!command_table[i].hidden && command_flag_named(&command_table[i], name, length) != NULL)
            return &command_table[i];
    return NULL;
}

static int unknown_flag(const command *of, const char *argument)
{
    bool is_long = strncmp(argument, "--", 2) == 0;
    const char *name = argument + (is_long ? 2 : 1);
    size_t length = strcspn(name, "=");
    char typed[LONGEST_NAME + 1];
    snprintf(typed, sizeof typed, "%.*s", (int)least_of(length, LONGEST_NAME), name);

    const command *other = is_long ? command_taking(name, length) : NULL;
    if (other != NULL)
        return console_usage(of, "--%s is a flag of gptoss %s, not of gptoss %s", typed,
                             other->name, of->name);
    const char *meant = guess_flag(of, typed);
    const char *dashes = is_long ? "--" : "-";
    if (meant != NULL)
        return console_usage(of, "unknown flag %s%s; did you mean --%s?", dashes, typed, meant);
    return console_usage(of, "unknown flag %s%s; gptoss %s --help lists the flags", dashes, typed,
                         of->name);
}

/* ---- values -------------------------------------------------------------------------------- */

#define DESCRIPTION_ROOM 96

/* "-n, --predict" */
static const char *describe_flag(const flag *of, char text[DESCRIPTION_ROOM])
{
    if (of->letter != 0)
        snprintf(text, DESCRIPTION_ROOM, "-%c, --%s", of->letter, of->name);
    else
        snprintf(text, DESCRIPTION_ROOM, "--%s", of->name);
    return text;
}

/* "f32, bf16 or q8" for "f32|bf16|q8". */
static void describe_choices(const char *choices, char text[DESCRIPTION_ROOM])
{
    size_t used = 0;
    text[0] = '\0';
    for (const char *at = choices; *at != '\0' && used < DESCRIPTION_ROOM;) {
        size_t length = strcspn(at, "|");
        const char *after = at + length + (at[length] == '|');
        const char *between = *after == '\0' ? "" : strchr(after, '|') != NULL ? ", " : " or ";
        used += (size_t)snprintf(text + used, DESCRIPTION_ROOM - used, "%.*s%s", (int)length, at,
                                 between);
        at = after;
    }
}

/* What a flag takes: "a whole number from 1 to 10". */
static const char *describe_value(const flag *of, char text[DESCRIPTION_ROOM])
{
    if (of->kind == VALUE_INTEGER)
        snprintf(text, DESCRIPTION_ROOM, "a whole number from %.0f to %.0f", of->least, of->most);
    else if (of->kind == VALUE_REAL)
        snprintf(text, DESCRIPTION_ROOM, "a number from %g to %g", of->least, of->most);
    else if (of->kind == VALUE_SEED)
        snprintf(text, DESCRIPTION_ROOM, "a whole number from 0 to %llu, or -1 for a new one",
                 (unsigned long long)UINT64_MAX);
    else if (of->kind == VALUE_SIZE)
        snprintf(text, DESCRIPTION_ROOM, "a number of bytes such as 8G, 512M or 1.5GiB");
    else if (of->kind == VALUE_CHOICE || of->kind == VALUE_CHOICES)
        describe_choices(of->value, text);
    else if (of->kind == VALUE_NUMBERS)
        snprintf(text, DESCRIPTION_ROOM, "whole numbers from %.0f to %.0f with commas between",
                 of->least, of->most);
    else
        snprintf(text, DESCRIPTION_ROOM, "a value, %s", of->value);
    return text;
}

static int bad_value(const command *of, const flag *for_flag, const char *found)
{
    char name[DESCRIPTION_ROOM], expected[DESCRIPTION_ROOM];
    return console_usage(of, "%s: expected %s, found \"%s\"", describe_flag(for_flag, name),
                         describe_value(for_flag, expected), found);
}

static bool parse_integer(const flag *of, const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0)
        return false;
    *out = number;
    return (double)number >= of->least && (double)number <= of->most;
}

static bool parse_real(const flag *of, const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*out) && *out >= of->least && *out <= of->most;
}

static bool parse_seed(const char *text, uint64_t *out, bool *given)
{
    *given = strcmp(text, "-1") != 0;
    if (!*given)
        return true;
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
}

/* Digits, a fraction if there is one, and K, M, G or T for powers of 1024, as in 8G, 8GB, 8GiB. */
static bool parse_size(const char *text, uint64_t *out)
{
    static const char units[] = "KMGT";
    char *end;
    double number = strtod(text, &end);
    if (text[0] < '0' || text[0] > '9' || strspn(text, "0123456789.") != (size_t)(end - text))
        return false;
    const char *unit = *end != '\0' ? strchr(units, toupper((unsigned char)*end)) : NULL;
    if (unit != NULL) {
        number = ldexp(number, 10 * (int)(unit - units + 1));
        end += end[1] == 'i' ? 2 : 1;
    }
    if (*end == 'B')
        end++;
    *out = number < 0x1p63 ? (uint64_t)number : 0;
    return *end == '\0' && *out > 0;
}

static bool is_choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    for (const char *at = choices; *at != '\0';) {
        size_t here = strcspn(at, "|");
        if (here == length && memcmp(at, text, length) == 0)
            return true;
        at += here + (at[here] == '|');
    }
    return false;
}

/* Stores a value at its flag's place; false when it is not one that the flag takes. */
static bool store_value(const flag *of, const char *text, options *out)
{
    char *place = (char *)out + of->offset;
    bool *given = &out->given[of->id];
    *given = true;
    switch (of->kind) {
    case VALUE_NONE:
        *(bool *)(void *)place = true;
        return true;
    case VALUE_TEXT:
        *(const char **)(void *)place = text;
        return true;
    case VALUE_PATH:
        *(const char **)(void *)place = text;
        return text[0] != '\0';
    case VALUE_CHOICE:
        *(const char **)(void *)place = text;
        return is_choice(of->value, text);
    case VALUE_NUMBERS:
        *(const char **)(void *)place = text;
        return list_numbers(text, of->least, of->most, &(list){0});
    case VALUE_CHOICES:
        *(const char **)(void *)place = text;
        return list_choices(text, of->value, &(list){0});
    case VALUE_TEXTS:
        if (text[0] == '\0' || out->stop_count == MAX_STOP_TEXTS)
            return false;
        out->stops[out->stop_count++] = text;
        return true;
    case VALUE_INTEGER:
        return parse_integer(of, text, (int64_t *)(void *)place);
    case VALUE_REAL:
        return parse_real(of, text, (double *)(void *)place);
    case VALUE_SEED:
        return parse_seed(text, (uint64_t *)(void *)place, given);
    case VALUE_SIZE:
        return parse_size(text, (uint64_t *)(void *)place);
    }
    return false;
}

static void store_defaults(const command *of, options *out)
{
    *out = (options){.command = of};
    size_t index = 0;
    for (const flag *each; (each = command_flag(of, &index)) != NULL;) {
        if (each->fallback != NULL)
            store_value(each, each->fallback, out);
        out->given[each->id] = false;
    }
}

/* ---- arguments ----------------------------------------------------------------------------- */

/* The flag that an argument spells; NULL when none. *value is what follows "=", or NULL. */
static const flag *find_flag(const command *of, const char *argument, const char **value)
{
    *value = NULL;
    if (strncmp(argument, "--", 2) != 0)
        return argument[1] != '\0' && argument[2] == '\0' ? command_flag_lettered(of, argument[1])
                                                          : NULL;
    const char *name = argument + 2;
    size_t length = strcspn(name, "=");
    if (name[length] == '=')
        *value = name + length + 1;
    return command_flag_named(of, name, length);
}

/* A flag in the place of a value is a forgotten value, unless it is written --flag=-m. */
static bool is_value(const command *of, const char *argument)
{
    const char *value;
    return argument != NULL && (argument[0] != '-' || find_flag(of, argument, &value) == NULL);
}

static int missing_value(const command *of, const flag *for_flag, const char *next)
{
    char name[DESCRIPTION_ROOM], expected[DESCRIPTION_ROOM];
    describe_flag(for_flag, name);
    describe_value(for_flag, expected);
    if (next == NULL)
        return console_usage(of, "%s: expected %s, found nothing", name, expected);
    return console_usage(of, "%s: expected %s, found the flag %s (--%s=%s if that is meant)", name,
                         expected, next, for_flag->name, next);
}

/* Parses the flag at arguments[*at] and moves *at to its last argument. */
static int parse_flag(const command *of, int count, char **arguments, int *at, options *out)
{
    const char *value;
    const flag *found = find_flag(of, arguments[*at], &value);
    if (found == NULL)
        return unknown_flag(of, arguments[*at]);
    if (found->kind == VALUE_NONE && value != NULL)
        return console_usage(of, "--%s: expected no value, found \"%s\"", found->name, value);
    if (found->kind != VALUE_NONE && value == NULL) {
        const char *next = *at + 1 < count ? arguments[*at + 1] : NULL;
        if (!is_value(of, next))
            return missing_value(of, found, next);
        value = next;
        ++*at;
    }
    if (!store_value(found, value, out))
        return found->kind == VALUE_TEXTS && out->stop_count == MAX_STOP_TEXTS
                   ? console_usage(of, "--%s: expected at most %d texts, found more", found->name,
                                   MAX_STOP_TEXTS)
                   : bad_value(of, found, value);
    return EXIT_GOOD;
}

int parse_arguments(const command *of, int count, char **arguments, options *out)
{
    store_defaults(of, out);
    bool flags = true; /* until "--" */
    for (int i = 0; i < count; i++) {
        const char *argument = arguments[i];
        if (flags && strcmp(argument, "--") == 0) {
            flags = false;
        } else if (flags && argument[0] == '-' && argument[1] != '\0') {
            int status = parse_flag(of, count, arguments, &i, out);
            if (status != EXIT_GOOD)
                return status;
        } else if (of->operand != NULL && out->operand == NULL) {
            out->operand = argument;
        } else {
            return console_usage(of,
                                 "expected only flags, found \"%s\" (a text with spaces needs "
                                 "quotes)",
                                 argument);
        }
    }
    return EXIT_GOOD;
}
