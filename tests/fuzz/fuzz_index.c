/* One *.safetensors.index.json. */
#include <string.h>

#include "checkpoint/shards.h"
#include "fuzz.h"

static void use(const shard_index *index)
{
    FUZZ_CHECK(index->entry_count >= 1 && index->file_count >= 1);
    for (size_t i = 0; i < index->file_count; i++) {
        FUZZ_CHECK(strchr(index->files[i], '/') == NULL);
        FUZZ_CHECK(i == 0 || strcmp(index->files[i - 1], index->files[i]) < 0);
    }
    for (size_t i = 0; i < index->entry_count; i++) {
        FUZZ_CHECK(index->entries[i].file < index->file_count);
        FUZZ_CHECK(i == 0 || strcmp(index->entries[i - 1].tensor, index->entries[i].tensor) < 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    shard_index index = {0};
    json_value *document;
    gptoss_error error = {0};
    gptoss_status status = json_parse((const char *)data, size, "input", &document, &error);
    if (status == GPTOSS_OK)
        status = shard_index_parse(document, "input", &index, &error);
    if (status == GPTOSS_OK)
        use(&index);
    shard_index_free(&index);
    json_free(document);
    return fuzz_judge(status, &error);
}
