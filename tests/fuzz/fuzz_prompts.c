/* Prompts, one a line. */
#include <string.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gptoss_prompt_list *list = NULL;
    gptoss_error error = {0};
    gptoss_status status = gptoss_prompts_read((const char *)data, size, "input", &list, &error);
    FUZZ_CHECK((status == GPTOSS_OK) == (list != NULL));
    size_t count = 0;
    const gptoss_prompt *prompts = list == NULL ? NULL : gptoss_prompts(list, &count);
    FUZZ_CHECK(list == NULL || count > 0);
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK((prompts[i].text.data == NULL) == (prompts[i].ids != NULL));
        FUZZ_CHECK(prompts[i].id.data == NULL || prompts[i].id.length <= size);
        FUZZ_CHECK(prompts[i].line > (i == 0 ? 0 : prompts[i - 1].line));
        FUZZ_CHECK(prompts[i].text.length < size && prompts[i].id_count < size);
    }
    gptoss_prompts_close(list);
    return fuzz_judge(status, &error);
}
