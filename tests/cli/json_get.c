/*
 * json_get FILE [NAME | INDEX]...: checks that FILE is one well-formed JSON value in well-formed
 * UTF-8, and prints the value that the names and indexes lead to: strings as they are, numbers and
 * booleans as in JSON, containers as "array N" or "object N". Exits 1 with a sentence otherwise.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/map.h"

static const json_value *step(const json_value *container, const char *name)
{
    if (json_is_object(container))
        return json_member(container, name);
    const json_value *value = json_is_array(container) ? json_first(container) : NULL;
    for (long i = strtol(name, NULL, 10); i > 0 && value != NULL; i--)
        value = json_next(value);
    return value;
}

static void print(const json_value *value)
{
    if (json_is_string(value))
        printf("%s\n", json_string(value));
    else if (json_is_number(value))
        printf("%.17g\n", json_number(value));
    else if (json_is_bool(value))
        printf("%s\n", json_bool(value) ? "true" : "false");
    else if (json_is_null(value))
        printf("null\n");
    else
        printf("%s %zu\n", json_is_array(value) ? "array" : "object", json_count(value));
}

/* Decoding and encoding again changes ill-formed UTF-8 only. */
static int is_utf8(const char *text, size_t length)
{
    gptoss_utf8_stream utf8 = {.count = 0};
    char *valid = malloc(GPTOSS_UTF8_ROOM(length) + GPTOSS_UTF8_ROOM(0));
    if (valid == NULL)
        return 0;
    size_t written = gptoss_utf8_push(&utf8, text, length, valid);
    written += gptoss_utf8_end(&utf8, valid + written);
    int same = written == length && memcmp(valid, text, length) == 0;
    free(valid);
    return same;
}

/* A copy with the escape of U+0000, which JSON may have and the library's reader refuses, made that
 * of U+FFFD. */
static char *without_zeros(const char *text, size_t length)
{
    char *copy = malloc(length + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    for (char *at = copy; (at = strchr(at, '\\')) != NULL && at[1] != '\0'; at += 2)
        if (strncmp(at, "\\u0000", 6) == 0)
            memcpy(at, "\\ufffd", 6);
    return copy;
}

/* Parses the file into *out; prints a sentence when that fails. */
static int parse(const char *path, json_value **out)
{
    file_map map = {.data = NULL};
    gptoss_error error = {GPTOSS_MEMORY, "no memory"};
    gptoss_status status = file_map_open(path, &map, &error);
    if (status == GPTOSS_OK && !is_utf8((const char *)map.data, map.size))
        status = fail(&error, GPTOSS_FORMAT, "%s is not UTF-8", path);
    char *text = status == GPTOSS_OK ? without_zeros((const char *)map.data, map.size) : NULL;
    if (text != NULL)
        status = json_parse(text, map.size, path, out, &error);
    int good = text != NULL && status == GPTOSS_OK;
    if (!good)
        fprintf(stderr, "json_get: %s\n", error.message);
    free(text);
    file_map_close(&map);
    return good;
}

int main(int argc, char **argv)
{
    json_value *document = NULL;
    if (argc < 2 || !parse(argv[1], &document))
        return 1;
    const json_value *value = document;
    for (int i = 2; i < argc && value != NULL; i++)
        value = step(value, argv[i]);
    if (value == NULL)
        fprintf(stderr, "json_get: no such value\n");
    else
        print(value);
    json_free(document);
    return value == NULL;
}
