/* A program that knows the installed library only, with names of its own that the library uses
 * inside. */
#include <gptoss.h>
#include <stdio.h>
#include <string.h>

int fail(void);
int json_parse(void);

int fail(void)
{
    return 3;
}

int json_parse(void)
{
    return 4;
}

int main(void)
{
    gptoss_model *model = NULL;
    gptoss_error error = {GPTOSS_OK, ""};
    if (gptoss_model_open("/nowhere/at/all", &model, &error) == GPTOSS_OK || model != NULL)
        return 1;
    if (strcmp(gptoss_version(), GPTOSS_VERSION) != 0 || fail() + json_parse() != 7)
        return 1;
    printf("%s\n", error.message);
    return strstr(error.message, "/nowhere/at/all") == NULL;
}
