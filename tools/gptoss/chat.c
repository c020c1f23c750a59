/* gptoss chat: a conversation at the terminal, or one answer for scripts. */
#include "chat.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chat_commands.h"
#include "chat_file.h"
#include "chat_head.h"
#include "chat_input.h"
#include "chat_report.h"
#include "console.h"
#include "generate_session.h"
#include "input.h"
#include "sampling.h"

#define PROMPT "> "

/* ---- opening --------------------------------------------------------------------------------- */

/* Begins a conversation, or goes on with that of --session; then what the flags say of its head. */
static int open_talk(chat *of)
{
    const options *given = of->given;
    gptoss_error error;
    uint32_t *ids = NULL;
    size_t count;
    int status = EXIT_GOOD;
    if (given->session != NULL && access(given->session, F_OK) == 0)
        status = chat_file_load(of, given->session);
    if (status != EXIT_GOOD)
        return status;
    chat_head_apply(&of->talk, given, of->tools);
    /* a schema that cannot be shown is refused here, not after the first question */
    if (gptoss_render(of->opened->tokenizer, of->talk.messages, of->talk.count, NULL, &ids, &count,
                      &error) != GPTOSS_OK)
        status = console_error(&error);
    free(ids);
    return status;
}

static int open_runtime(runtime *opened, const options *given)
{
    int status = runtime_open_model(opened, given);
    if (status == EXIT_GOOD)
        status = runtime_open_tokenizer(opened, given, true);
    opened->marked = true;
    if (status == EXIT_GOOD)
        status = runtime_open_sequence(opened, given, 0, 0);
    return status;
}

/* Brings the file of --session up to date. */
static int save_session(chat *of)
{
    if (of->given->session == NULL || !of->changed)
        return EXIT_GOOD;
    of->changed = false;
    return chat_file_save(of, of->given->session);
}

/* ---- one answer ------------------------------------------------------------------------------ */

/* The message of -p or -f. A newline at its end is the file's, not the message's. */
static int read_message(chat *of)
{
    input_text text;
    int status = input_prompt(of->given, &text);
    if (status != EXIT_GOOD)
        return status;
    size_t length = text.length;
    length -= length > 0 && text.bytes[length - 1] == '\n';
    if (length == 0)
        status = console_usage(of->given->command, "expected a message, found an empty one");
    else
        conversation_add_text(&of->talk, GPTOSS_ROLE_USER, (gptoss_text){NULL, 0},
                              (gptoss_text){NULL, 0}, (gptoss_text){NULL, 0},
                              (gptoss_text){text.bytes, length});
    free(text.bytes);
    return status;
}

static int answer_once(chat *of)
{
    bool refused = false;
    console_catch_interrupt();
    int status = read_message(of);
    if (status == EXIT_GOOD)
        status = chat_answer(of, &refused);
    of->changed = !refused;
    if (status == EXIT_GOOD)
        status = save_session(of);
    return status == EXIT_GOOD && console_interrupted() ? EXIT_INTERRUPTED : status;
}

/* ---- a talk ---------------------------------------------------------------------------------- */

static void greet(chat *of)
{
    char context[CONSOLE_NUMBER];
    if (!chat_can_ask(of))
        return;
    show_aside(&of->show, "gptoss %s, %s, context %s. /help lists the commands.", gptoss_version(),
               of->given->model,
               format_count(gptoss_sequence_context(of->opened->sequence), context));
    if (conversation_turns(&of->talk) > 0)
        chat_report_talk(of, "going on after ");
}

/* A message to the model. One that could not be asked is taken back. */
static int say(chat *of, gptoss_text text)
{
    bool refused = false;
    conversation_add_text(&of->talk, GPTOSS_ROLE_USER, (gptoss_text){NULL, 0},
                          (gptoss_text){NULL, 0}, (gptoss_text){NULL, 0}, text);
    int status = chat_answer(of, &refused);
    if (refused)
        conversation_cut(&of->talk, conversation_last_turn(&of->talk));
    of->changed = of->changed || !refused;
    return status;
}

static bool is_blank(const input_text *text)
{
    return strspn(text->bytes, " \t\n") == text->length;
}

