#include "base/status.h"

gptoss_status gptoss_reference_open(const char *path, gptoss_reference **out, gptoss_error *error)
{
    *out = NULL;
    return fail(error, GPTOSS_UNSUPPORTED, "%s: dumps are not read yet", path);
}

void gptoss_reference_close(gptoss_reference *reference)
{
    (void)reference;
}

const uint32_t *gptoss_reference_ids(const gptoss_reference *reference, size_t *count)
{
    (void)reference;
    *count = 0;
    return NULL;
}

const char *gptoss_reference_metadata(const gptoss_reference *reference, const char *key)
{
    (void)reference;
    (void)key;
    return NULL;
}

bool gptoss_reference_is_bf16(const gptoss_reference *reference)
{
    (void)reference;
    return false;
}

gptoss_status gptoss_parity(gptoss_executor *executor, const gptoss_reference *reference,
                            const gptoss_parity_options *options, gptoss_progress_fn progress,
                            void *user, gptoss_parity_report **out, gptoss_error *error)
{
    (void)executor;
    (void)reference;
    (void)options;
    (void)progress;
    (void)user;
    *out = NULL;
    return fail(error, GPTOSS_UNSUPPORTED, "nothing is compared yet");
}

gptoss_status gptoss_parity_dumps(const gptoss_reference *reference,
                                  const gptoss_reference *candidate,
                                  const gptoss_parity_options *options, gptoss_progress_fn progress,
                                  void *user, gptoss_parity_report **out, gptoss_error *error)
{
    (void)reference;
    (void)candidate;
    (void)options;
    (void)progress;
    (void)user;
    *out = NULL;
    return fail(error, GPTOSS_UNSUPPORTED, "nothing is compared yet");
}

void gptoss_parity_free(gptoss_parity_report *report)
{
    (void)report;
}
