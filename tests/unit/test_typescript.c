/* JSON schemas as TypeScript types, by the rules of openai-harmony. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "text/typescript.h"

static void check_type(const char *schema, const char *expected)
{
    json_value *document = NULL;
    text_buffer out = {0};
    gptoss_status status = json_parse(schema, strlen(schema), "a schema", &document, NULL);
    if (status == GPTOSS_OK)
        status = json_keep_numbers(document, schema, NULL);
    CHECK(status == GPTOSS_OK, "%s", schema);
    if (status == GPTOSS_OK)
        typescript_append(&out, document);
    CHECK(out.bytes != NULL && strcmp(out.bytes, expected) == 0, "%s:\n%s\nexpected:\n%s", schema,
          out.bytes, expected);
    text_free(&out);
    json_free(document);
}

static void check_simple(void)
{
    check_type("{\"type\": \"string\"}", "string");
    check_type("{\"type\": \"number\"}", "number");
    check_type("{\"type\": \"integer\"}", "number");
    check_type("{\"type\": \"boolean\"}", "boolean");
    check_type("{\"type\": \"null\"}", "any");
    check_type("{}", "any");
    check_type("true", "any");
    check_type("{\"anyOf\": [{\"type\": \"string\"}]}", "any");
    check_type("{\"enum\": [\"a\"]}", "any");
    check_type("{\"type\": \"string\", \"enum\": [\"a\", 1, \"b\"]}", "\"a\" | \"b\"");
    check_type("{\"type\": \"string\", \"enum\": [1]}", "string");
    check_type("{\"type\": [\"integer\", \"null\", 3]}", "number | null");
    check_type("{\"type\": []}", "any");
    check_type("{\"type\": \"array\"}", "Array<any>");
    check_type("{\"type\": \"array\", \"items\": {\"type\": \"array\", \"items\": {}}}", "any[][]");
}

static void check_objects(void)
{
    check_type("{\"type\": \"object\"}", "{\n}");
    check_type("{\"type\": \"object\", \"properties\": 3, \"required\": 4}", "{\n}");
    check_type("{\"type\": \"object\", \"required\": [\"b\"], \"properties\": {"
               "\"b\": {\"type\": \"string\", \"default\": \"x\", \"description\": \"of b\"},"
               "\"a\": {\"type\": \"string\", \"enum\": [\"x\"], \"default\": \"x\"}}}",
               "{\n// of b\nb: string, // default: \"x\"\na?: \"x\", // default: x\n}");
    check_type("{\"type\": \"object\", \"required\": [\"c\", 3, \"a\", \"c\", \"x\"], "
               "\"properties\": {\"a\": {}, \"b\": {}, \"c\": {}}}",
               "{\na: any,\nb?: any,\nc: any,\n}");
    check_type("{\"type\": \"object\", \"required\": [3], \"properties\": {\"a\": {}}}",
               "{\na?: any,\n}");
    check_type("{\"type\": \"object\", \"description\": \"outer\", \"properties\": {\"in\": {"
               "\"type\": \"object\", \"description\": \"inner\", \"properties\": {\"n\": {"
               "\"type\": \"number\", \"nullable\": true}}}}}",
               "// outer\n{\n// inner\nin?:     // inner\n{\n    n?: number | null,\n    },\n}");
    check_type("{\"type\": \"object\", \"properties\": {\"t\": {\"title\": \"T\", \"examples\": "
               "[\"e\", 1]}}}",
               "{\n// T\n//\n// Examples:\n// - \"e\"\nt?: any,\n}");
    /* Something that has the word null in it needs no more. */
    check_type("{\"type\": \"object\", \"properties\": {\"t\": {\"type\": [\"string\", \"null\"], "
               "\"nullable\": true}}}",
               "{\nt?: string | null,\n}");
}

static void check_variants(void)
{
    check_type("{\"oneOf\": [{\"type\": \"string\", \"description\": \"s\", \"default\": \"x\"}, "
               "{\"type\": \"number\", \"nullable\": true}]}",
               "\n | string // s default: \"x\"\n | number | null");
    check_type(
        "{\"type\": \"object\", \"properties\": {\"o\": {\"description\": \"d\", "
        "\"default\": [1, null], \"oneOf\": [{\"type\": \"string\", \"description\": \"e\"}, "
        "{\"type\": \"number\", \"description\": \"f\"}]}}}",
        "{\n// d\n// default: [1,null]\no?:\n | string\n | number // f\n,\n}");
    /* The same description at the property and its first variant stands nowhere. */
    check_type("{\"type\": \"object\", \"properties\": {\"o\": {\"description\": \"d\", "
               "\"oneOf\": [{\"type\": \"string\", \"description\": \"d\"}]}}}",
               "{\no?:\n | string\n,\n}");
    check_type("{\"type\": \"object\", \"properties\": {\"o\": {\"oneOf\": 1, \"default\": 1}}}",
               "{\no?: any,\n}");
}

/* Default values, as serde_json prints them. */
static void check_default(const char *value, const char *expected)
{
    char schema[256];
    char type[256];
    snprintf(schema, sizeof schema,
             "{\"type\": \"object\", \"properties\": {\"d\": {\"default\": %s}}}", value);
    snprintf(type, sizeof type, "{\nd?: any, // default: %s\n}", expected);
    check_type(schema, type);
}

static void check_defaults(void)
{
    check_default("1", "1");
    check_default("1.0", "1.0");
    check_default("-0", "-0.0");
    check_default("18446744073709551615", "18446744073709551615");
    check_default("18446744073709551616", "1.8446744073709552e19");
    check_default("-9223372036854775808", "-9223372036854775808");
    check_default("-9223372036854775809", "-9.223372036854776e18");
    check_default("0.1", "0.1");
    check_default("1e2", "100.0");
    check_default("123456789e7", "1234567890000000.0");
    check_default("1e16", "1e16");
    check_default("0.00001", "0.00001");
    check_default("1.5e-6", "1.5e-6");
    check_default("5e-324", "5e-324");
    check_default("1e-400", "0.0");
    check_default("null", "null");
    check_default("[true, {\"a\": [], \"b\": \"\\u00e9\\n\\u0001\\\"\"}]",
                  "[true,{\"a\":[],\"b\":\"\xc3\xa9\\n\\u0001\\\"\"}]");
}

int main(void)
{
    check_simple();
    check_objects();
    check_variants();
    check_defaults();
    return test_result();
}
