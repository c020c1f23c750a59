/* The identity of a model: the same for a copy, another for whatever computes something else. */
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "check.h"
#include "gptoss.h"
#include "scratch.h"

#define CHECKPOINT GPTOSS_SOURCE_DIR "/tests/golden/published/hf-mxfp4"

static const char *identity_of(const gptoss_model *model)
{
    static char texts[4][65];
    static int turn;
    char *text = texts[turn++ % 4];
    gptoss_error error = {GPTOSS_OK, ""};
    CHECK(gptoss_model_identity(model, text, &error) == GPTOSS_OK, "%s", error.message);
    CHECK(strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64, "%s", text);
    return text;
}

static const char *identity_at(const char *path)
{
    gptoss_model *model = NULL;
    gptoss_error error = {GPTOSS_OK, ""};
    CHECK(gptoss_model_open(path, &model, &error) == GPTOSS_OK, "%s", error.message);
    const char *identity = model == NULL ? "none" : identity_of(model);
    gptoss_model_close(model);
    return identity;
}

static char *read_text(const char *path, size_t *size)
{
    file_map map;
    char *text = NULL;
    CHECK(file_map_open(path, &map, NULL) == GPTOSS_OK, "%s", path);
    text = calloc(1, map.size + 1);
    if (text == NULL)
        abort();
    memcpy(text, map.data, map.size);
    *size = map.size;
    file_map_close(&map);
    return text;
}

/* Puts `text`, as long as `old`, in its place. */
static void replace(char *in, const char *old, const char *text)
{
    char *at = strstr(in, old);
    CHECK(at != NULL && strlen(old) == strlen(text), "%s", old);
    if (at != NULL)
        memcpy(at, text, strlen(text));
}

static void check_files(void)
{
    const char *original = identity_at(CHECKPOINT);
    size_t size, config_size;
    char *weights = read_text(CHECKPOINT "/model.safetensors", &size);
    char *config = read_text(CHECKPOINT "/config.json", &config_size);
    scratch_write_bytes(scratch_path("copy/model.safetensors"), weights, size);
    scratch_write_bytes(scratch_path("copy/config.json"), config, config_size);
    CHECK(strcmp(identity_at(scratch_path("copy")), original) == 0, "a copy elsewhere");
    scratch_write(scratch_path("copy/generation_config.json"),
                  "{\"eos_token_id\": [7], \"temperature\": 0.5}");
    CHECK(strcmp(identity_at(scratch_path("copy")), original) == 0, "other stop tokens");

    replace(config, "\"rope_theta\": 1000.0", "\"rope_theta\": 1000.5");
    scratch_write_bytes(scratch_path("copy/config.json"), config, config_size);
    CHECK(strcmp(identity_at(scratch_path("copy")), original) != 0, "another configuration");
    replace(config, "\"rope_theta\": 1000.5", "\"rope_theta\": 1000.0");
    scratch_write_bytes(scratch_path("copy/config.json"), config, config_size);
    CHECK(strcmp(identity_at(scratch_path("copy")), original) == 0, "the same again");

    weights[size - 1] ^= 1; /* the end of a tensor is among what is looked at */
    scratch_write_bytes(scratch_path("copy/model.safetensors"), weights, size);
    CHECK(strcmp(identity_at(scratch_path("copy")), original) != 0, "another weight");
    free(weights);
    free(config);
    CHECK(strcmp(identity_at(GPTOSS_SOURCE_DIR "/tests/golden/published/hf"), original) != 0,
          "another layout");
}

static gptoss_model *open_synthetic(uint64_t seed, uint32_t experts)
{
    gptoss_config config;
    gptoss_model *model = NULL;
    gptoss_error error = {GPTOSS_OK, ""};
    CHECK(gptoss_config_published("20b", &config), "20b");
    config.layers = 2;
    config.hidden = 64;
    config.intermediate = 32;
    config.heads = 4;
    config.kv_heads = 2;
    config.head_dim = 16;
    config.vocab = 500;
    config.experts = experts;
    CHECK(gptoss_model_open_synthetic(&config, seed, false, 1, NULL, NULL, &model, &error) ==
              GPTOSS_OK,
          "%s", error.message);
    return model;
}

static void check_synthetic(void)
{
    gptoss_model *models[4] = {open_synthetic(1, 4), open_synthetic(1, 4), open_synthetic(2, 4),
                               open_synthetic(1, 5)};
    const char *identity = identity_of(models[0]);
    CHECK(strcmp(identity, identity_of(models[1])) == 0, "the same seed");
    CHECK(strcmp(identity, identity_of(models[2])) != 0, "another seed");
    CHECK(strcmp(identity, identity_of(models[3])) != 0, "another shape");
    const gptoss_prepare_options options = {.pack = true, .sketch = true, .threads = 1};
    CHECK(gptoss_model_prepare(models[1], &options, NULL, NULL, NULL) == GPTOSS_OK, "packed");
    CHECK(strcmp(identity_of(models[0]), identity_of(models[1])) == 0, "packing changes nothing");
    for (size_t i = 0; i < 4; i++)
        gptoss_model_close(models[i]);
}

int main(void)
{
    scratch_begin();
    check_files();
    check_synthetic();
    return test_result();
}
