/* The section of a system or developer message that lists tools, and the tools that gpt-oss knows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/harmony.h"
#include "text/harmony_content.h"
#include "text/typescript.h"

/* ---- rendering ------------------------------------------------------------------------------- */

/* The lines of a text, each after `prefix` and with a newline behind it; the text may end without
 * one. A carriage return before a newline goes. */
static void append_lines(text_buffer *out, gptoss_text text, const char *prefix)
{
    if (text.length == 0)
        return;
    const char *at = text.data;
    const char *end = at + text.length;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline == NULL ? end : newline;
        size_t length = (size_t)(stop - at);
        if (newline != NULL && length > 0 && stop[-1] == '\r')
            length--;
        text_append(out, "%s", prefix);
        text_append_bytes(out, at, length);
        text_append_bytes(out, "\n", 1);
        at = newline == NULL ? end : newline + 1;
    }
}

static gptoss_status append_parameters(text_buffer *out, gptoss_text name, gptoss_text schema,
                                       gptoss_error *error)
{
    char what[128];
    snprintf(what, sizeof what, "the schema of the function %.*s", (int)name.length, name.data);
    json_value *document = NULL;
    gptoss_status status = json_parse(schema.data, schema.length, what, &document, error);
    if (status == GPTOSS_OK)
        status = json_keep_numbers(document, schema.data, error);
    if (status == GPTOSS_OK)
        typescript_append(out, document);
    json_free(document);
    return status;
}

static gptoss_status append_tool(text_buffer *out, const gptoss_tool *tool, gptoss_error *error)
{
    gptoss_status status = GPTOSS_OK;
    append_lines(out, tool->description, "// ");
    text_append(out, "type ");
    text_append_bytes(out, tool->name.data, tool->name.length);
    if (tool->parameters.data != NULL) {
        text_append(out, " = (_: ");
        status = append_parameters(out, tool->name, tool->parameters, error);
        text_append(out, ") => any;\n\n");
    } else {
        text_append(out, " = () => any;\n\n");
    }
    return status;
}

/* A namespace ends without a newline. */
static gptoss_status append_namespace(text_buffer *out, const gptoss_tool_namespace *space,
                                      gptoss_error *error)
{
    gptoss_status status = GPTOSS_OK;
    text_append(out, "## ");
    text_append_bytes(out, space->name.data, space->name.length);
    text_append(out, "\n\n");
    append_lines(out, space->description, space->tool_count > 0 ? "// " : "");
    if (space->tool_count == 0) {
        out->length -= !out->failed; /* the last newline */
        return GPTOSS_OK;
    }
    text_append(out, "namespace ");
    text_append_bytes(out, space->name.data, space->name.length);
    text_append(out, " {\n\n");
    for (size_t i = 0; i < space->tool_count && status == GPTOSS_OK; i++)
        status = append_tool(out, &space->tools[i], error);
    text_append(out, "} // namespace ");
    text_append_bytes(out, space->name.data, space->name.length);
    return status;
}

static int compare_names(const void *left, const void *right)
{
    const gptoss_tool_namespace *a = *(const gptoss_tool_namespace *const *)left;
    const gptoss_tool_namespace *b = *(const gptoss_tool_namespace *const *)right;
    size_t shorter = a->name.length < b->name.length ? a->name.length : b->name.length;
    int order = memcmp(a->name.data, b->name.data, shorter);
    return order != 0 ? order
                      : (a->name.length > b->name.length) - (a->name.length < b->name.length);
}

gptoss_status tools_append(text_buffer *out, const gptoss_tool_namespace *namespaces, size_t count,
                           gptoss_error *error)
{
    const gptoss_tool_namespace **sorted = malloc(count * sizeof(gptoss_tool_namespace *));
    if (sorted == NULL)
        return fail_memory(error, "namespaces of tools", count * sizeof(gptoss_tool_namespace *));
    for (size_t i = 0; i < count; i++)
        sorted[i] = &namespaces[i];
    qsort(sorted, count, sizeof(gptoss_tool_namespace *), compare_names);
    gptoss_status status = GPTOSS_OK;
    text_append(out, "# Tools");
    for (size_t i = 0; i < count && status == GPTOSS_OK; i++) {
        text_append(out, "\n\n");
        status = append_namespace(out, sorted[i], error);
    }
    free(sorted);
    return status;
}

