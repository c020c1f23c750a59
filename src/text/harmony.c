#include "text/harmony.h"

#include <string.h>

static const char *const role_names[] = {
    [GPTOSS_ROLE_ASSISTANT] = "assistant", [GPTOSS_ROLE_USER] = "user",
    [GPTOSS_ROLE_SYSTEM] = "system",       [GPTOSS_ROLE_DEVELOPER] = "developer",
    [GPTOSS_ROLE_TOOL] = "tool",
};

const char *gptoss_role_name(gptoss_role role)
{
    return role_names[role];
}

bool gptoss_role_find(const char *name, size_t length, gptoss_role *out)
{
    for (size_t i = 0; i < sizeof role_names / sizeof *role_names; i++)
        if (text_is((gptoss_text){name, length}, role_names[i])) {
            *out = (gptoss_role)i;
            return true;
        }
    return false;
}

bool text_is(gptoss_text text, const char *expected)
{
    return text.data != NULL && text.length == strlen(expected) &&
           memcmp(text.data, expected, text.length) == 0;
}

gptoss_status harmony_tokens_find(const gptoss_tokenizer *tokenizer, harmony_tokens *out,
                                  gptoss_error *error)
{
    const struct {
        const char *text;
        uint32_t *id;
    } wanted[] = {
        {"<|start|>", &out->start},     {HARMONY_CHANNEL, &out->channel},
        {"<|message|>", &out->message}, {HARMONY_CONSTRAIN, &out->constrain},
        {"<|end|>", &out->end},         {"<|call|>", &out->call},
        {"<|return|>", &out->ret},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!gptoss_tokenizer_special(tokenizer, wanted[i].text, wanted[i].id))
            return fail(error, GPTOSS_UNSUPPORTED,
                        "the tokenizer has no control token %s, which the harmony format needs",
                        wanted[i].text);
    return GPTOSS_OK;
}
