/* A list of tools, and a prompt that offers them. */
#include <stdlib.h>

#include "fuzz.h"
#include "fuzz_harmony.h"

static gptoss_status render(const gptoss_tool *tools, size_t count, gptoss_error *error)
{
    const gptoss_tool_namespace space = {{"functions", 9}, {NULL, 0}, tools, count};
    const gptoss_content content = {.kind = GPTOSS_CONTENT_DEVELOPER,
                                    .developer = {.namespaces = &space, .namespace_count = 1}};
    const gptoss_message message = {
        .role = GPTOSS_ROLE_DEVELOPER, .content = &content, .content_count = 1};
    uint32_t *ids;
    size_t id_count;
    gptoss_status status =
        gptoss_render(fuzz_tokenizer(), &message, 1, NULL, &ids, &id_count, error);
    FUZZ_CHECK((status == GPTOSS_OK) == (ids != NULL));
    free(ids);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gptoss_tool_list *list;
    gptoss_error error = {0};
    gptoss_status status = gptoss_tool_list_read((const char *)data, size, "input", &list, &error);
    FUZZ_CHECK((status == GPTOSS_OK) == (list != NULL));
    if (status == GPTOSS_OK) {
        size_t count;
        const gptoss_tool *tools = gptoss_tool_list_tools(list, &count);
        for (size_t i = 0; i < count; i++)
            FUZZ_CHECK(tools[i].name.length > 0 && tools[i].description.data != NULL);
        status = render(tools, count, &error);
    }
    gptoss_tool_list_close(list);
    return fuzz_judge(status, &error);
}