/* ---- tools that gpt-oss knows ---------------------------------------------------------------- */

/* The texts are those of openai-harmony 0.0.8: the model was trained with them. */
static const gptoss_tool browser_tools[] = {
    {
        TEXT("search"),
        TEXT("Searches for information related to `query` and displays `topn` results."),
        TEXT("{\"type\":\"object\",\"properties\":{\"query\":{\"type\":\"string\"},"
             "\"topn\":{\"type\":\"number\",\"default\":10},\"source\":{\"type\":\"string\"}},"
             "\"required\":[\"query\"]}"),
    },
    {
        TEXT("open"),
        TEXT("Opens the link `id` from the page indicated by `cursor` starting at line number "
             "`loc`, showing `num_lines` lines.\n"
             "Valid link ids are displayed with the formatting: `【{id}†.*】`.\n"
             "If `cursor` is not provided, the most recent page is implied.\n"
             "If `id` is a string, it is treated as a fully qualified URL associated with "
             "`source`.\n"
             "If `loc` is not provided, the viewport will be positioned at the beginning of the "
             "document or centered on the most relevant passage, if available.\n"
             "Use this function without `id` to scroll to a new location of an opened page."),
        TEXT("{\"type\":\"object\",\"properties\":{"
             "\"id\":{\"type\":[\"number\",\"string\"],\"default\":-1},"
             "\"cursor\":{\"type\":\"number\",\"default\":-1},"
             "\"loc\":{\"type\":\"number\",\"default\":-1},"
             "\"num_lines\":{\"type\":\"number\",\"default\":-1},"
             "\"view_source\":{\"type\":\"boolean\",\"default\":false},"
             "\"source\":{\"type\":\"string\"}}}"),
    },
    {
        TEXT("find"),
        TEXT("Finds exact matches of `pattern` in the current page, or the page given by "
             "`cursor`."),
        TEXT("{\"type\":\"object\",\"properties\":{\"pattern\":{\"type\":\"string\"},"
             "\"cursor\":{\"type\":\"number\",\"default\":-1}},\"required\":[\"pattern\"]}"),
    },
};

const gptoss_tool_namespace *gptoss_browser_tools(void)
{
    static const gptoss_tool_namespace browser = {
        TEXT("browser"),
        TEXT("Tool for browsing.\n"
             "The `cursor` appears in brackets before each browsing display: `[{cursor}]`.\n"
             "Cite information from the tool using the following format:\n"
             "`【{cursor}†L{line_start}(-L{line_end})?】`, for example: `【6†L9-L11】` or "
             "`【8†L3】`.\n"
             "Do not quote more than 10 words directly from the tool output.\n"
             "sources=web (default: web)"),
        browser_tools, sizeof browser_tools / sizeof *browser_tools};
    return &browser;
}

const gptoss_tool_namespace *gptoss_python_tool(void)
{
    static const gptoss_tool_namespace python = {
        TEXT("python"),
        TEXT("Use this tool to execute Python code in your chain of thought. The code will not be "
             "shown to the user. This tool should be used for internal reasoning, but not for code "
             "that is intended to be visible to the user (e.g. when creating plots, tables, or "
             "files).\n\n"
             "When you send a message containing Python code to python, it will be executed in a "
             "stateful Jupyter notebook environment. python will respond with the output of the "
             "execution or time out after 120.0 seconds. The drive at '/mnt/data' can be used to "
             "save and persist user files. Internet access for this session is UNKNOWN. Depends on "
             "the cluster."),
        NULL, 0};
    return &python;
}
