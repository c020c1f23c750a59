#include "text/typescript.h"

#include <stdlib.h>
#include <string.h>

#include "text/json_display.h"

static void append_type(text_buffer *out, const json_value *schema, int indent);

/* A member that is a string; NULL otherwise. */
static const char *member_string(const json_value *schema, const char *name)
{
    const json_value *value = json_member(schema, name);
    return value != NULL && json_is_string(value) ? json_string(value) : NULL;
}

/* A member that is an array; NULL otherwise. */
static const json_value *member_array(const json_value *schema, const char *name)
{
    const json_value *value = json_member(schema, name);
    return value != NULL && json_is_array(value) ? value : NULL;
}

static bool is_enum(const json_value *schema)
{
    const json_value *values = member_array(schema, "enum");
    return values != NULL && json_first(values) != NULL;
}

/* ---- what all types share -------------------------------------------------------------------- */

/* "default: X", where `bare` leaves the quotes of an enum's string away. */
static void append_default(text_buffer *out, const json_value *schema, bool bare)
{
    const json_value *value = json_member(schema, "default");
    text_append(out, "default: ");
    if (json_is_string(value) && !is_enum(schema))
        text_append(out, "\"%s\"", json_string(value));
    else if (json_is_string(value) && bare)
        text_append(out, "%s", json_string(value));
    else
        json_display(out, value);
}

/* A type with " | null" behind it when it may be null and does not say so yet. */
static void append_nullable(text_buffer *out, const json_value *schema, int indent)
{
    size_t start = out->length;
    append_type(out, schema, indent);
    const json_value *nullable = json_member(schema, "nullable");
    if (nullable == NULL || !json_is_bool(nullable) || !json_bool(nullable) || out->failed)
        return;
    if (out->length == start || strstr(out->bytes + start, "null") == NULL)
        text_append(out, " | null");
}

/* ---- oneOf ----------------------------------------------------------------------------------- */

/* What stands behind a variant's type: " // description default: X". */
static void append_remarks(text_buffer *out, const json_value *variant, const char *description,
                           bool bare)
{
    bool defaulted = json_member(variant, "default") != NULL;
    if (description == NULL && !defaulted)
        return;
    text_append(out, " // ");
    if (description != NULL)
        text_append(out, "%s%s", description, defaulted ? " " : "");
    if (defaulted)
        append_default(out, variant, bare);
}

/* Where a type is expected: each variant on a new line. */
static void append_one_of(text_buffer *out, const json_value *variants, int indent)
{
    for (const json_value *each = json_first(variants); each != NULL; each = json_next(each)) {
        text_append(out, "\n%*s | ", indent, "");
        append_nullable(out, each, indent + 3);
        append_remarks(out, each, member_string(each, "description"), false);
    }
}

/* As a property, whose name stands on a line before the variants. */
static void append_one_of_property(text_buffer *out, const json_value *property,
                                   const json_value *variants, bool required, int indent)
{
    const json_value *first = json_first(variants);
    const char *description = member_string(property, "description");
    const char *same = first == NULL ? NULL : member_string(first, "description");
    bool described = description != NULL && (same == NULL || strcmp(description, same) != 0);
    if (described)
        text_append(out, "%*s// %s\n", indent, "", description);
    if (json_member(property, "default") != NULL) {
        text_append(out, "%*s// ", indent, "");
        append_default(out, property, true);
        text_append(out, "\n");
    }
    text_append(out, "%*s%s%s:\n", indent, "", json_name(property), required ? "" : "?");
    for (const json_value *each = first; each != NULL; each = json_next(each)) {
        const char *remark = member_string(each, "description");
        if (remark != NULL && description != NULL && strcmp(remark, description) == 0)
            remark = NULL;
        if (each == first && described)
            remark = NULL;
        text_append(out, "%*s | ", indent, "");
        append_nullable(out, each, indent + 3);
        append_remarks(out, each, remark, true);
        text_append(out, "\n");
    }
    text_append(out, "%*s,\n", indent, "");
}

/* ---- objects --------------------------------------------------------------------------------- */

static int compare_names(const void *left, const void *right)
{
    const char *const *a = left;
    const char *const *b = right;
    return strcmp(*a, *b);
}

/* The names that a schema requires, sorted because both they and the properties may be many; to be
 * freed. NULL also when there is no memory, of which *out then knows. */
static const char **required_names(text_buffer *out, const json_value *schema, size_t *count)
{
    const json_value *list = member_array(schema, "required");
    *count = 0;
    if (list == NULL || json_first(list) == NULL)
        return NULL;
    const char **names = malloc(json_count(list) * sizeof *names);
    if (names == NULL) {
        out->failed = true;
        return NULL;
    }
    for (const json_value *each = json_first(list); each != NULL; each = json_next(each))
        if (json_is_string(each))
            names[(*count)++] = json_string(each);
    qsort(names, *count, sizeof *names, compare_names);
    return names;
}

