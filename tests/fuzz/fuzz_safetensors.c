/* One safetensors file. */
#include <string.h>

#include "checkpoint/safetensors.h"
#include "fuzz.h"

/* Everything that the header promises must be in the input, back to back. */
static void use(const safetensors *file, const uint8_t *data, size_t size)
{
    uint64_t total = 0;
    for (size_t i = 0; i < file->count; i++) {
        const tensor *entry = &file->tensors[i];
        FUZZ_CHECK(entry->offset <= size && entry->bytes <= size - entry->offset);
        FUZZ_CHECK(entry->data == data + entry->offset);
        FUZZ_CHECK(entry->rank <= SAFETENSORS_MAX_RANK && entry->type < DTYPE_COUNT);
        FUZZ_CHECK(i == 0 || strcmp(entry[-1].name, entry->name) < 0);
        FUZZ_CHECK(safetensors_find(file, entry->name) == entry);
        uint64_t bytes = dtype_bytes(entry->type);
        for (uint32_t j = 0; j < entry->rank; j++)
            bytes *= entry->shape[j];
        FUZZ_CHECK(bytes == entry->bytes);
        total += entry->bytes;
    }
    FUZZ_CHECK(total <= size - 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    safetensors file;
    gptoss_error error = {0};
    gptoss_status status = safetensors_parse(data, size, "input", &file, &error);
    if (status == GPTOSS_OK)
        use(&file, data, size);
    safetensors_free(&file);
    return fuzz_judge(status, &error);
}
