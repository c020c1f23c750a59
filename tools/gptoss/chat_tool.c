#include "chat_tool.h"

#include <stdlib.h>

#include "chat_input.h"
#include "console.h"

/* "functions.get_weather> " */
static char *make_prompt(const gptoss_message *call)
{
    char *prompt = NULL;
    if (asprintf(&prompt, "%.*s> ", (int)call->recipient.length, call->recipient.data) < 0)
        return NULL;
    return prompt;
}

bool chat_tool_result(chat *of)
{
    const gptoss_message *call = &of->talk.messages[of->talk.count - 1];
    if (of->input == NULL)
        return false;
    line_input_forget(of->input);
    if (line_input_prompts(of->input))
        show_aside(&of->show, "the result of the call, please; Ctrl-C gives none");
    char *prompt = make_prompt(call);
    input_text result;
    line_result read = chat_input_read(of->input, prompt != NULL ? prompt : "? ", &result, NULL);
    free(prompt);
    if (read != LINE_READ) {
        console_forget_interrupt(CHAT_PRESSES);
        show_note(&of->show, "the call has no result");
        return false;
    }
    gptoss_text to = {"assistant", 9};
    conversation_add_text(&of->talk, GPTOSS_ROLE_TOOL, call->recipient, to, call->channel,
                          (gptoss_text){result.bytes, result.length});
    free(result.bytes);
    return true;
}