/* The comments above a property, but for the description of one with oneOf. */
static void append_comments(text_buffer *out, const json_value *property, int indent)
{
    const char *title = member_string(property, "title");
    const char *description = member_string(property, "description");
    const json_value *examples = member_array(property, "examples");
    if (title != NULL)
        text_append(out, "%*s// %s\n%*s//\n", indent, "", title, indent, "");
    if (description != NULL && json_member(property, "oneOf") == NULL)
        text_append(out, "%*s// %s\n", indent, "", description);
    if (examples == NULL || json_first(examples) == NULL)
        return;
    text_append(out, "%*s// Examples:\n", indent, "");
    for (const json_value *each = json_first(examples); each != NULL; each = json_next(each))
        if (json_is_string(each))
            text_append(out, "%*s// - \"%s\"\n", indent, "", json_string(each));
}

static void append_property(text_buffer *out, const json_value *property, bool required, int indent)
{
    append_comments(out, property, indent);
    const json_value *variants = member_array(property, "oneOf");
    if (variants != NULL) {
        append_one_of_property(out, property, variants, required, indent);
        return;
    }
    text_append(out, "%*s%s%s: ", indent, "", json_name(property), required ? "" : "?");
    append_nullable(out, property, indent + 4);
    text_append(out, ",");
    if (json_member(property, "default") != NULL && json_member(property, "oneOf") == NULL) {
        text_append(out, " // ");
        append_default(out, property, true);
    }
    text_append(out, "\n");
}

static void append_properties(text_buffer *out, const json_value *schema,
                              const json_value *properties, int indent)
{
    size_t count;
    const char **names = required_names(out, schema, &count);
    for (const json_value *each = json_first(properties); each != NULL; each = json_next(each)) {
        const char *name = json_name(each);
        bool required =
            names != NULL && bsearch(&name, names, count, sizeof *names, compare_names) != NULL;
        append_property(out, each, required, indent);
    }
    free(names);
}

static void append_object(text_buffer *out, const json_value *schema, int indent)
{
    const char *description = member_string(schema, "description");
    const json_value *properties = json_member(schema, "properties");
    if (description != NULL)
        text_append(out, "%*s// %s\n", indent, "", description);
    text_append(out, "{\n");
    if (properties != NULL && json_is_object(properties))
        append_properties(out, schema, properties, indent);
    text_append(out, "%*s}", indent, "");
}

/* ---- other types ----------------------------------------------------------------------------- */

/* "a" | "b", or string when no strings are listed. */
static void append_string(text_buffer *out, const json_value *schema)
{
    const json_value *values = member_array(schema, "enum");
    const char *separator = "";
    if (values != NULL)
        for (const json_value *each = json_first(values); each != NULL; each = json_next(each))
            if (json_is_string(each)) {
                text_append(out, "%s\"%s\"", separator, json_string(each));
                separator = " | ";
            }
    if (*separator == '\0')
        text_append(out, "string");
}

/* A list of types; false when it names none. */
static bool append_types(text_buffer *out, const json_value *types)
{
    const char *separator = "";
    for (const json_value *each = json_first(types); each != NULL; each = json_next(each)) {
        if (!json_is_string(each))
            continue;
        const char *name = json_string(each);
        text_append(out, "%s%s", separator, strcmp(name, "integer") == 0 ? "number" : name);
        separator = " | ";
    }
    return *separator != '\0';
}

static void append_array(text_buffer *out, const json_value *schema, int indent)
{
    const json_value *items = json_member(schema, "items");
    if (items == NULL) {
        text_append(out, "Array<any>");
        return;
    }
    append_type(out, items, indent);
    text_append(out, "[]");
}

/* `type` may be NULL. */
static bool is(const char *type, const char *name)
{
    return type != NULL && strcmp(type, name) == 0;
}

static void append_type(text_buffer *out, const json_value *schema, int indent)
{
    const json_value *variants = member_array(schema, "oneOf");
    const json_value *types = member_array(schema, "type");
    const char *type = member_string(schema, "type");
    if (variants != NULL)
        append_one_of(out, variants, indent);
    else if (types != NULL && append_types(out, types))
        return;
    else if (is(type, "object"))
        append_object(out, schema, indent);
    else if (is(type, "array"))
        append_array(out, schema, indent);
    else if (is(type, "string"))
        append_string(out, schema);
    else if (is(type, "boolean"))
        text_append(out, "boolean");
    else if (is(type, "number") || is(type, "integer"))
        text_append(out, "number");
    else
        text_append(out, "any");
}

void typescript_append(text_buffer *out, const json_value *schema)
{
    append_type(out, schema, 0);
}
