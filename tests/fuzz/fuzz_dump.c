/*
 * A dump, plain or compressed. What opens is compared with itself: whatever the numbers are, each
 * stage agrees with itself to the last bit.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

static char path[64];
static int file = -1;

/* One file per process, in memory, written again and again. */
static void write_file(const uint8_t *data, size_t size)
{
    if (file < 0) {
        file = memfd_create("dump", MFD_CLOEXEC);
        FUZZ_CHECK(file >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    FUZZ_CHECK(ftruncate(file, 0) == 0 && pwrite(file, data, size, 0) == (ssize_t)size);
}

static void check_stage(const gptoss_parity_stage *stage)
{
    FUZZ_CHECK(stage->pass && stage->rows > 0 && stage->rows_outside == 0);
    FUZZ_CHECK(stage->max_error == 0 && stage->max_difference == 0 && stage->max_ulp == 0);
    FUZZ_CHECK(stage->bit_equal == 1 && stage->nmse == 0 && stage->rows_flipped == 0);
    for (size_t row = 0; row < stage->rows; row++) {
        FUZZ_CHECK(row == 0 || stage->tokens[row - 1] < stage->tokens[row]);
        FUZZ_CHECK(stage->row_errors[row] == 0);
    }
}

static void use(const gptoss_reference *dump)
{
    gptoss_parity_report *report = NULL;
    gptoss_error error = {0};
    size_t count = 0;
    const uint32_t *ids = gptoss_reference_ids(dump, &count);
    FUZZ_CHECK(ids != NULL && count > 0 && ids[count - 1] <= INT32_MAX);
    FUZZ_CHECK(strcmp(gptoss_reference_metadata(dump, "format"), "gptoss-dump-1") == 0);
    gptoss_status status = gptoss_parity_dumps(dump, dump, NULL, NULL, NULL, &report, &error);
    FUZZ_CHECK((status == GPTOSS_OK) == (report != NULL));
    FUZZ_CHECK(status == GPTOSS_OK || status == GPTOSS_NUMERIC);
    fuzz_judge(status, &error);
    if (report == NULL)
        return;
    FUZZ_CHECK(report->pass && !report->departed && report->flip_count == 0);
    for (size_t i = 0; i < report->stage_count; i++)
        check_stage(&report->stages[i]);
    gptoss_parity_free(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gptoss_reference *dump = NULL;
    gptoss_error error = {0};
    write_file(data, size);
    gptoss_status status = gptoss_reference_open(path, &dump, &error);
    FUZZ_CHECK((status == GPTOSS_OK) == (dump != NULL));
    if (dump != NULL)
        use(dump);
    gptoss_reference_close(dump);
    return fuzz_judge(status, &error);
}
