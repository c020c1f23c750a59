/*
 * A session file, sealed anew so that what is behind the digest is reached. What loads is gone back
 * in, to everywhere that is possible, and fed a token there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/sha256.h"
#include "fuzz.h"

#define CHECKPOINT GPTOSS_SOURCE_DIR "/tests/golden/published/hf-mxfp4"

static gptoss_model *model;
static gptoss_executor *executor;
static char path[64];
static int file = -1;

static void close_model(void)
{
    gptoss_executor_close(executor);
    gptoss_model_close(model);
}

/* Once per process. */
static void open_model(void)
{
    const gptoss_executor_options options = {.threads = 1, .chunk = 16};
    if (model != NULL)
        return;
    FUZZ_CHECK(gptoss_model_open(CHECKPOINT, &model, NULL) == GPTOSS_OK);
    FUZZ_CHECK(gptoss_executor_open(model, &options, &executor, NULL) == GPTOSS_OK);
    FUZZ_CHECK(atexit(close_model) == 0);
    file = memfd_create("session", MFD_CLOEXEC);
    FUZZ_CHECK(file >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
}

static void write_file(const uint8_t *data, size_t size)
{
    uint8_t seal[SHA256_BYTES];
    sha256 digest;
    FUZZ_CHECK(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
    if (size < sizeof seal)
        return;
    sha256_begin(&digest);
    sha256_add(&digest, data, size - sizeof seal);
    sha256_end(&digest, seal);
    FUZZ_CHECK(pwrite(file, seal, sizeof seal, (off_t)(size - sizeof seal)) == sizeof seal);
}

/* Keys and values may be any numbers, NaN too. */
static void feed(gptoss_sequence *sequence)
{
    const uint32_t token = 7;
    uint32_t length = gptoss_sequence_length(sequence);
    gptoss_error error = {0};
    gptoss_status status =
        gptoss_executor_feed(executor, sequence, &token, 1, NULL, NULL, NULL, &error);
    FUZZ_CHECK(status == GPTOSS_OK || status == GPTOSS_NUMERIC || status == GPTOSS_LIMIT);
    FUZZ_CHECK(gptoss_sequence_length(sequence) == length + (status == GPTOSS_OK));
    FUZZ_CHECK(status != GPTOSS_OK || gptoss_sequence_tokens(sequence)[length] == token);
    fuzz_judge(status, &error);
}

static void use(gptoss_sequence *sequence)
{
    const gptoss_config *config = gptoss_model_config(model);
    uint32_t length = gptoss_sequence_length(sequence);
    FUZZ_CHECK(length <= gptoss_sequence_context(sequence) && length <= config->context);
    for (uint32_t i = 0; i < length; i++)
        FUZZ_CHECK(gptoss_sequence_tokens(sequence)[i] < config->vocab);
    for (uint32_t back = length + 1; back-- > 0;) {
        bool possible = gptoss_sequence_rewind(sequence, back, NULL) == GPTOSS_OK;
        FUZZ_CHECK(possible || (back != 0 && back != length));
        if (possible && (back % 16 == 0 || back == length))
            feed(sequence);
        FUZZ_CHECK(!possible || gptoss_sequence_rewind(sequence, back, NULL) == GPTOSS_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gptoss_sequence *sequence = NULL;
    gptoss_error error = {0};
    char *note = NULL;
    size_t note_length = 0;
    open_model();
    write_file(data, size);
    gptoss_status status =
        gptoss_sequence_load(model, path, NULL, &sequence, &note, &note_length, &error);
    FUZZ_CHECK((status == GPTOSS_OK) == (sequence != NULL));
    FUZZ_CHECK((status == GPTOSS_OK) == (note != NULL));
    if (sequence != NULL) {
        FUZZ_CHECK(note[note_length] == '\0' && note_length < size);
        use(sequence);
    }
    gptoss_sequence_close(sequence);
    free(note);
    return fuzz_judge(status, &error);
}
