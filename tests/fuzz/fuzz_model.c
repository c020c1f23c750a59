/*
 * A whole model: configuration and header that need not agree.
 *
 *     config.json | 0 | header of model.safetensors | 0 | bytes of data, in decimal
 *
 * Both files are written, and what opens is described, checked and run for a few tokens.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

#define MOST_DATA ((size_t)1 << 20)

static char directory[] = "/tmp/gptoss-fuzz-XXXXXX";
static char config_path[64];
static char weights_path[64];

static void remove_files(void)
{
    unlink(config_path);
    unlink(weights_path);
    rmdir(directory);
}

/* Once per process. */
static void make_directory(void)
{
    if (config_path[0] != '\0')
        return;
    FUZZ_CHECK(mkdtemp(directory) != NULL);
    snprintf(config_path, sizeof config_path, "%s/config.json", directory);
    snprintf(weights_path, sizeof weights_path, "%s/model.safetensors", directory);
    FUZZ_CHECK(atexit(remove_files) == 0);
}

static void write_config(const uint8_t *data, size_t size)
{
    FILE *file = fopen(config_path, "wb");
    FUZZ_CHECK(file != NULL && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

/* Every two bytes of the data are a small number in BF16, as bytes they are small too. */
static void write_weights(const uint8_t *header, size_t size, size_t data_size)
{
    FILE *file = fopen(weights_path, "wb");
    uint8_t length[8];
    FUZZ_CHECK(file != NULL);
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)size >> (8 * i));
    fwrite(length, 1, sizeof length, file);
    fwrite(header, 1, size, file);
    for (size_t i = 0; i < data_size; i++)
        fputc(i % 2 == 0 ? (int)(i * 37 % 256) : (i % 3 == 0 ? 0x3e : 0xbd), file);
    FUZZ_CHECK(fclose(file) == 0);
}

/* A few tokens, some of them beyond the window of the seeds. */
static void run(const gptoss_model *model)
{
    const gptoss_config *config = gptoss_model_config(model);
    gptoss_executor_options options = {.threads = 1, .chunk = 4};
    gptoss_executor *executor = NULL;
    gptoss_sequence *sequence = NULL;
    gptoss_error error = {0};
    uint32_t context = config->context < 16 ? config->context : 16;
    gptoss_status status = gptoss_executor_open(model, &options, &executor, &error);
    if (status == GPTOSS_OK)
        status = gptoss_sequence_open(
            model, &(gptoss_sequence_options){.context = context, .chunk = 4}, &sequence, &error);
    uint32_t tokens[16];
    for (uint32_t i = 0; i < context; i++)
        tokens[i] = i % config->vocab;
    const float *logits = NULL;
    if (status == GPTOSS_OK)
        status =
            gptoss_executor_feed(executor, sequence, tokens, context, NULL, NULL, &logits, &error);
    FUZZ_CHECK((status == GPTOSS_OK) == (logits != NULL));
    fuzz_judge(status, &error);
    gptoss_sequence_close(sequence);
    gptoss_executor_close(executor);
}

static void use(const gptoss_model *model)
{
    gptoss_model_info info;
    gptoss_memory memory;
    gptoss_error error = {0};
    gptoss_model_describe(model, &info);
    FUZZ_CHECK(info.bytes_tensors <= info.bytes_files);
    FUZZ_CHECK(info.parameters_active <= info.parameters_total);
    gptoss_model_forecast(model, NULL, &memory);
    for (size_t i = 0; i < gptoss_model_tensor_count(model); i++) {
        gptoss_tensor_info tensor;
        gptoss_model_tensor(model, i, &tensor);
        FUZZ_CHECK(tensor.offset + tensor.bytes <= info.bytes_files);
    }
    fuzz_judge(gptoss_model_check(model, NULL, NULL, &error), &error);
    run(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = data + size;
    const uint8_t *first = size > 0 ? memchr(data, 0, size) : NULL;
    const uint8_t *header = first != NULL ? first + 1 : end;
    const uint8_t *second = header < end ? memchr(header, 0, (size_t)(end - header)) : NULL;
    const uint8_t *number = second != NULL ? second + 1 : end;
    size_t bytes = 0;
    for (; number < end && *number >= '0' && *number <= '9' && bytes < MOST_DATA; number++)
        bytes = 10 * bytes + (size_t)(*number - '0');
    make_directory();
    write_config(data, first != NULL ? (size_t)(first - data) : size);
    write_weights(header, second != NULL ? (size_t)(second - header) : (size_t)(end - header),
                  bytes < MOST_DATA ? bytes : MOST_DATA);
    gptoss_model *model = NULL;
    gptoss_error error = {0};
    gptoss_status status = gptoss_model_open(directory, &model, &error);
    FUZZ_CHECK((status == GPTOSS_OK) == (model != NULL));
    if (model != NULL)
        use(model);
    gptoss_model_close(model);
    return fuzz_judge(status, &error);
}
