#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gptoss_error last;

int fuzz_judge(gptoss_status status, const gptoss_error *error)
{
    last = (gptoss_error){.status = status};
    if (status == GPTOSS_OK)
        return 0;
    FUZZ_CHECK(error->status == status);
    FUZZ_CHECK(memchr(error->message, '\0', sizeof error->message) != NULL);
    FUZZ_CHECK(strlen(error->message) >= 10);
    last = *error;
    return 0;
}

void fuzz_abort(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, condition);
    abort();
}

gptoss_status fuzz_last_status(void)
{
    return last.status;
}

const char *fuzz_last_message(void)
{
    return last.message;
}
