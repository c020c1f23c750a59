/* Packed weights: the same bits as before, less memory, whatever becomes of the packing. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "gptoss.h"
#include "model/model.h"

enum { LENGTH = 40 };

static gptoss_model *open_model(const char *path)
{
    gptoss_model *model = NULL;
    gptoss_error error = {0};
    CHECK(gptoss_model_open(path, &model, &error) == GPTOSS_OK, "%s", error.message);
    return model;
}

/* Logits of all positions, in chunks of both kinds: many rows and one. */
static float *logits_of(const gptoss_model *model, gptoss_numerics numerics)
{
    uint32_t vocab = gptoss_model_config(model)->vocab;
    float *all = malloc((size_t)LENGTH * vocab * sizeof *all);
    gptoss_executor *executor = NULL;
    gptoss_sequence *sequence = NULL;
    gptoss_executor_options options = {.threads = 2, .numerics = numerics};
    CHECK(gptoss_executor_open(model, &options, &executor, NULL) == GPTOSS_OK, "executor");
    CHECK(gptoss_sequence_open(model, &(gptoss_sequence_options){.context = LENGTH}, &sequence,
                               NULL) == GPTOSS_OK,
          "sequence");
    for (uint32_t done = 0, part = LENGTH - 4; done < LENGTH; done += part, part = 1) {
        gptoss_row rows[LENGTH];
        const float *logits = NULL;
        for (uint32_t i = 0; i < part; i++)
            rows[i] = (gptoss_row){sequence, done + i, (done + i) * 31 % vocab, true};
        CHECK(gptoss_executor_forward(executor, rows, part, &logits, NULL) == GPTOSS_OK, "forward");
        memcpy(all + (size_t)done * vocab, logits, (size_t)part * vocab * sizeof *all);
    }
    gptoss_sequence_close(sequence);
    gptoss_executor_close(executor);
    return all;
}

static void expect_logits(const gptoss_model *model, gptoss_numerics numerics,
                          const float *expected, const char *what)
{
    size_t bytes = (size_t)LENGTH * gptoss_model_config(model)->vocab * sizeof(float);
    float *again = logits_of(model, numerics);
    CHECK(memcmp(expected, again, bytes) == 0, "%s: the bits differ", what);
    free(again);
}

static bool count_calls(void *user, const char *what, uint64_t done, uint64_t total)
{
    long *left = user; /* calls until it says no */
    CHECK(strcmp(what, "packing weights") == 0 && done <= total, "progress");
    return --*left > 0;
}

static gptoss_status pack(gptoss_model *model, uint32_t threads, long calls)
{
    gptoss_prepare_options options = {.pack = true, .threads = threads};
    return gptoss_model_prepare(model, &options, count_calls, &calls, NULL);
}

/* How many matrices are packed. */
static size_t packed_count(const gptoss_model *model)
{
    size_t count = model->weights.unembedding.format == NUMBER_BF16_PACKED;
    for (uint32_t i = 0; i < model->config.layers; i++) {
        const layer_weights *layer = &model->weights.layers[i];
        count += layer->q.format == NUMBER_BF16_PACKED;
        count += layer->k.format == NUMBER_BF16_PACKED;
        count += layer->v.format == NUMBER_BF16_PACKED;
        count += layer->out.format == NUMBER_BF16_PACKED;
    }
    return count;
}

/* Interrupted, gone on with, and again when there is nothing left to do. */
static void check_model(const char *path, bool packable)
{
    for (uint32_t threads = 1; threads <= 5; threads += 2) {
        gptoss_model *model = open_model(path);
        float *f32 = logits_of(model, GPTOSS_NUMERICS_F32);
        float *torch = logits_of(model, GPTOSS_NUMERICS_TORCH_BF16);
        if (packable) {
            CHECK(pack(model, threads, 4) == GPTOSS_INTERRUPTED, "%s: not interrupted", path);
            expect_logits(model, GPTOSS_NUMERICS_F32, f32, "interrupted");
        }
        CHECK(pack(model, threads, 1000) == GPTOSS_OK, "%s", path);
        CHECK(pack(model, threads, 1000) == GPTOSS_OK, "%s: again", path);
        CHECK((packed_count(model) > 0) == packable, "%s: %zu packed", path, packed_count(model));
        expect_logits(model, GPTOSS_NUMERICS_F32, f32, path);
        expect_logits(model, GPTOSS_NUMERICS_TORCH_BF16, torch, path);
        free(f32);
        free(torch);
        gptoss_model_close(model);
    }
}

/* What inspect foretells is nearly what packing gives; never more. */
static void check_forecast(const char *path)
{
    gptoss_model *model = open_model(path);
    gptoss_model_info before;
    gptoss_model_info after;
    gptoss_model_describe(model, &before);
    CHECK(pack(model, 2, 1000) == GPTOSS_OK, "%s", path);
    gptoss_model_describe(model, &after);
    CHECK(before.bytes_per_token_packed < before.bytes_per_token, "nothing saved");
    CHECK(after.bytes_per_token == before.bytes_per_token, "the checkpoint has not changed");
    CHECK(after.bytes_per_token_packed >= before.bytes_per_token_packed &&
              (double)after.bytes_per_token_packed < 1.1 * (double)before.bytes_per_token_packed,
          "%llu foreseen, %llu found", (unsigned long long)before.bytes_per_token_packed,
          (unsigned long long)after.bytes_per_token_packed);
    gptoss_model_close(model);
}

/* Bytes of this process's memory that are pages of files. */
static uint64_t resident_file_bytes(void)
{
    char line[256];
    unsigned long long kibibytes = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "RssFile: %llu kB", &kibibytes) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return kibibytes << 10;
}

/* The pages of what is packed no longer count as this process's memory. */
static void check_release(const char *path)
{
    gptoss_model *model = open_model(path);
    gptoss_model_info info;
    gptoss_model_describe(model, &info);
    CHECK(gptoss_model_check(model, NULL, NULL, NULL) == GPTOSS_OK, "reading all weights");
    uint64_t before = resident_file_bytes();
    CHECK(pack(model, 2, 1000) == GPTOSS_OK, "%s", path);
    uint64_t after = resident_file_bytes();
    uint64_t packed = info.bytes_attention + info.bytes_unembedding;
    CHECK(before == 0 || after + packed / 2 < before,
          "%llu bytes of files were in memory, %llu still are, %llu were packed",
          (unsigned long long)before, (unsigned long long)after, (unsigned long long)packed);
    gptoss_model_close(model);
}

int main(void)
{
    check_model(GPTOSS_SOURCE_DIR "/tests/golden/published/hf-mxfp4", true);
    check_model(GPTOSS_SOURCE_DIR "/tests/golden/published/original", true);
    check_model(GPTOSS_SOURCE_DIR "/models/austen", true);
    check_forecast(GPTOSS_SOURCE_DIR "/models/austen");
    check_release(GPTOSS_SOURCE_DIR "/models/austen");
    return test_result();
}
