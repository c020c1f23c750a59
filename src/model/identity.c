/* What tells one model from another without reading all of it. */
#include <string.h>

#include "base/sha256.h"
#include "checkpoint/config_writer.h"
#include "model/model.h"

enum {
    BLOCKS = 4,                   /* looked at in one tensor, evenly spread over it */
    BLOCK_BYTES = 1024,           /* of each */
    MOST_SAMPLED = 4096 / BLOCKS, /* tensors; of more, as many evenly chosen ones */
};

static void add_number(sha256 *digest, uint64_t number)
{
    sha256_add(digest, &number, sizeof number);
}

static void add_text(sha256 *digest, const char *text, size_t length)
{
    add_number(digest, length);
    sha256_add(digest, text, length);
}

/* The architecture. Stop tokens and sampling do not change what the model computes. */
static gptoss_status add_config(sha256 *digest, const gptoss_config *config, gptoss_error *error)
{
    gptoss_config computed = *config;
    text_buffer text = {0};
    computed.stop_count = 0;
    config_write(&computed, &text);
    gptoss_status status =
        text.failed ? fail_memory(error, "a configuration", text.room) : GPTOSS_OK;
    if (status == GPTOSS_OK)
        add_text(digest, text.bytes, text.length);
    text_free(&text);
    return status;
}

static void add_entry(sha256 *digest, const tensor *of)
{
    add_text(digest, of->name, strlen(of->name));
    add_number(digest, of->type);
    add_number(digest, of->rank);
    for (uint32_t i = 0; i < of->rank; i++)
        add_number(digest, of->shape[i]);
}

static void add_blocks(sha256 *digest, const tensor *of)
{
    if (of->bytes <= (uint64_t)BLOCKS * BLOCK_BYTES) {
        sha256_add(digest, of->data, of->bytes);
        return;
    }
    uint64_t step = (of->bytes - BLOCK_BYTES) / (BLOCKS - 1);
    for (uint64_t i = 0; i < BLOCKS; i++)
        sha256_add(digest, of->data + i * step, BLOCK_BYTES);
}

gptoss_status model_identify(const gptoss_model *model, char out[65], gptoss_error *error)
{
    uint8_t bytes[SHA256_BYTES];
    sha256 digest;
    out[0] = '\0';
    sha256_begin(&digest);
    gptoss_status status = add_config(&digest, &model->config, error);
    if (status != GPTOSS_OK)
        return status;
    size_t count = checkpoint_tensor_count(model->files);
    size_t stride = (count + MOST_SAMPLED - 1) / MOST_SAMPLED;
    for (size_t i = 0; i < count; i++) {
        const tensor *of = checkpoint_tensor(model->files, i);
        add_entry(&digest, of);
        if (i % stride == 0)
            add_blocks(&digest, of);
    }
    sha256_end(&digest, bytes);
    sha256_text(bytes, out);
    return GPTOSS_OK;
}

gptoss_status gptoss_model_identity(const gptoss_model *model, char digest[65], gptoss_error *error)
{
    if (!checkpoint_in_memory(model->files))
        return model_identify(model, digest, error);
    memcpy(digest, model->identity, sizeof model->identity);
    return GPTOSS_OK;
}
