/* Lists of functions: the spellings that are taken, and what is refused. */
#include <stdlib.h>
#include <string.h>

#include "base/text_buffer.h"
#include "check.h"
#include "gptoss.h"

/* NAME(DESCRIPTION)PARAMETERS for each function. */
static void describe(const gptoss_tool_list *list, text_buffer *out)
{
    size_t count;
    const gptoss_tool *tools = gptoss_tool_list_tools(list, &count);
    text_append(out, "%s", "");
    for (size_t i = 0; i < count; i++)
        text_append(out, "%.*s(%.*s)%.*s;", (int)tools[i].name.length, tools[i].name.data,
                    (int)tools[i].description.length, tools[i].description.data,
                    (int)tools[i].parameters.length,
                    tools[i].parameters.data == NULL ? "" : tools[i].parameters.data);
}

static const struct {
    const char *json;
    const char *functions; /* NULL: refused, */
    const char *sentence;  /* with this */
} cases[] = {
    {"[]", "", NULL},
    {"[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"description\": \"d\", "
     "\"parameters\": {\"type\": \"object\"}}}]",
     "f(d){\"type\": \"object\"};", NULL},
    {"{\"tools\": [{\"name\": \"f\"}, {\"type\": \"function\", \"name\": \"g_2-h\", "
     "\"description\": null, \"parameters\": null, \"strict\": true}]}",
     "f();g_2-h();", NULL},
    {"{}", NULL, "it: byte 2: expected \"tools\", a list of functions, before"},
    {"3", NULL, "it: byte 0: expected an object, found '3'"},
    {"[3]", NULL, "it: byte 1: expected an object, found '3'"},
    {"[{\"type\": \"code\"}]", NULL,
     "it: byte 16: expected a tool of the type \"function\" before"},
    {"[{\"type\": \"function\"}]", NULL, "it: byte 21: expected a function's \"name\" before"},
    {"[{\"name\": \"a.b\"}]", NULL,
     "it: byte 16: expected a function's name of 1 to 64 letters, digits, _ and -, found "
     "\"a.b\""},
    {"[{\"name\": \"\"}]", NULL,
     "it: byte 13: expected a function's name of 1 to 64 letters, digits, _ and -, found \"\""},
    {"[{\"name\": \"f\", \"parameters\": 3}]", NULL,
     "it: byte 31: expected the \"parameters\" of f to be an object, a JSON schema"},
    {"[{\"name\": \"f\"}, {\"name\": \"f\"}]", NULL,
     "it: byte 29: expected each function once, found two f"},
    {"[{\"name\": \"f\"}", NULL, "it: byte 14: "},
};

static void check_limit(void)
{
    text_buffer json = {0};
    gptoss_tool_list *list;
    gptoss_error error = {0};
    text_append(&json, "[{\"name\": \"f\"}");
    for (int i = 0; i < 1024; i++)
        text_append(&json, ",{\"name\": \"f%d\"}", i);
    text_append(&json, "]");
    gptoss_status status = gptoss_tool_list_read(json.bytes, json.length, "it", &list, &error);
    CHECK(status == GPTOSS_LIMIT && list == NULL, "status %d: %s", status, error.message);
    text_free(&json);
}

int main(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gptoss_tool_list *list;
        gptoss_error error = {0};
        text_buffer out = {0};
        gptoss_status status =
            gptoss_tool_list_read(cases[i].json, strlen(cases[i].json), "it", &list, &error);
        CHECK((status == GPTOSS_OK) == (cases[i].functions != NULL), "%s: %s", cases[i].json,
              error.message);
        CHECK((status == GPTOSS_OK) == (list != NULL), "%s", cases[i].json);
        if (list != NULL) {
            describe(list, &out);
            CHECK(strcmp(out.bytes, cases[i].functions) == 0, "%s: %s", cases[i].json, out.bytes);
        } else if (cases[i].sentence != NULL) {
            CHECK(strncmp(error.message, cases[i].sentence, strlen(cases[i].sentence)) == 0,
                  "%s: %s", cases[i].json, error.message);
        }
        text_free(&out);
        gptoss_tool_list_close(list);
    }
    check_limit();
    return test_result();
}
