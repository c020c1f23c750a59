#define BASE_STATUS_C
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

/* Names from files go into sentences, and sentences to terminals, which obey control characters. */
static void replace_controls(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

gptoss_status fail(gptoss_error *error, gptoss_status status, const char *format, ...)
{
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
        replace_controls(error->message);
        error->status = status;
    }
    return status;
}

gptoss_status fail_memory(gptoss_error *error, const char *what, size_t bytes)
{
    return fail(error, GPTOSS_MEMORY, "out of memory: %s needs %zu bytes", what, bytes);
}

const char *gptoss_version(void)
{
    return GPTOSS_VERSION;
}
