/* One file of ranks, of any vocabulary. */
#include "fuzz.h"
#include "text/tokenizer_file.h"

/* Every merge joins two tokens into one that is their bytes one after the other. */
static void use(const tokenizer_file *file)
{
    FUZZ_CHECK(file->vocab.learned <= file->vocab.size);
    for (size_t i = 0; i < file->merges.count; i++) {
        merge item = file->merges.items[i];
        token left = vocabulary_token(&file->vocab, item.left);
        token right = vocabulary_token(&file->vocab, item.right);
        token merged = vocabulary_token(&file->vocab, item.merged);
        FUZZ_CHECK(left.length > 0 && right.length > 0);
        FUZZ_CHECK(left.length + right.length == merged.length);
        FUZZ_CHECK(i == 0 || file->merges.items[i - 1].merged <= item.merged);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tokenizer_file file = {0};
    gptoss_error error = {0};
    gptoss_status status = tiktoken_parse((const char *)data, size, "input", &file, &error);
    if (status == GPTOSS_OK)
        use(&file);
    tokenizer_file_free(&file);
    return fuzz_judge(status, &error);
}