/* What was typed: a command, or a message. */
static int take(chat *of, const input_text *typed, bool quoted, bool *quit)
{
    bool slash = !quoted && typed->bytes[0] == '/';
    if (is_blank(typed))
        return EXIT_GOOD;
    line_input_remember(of->input, typed->bytes, strlen(typed->bytes));
    console_forget_interrupt(CHAT_PRESSES);
    int status;
    if (slash && typed->bytes[1] != '/')
        status = chat_command_run(of, typed->bytes, quit);
    else
        status = say(of, (gptoss_text){typed->bytes + slash, typed->length - slash});
    int saved = save_session(of);
    return status == EXIT_GOOD ? saved : status;
}

/* Reads and answers until there is no more. At a terminal what fails is no failure of the chat. */
static int talk(chat *of)
{
    int worst = EXIT_GOOD;
    bool quit = false;
    bool asked = false; /* whether to end the chat, by pressing the key again */
    console_catch_interrupt();
    while (!quit && !of->show.broken) {
        input_text typed;
        bool quoted;
        console_forget_interrupt(CHAT_PRESSES);
        line_result read = chat_input_read(of->input, PROMPT, &typed, &quoted);
        if (read == LINE_END || (read == LINE_STOP && asked))
            break;
        asked = read == LINE_STOP;
        if (asked && !chat_has_person(of))
            return EXIT_INTERRUPTED;
        if (asked)
            show_aside(&of->show, "Ctrl-C again, Ctrl-D or /quit ends the chat");
        if (read != LINE_READ)
            continue;
        int status = take(of, &typed, quoted, &quit);
        free(typed.bytes);
        if (status != EXIT_GOOD)
            worst = status;
        if (console_interrupted() && !chat_has_person(of))
            return EXIT_INTERRUPTED;
    }
    if (of->show.broken)
        return EXIT_FAILED;
    return chat_has_person(of) ? EXIT_GOOD : worst;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int run(chat *of)
{
    const options *given = of->given;
    bool alone = given->prompt != NULL || given->file != NULL;
    show_open(&of->show, given);
    int status = open_talk(of);
    if (status == EXIT_GOOD && !alone)
        of->input = line_input_open(chat_command_guide());
    if (status == EXIT_GOOD)
        status = runtime_open_executor(of->opened, given, GPTOSS_NUMERICS_F32);
    if (status != EXIT_GOOD)
        return status;
    of->sampling = sampling_asked(given, gptoss_model_config(of->opened->model));
    if (alone)
        return answer_once(of);
    greet(of);
    return talk(of);
}

int run_chat(const options *given)
{
    runtime opened = {.model = NULL};
    chat state = {.given = given, .opened = &opened};
    int status = EXIT_GOOD;
    if (given->prompt != NULL && given->file != NULL)
        status = console_usage(given->command, "expected one of -p and -f, found both");
    if (status == EXIT_GOOD)
        status = chat_head_check(given);
    if (status == EXIT_GOOD && given->session != NULL)
        status = session_check_place(given);
    if (status == EXIT_GOOD)
        status = chat_head_read_tools(given, &state.tools);
    if (status == EXIT_GOOD)
        status = open_runtime(&opened, given);
    if (status == EXIT_GOOD)
        status = run(&state);
    line_input_close(state.input);
    conversation_free(&state.talk);
    gptoss_tool_list_close(state.tools);
    runtime_close(&opened);
    return status;
}

int chat_once(const options *given)
{
    static const struct {
        flag_id id;
        const char *name;
    } others[] = {{FLAG_IDS, "--ids"},
                  {FLAG_PARSE_SPECIAL, "--parse-special"},
                  {FLAG_STOP, "--stop"},
                  {FLAG_IGNORE_EOS, "--ignore-eos"},
                  {FLAG_LOGPROBS, "--logprobs"}};
    options adjusted = *given;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (given->given[others[i].id])
            return console_usage(given->command, "--chat: %s is of no use with it", others[i].name);
    if (given->prompt == NULL && given->file == NULL)
        return console_usage(given->command, "expected a message, -p TEXT or -f FILE, found none");
    adjusted.reasoning = "medium";
    adjusted.date = "today";
    adjusted.show_thinking = "dim";
    adjusted.context_full = "stop";
    return run_chat(&adjusted);
}
