/*
 * A whole model: configuration and header that need not agree.
 *
 *     config.json | 0 | header of model.safetensors | 0 | bytes of data, in decimal | 0 | changes
 *
 * Both files are written, and what opens is described, checked and run: a prompt, then token after
 * token. Three bytes of a change are a place in the data and one its new byte.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

#define MOST_DATA ((size_t)1 << 20)

typedef struct part {
    const uint8_t *data;
    size_t size;
} part;

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

static void write_config(part text)
{
    FILE *file = fopen(config_path, "wb");
    FUZZ_CHECK(file != NULL);
    FUZZ_CHECK(fwrite(text.data, 1, text.size, file) == text.size && fclose(file) == 0);
}

/* Every two bytes of the data are a small number in BF16, as bytes they are small too; then come
 * the changes. */
static const uint8_t *make_data(size_t size, part changes)
{
    static uint8_t data[MOST_DATA];
    for (size_t i = 0; i < size; i++)
        data[i] = i % 2 == 0 ? (uint8_t)(i * 37) : (i % 3 == 0 ? 0x3e : 0xbd);
    for (size_t i = 0; i + 4 <= changes.size && size > 0; i += 4) {
        const uint8_t *change = changes.data + i;
        size_t place = (size_t)change[0] << 16 | (size_t)change[1] << 8 | change[2];
        data[place % size] = change[3];
    }
    return data;
}

static void write_weights(part header, const uint8_t *data, size_t data_size)
{
    FILE *file = fopen(weights_path, "wb");
    uint8_t length[8];
    FUZZ_CHECK(file != NULL);
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)header.size >> (8 * i));
    FUZZ_CHECK(fwrite(length, 1, sizeof length, file) == sizeof length);
    FUZZ_CHECK(fwrite(header.data, 1, header.size, file) == header.size);
    FUZZ_CHECK(fwrite(data, 1, data_size, file) == data_size);
    FUZZ_CHECK(fclose(file) == 0);
}

/* A prompt in chunks, some of it beyond the window of the seeds, and then one token after another.
 */
static gptoss_status feed(gptoss_executor *executor, gptoss_sequence *sequence, uint32_t vocab,
                          gptoss_error *error)
{
    uint32_t tokens[16];
    uint32_t context = gptoss_sequence_context(sequence);
    uint32_t prompt = context > 4 ? context - 4 : context;
    gptoss_status status = GPTOSS_OK;
    for (uint32_t i = 0; i < context; i++)
        tokens[i] = i % vocab;
    for (uint32_t at = 0, count = prompt; at < context && status == GPTOSS_OK;
         at += count, count = 1) {
        const float *logits = NULL;
        status = gptoss_executor_feed(executor, sequence, tokens + at, count, NULL, NULL, &logits,
                                      error);
        FUZZ_CHECK((status == GPTOSS_OK) == (logits != NULL));
        FUZZ_CHECK(status == GPTOSS_OK || status == GPTOSS_NUMERIC || status == GPTOSS_MEMORY);
    }
    return status;
}

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
    if (status == GPTOSS_OK)
        status = feed(executor, sequence, config->vocab, &error);
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

/* Takes what lies before the next 0 or the end. */
static part next_part(part *rest)
{
    const uint8_t *zero = rest->size > 0 ? memchr(rest->data, 0, rest->size) : NULL;
    part out = {rest->data, zero != NULL ? (size_t)(zero - rest->data) : rest->size};
    size_t taken = out.size + (zero != NULL);
    *rest = (part){rest->data + taken, rest->size - taken};
    return out;
}

/* The number that the digits before anything else make, at most MOST_DATA. */
static size_t read_number(part digits)
{
    size_t number = 0;
    for (size_t i = 0; i < digits.size && number < MOST_DATA; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            break;
        number = 10 * number + (size_t)(digits.data[i] - '0');
    }
    return number < MOST_DATA ? number : MOST_DATA;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    part rest = {data, size};
    part config = next_part(&rest);
    part header = next_part(&rest);
    size_t bytes = read_number(next_part(&rest));
    make_directory();
    write_config(config);
    write_weights(header, make_data(bytes, rest), bytes);
    gptoss_model *model = NULL;
    gptoss_error error = {0};
    gptoss_status status = gptoss_model_open(directory, &model, &error);
    FUZZ_CHECK((status == GPTOSS_OK) == (model != NULL));
    if (model != NULL)
        use(model);
    gptoss_model_close(model);
    return fuzz_judge(status, &error);
}
