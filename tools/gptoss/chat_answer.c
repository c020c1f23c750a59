/* From a conversation to the answer. */
#include <stdio.h>
#include <stdlib.h>

#include "chat_report.h"
#include "chat_room.h"
#include "chat_tool.h"
#include "console.h"

bool chat_has_person(const chat *of)
{
    return of->input != NULL && line_input_prompts(of->input);
}

bool chat_can_ask(const chat *of)
{
    return chat_has_person(of) && of->show.error_terminal;
}

static void report(chat *of)
{
    chat_report_end(of);
    chat_report_times(of);
    if (of->given->json)
        chat_report_json(of);
}

/* A run of the model that has failed; what it said until then was kept. */
static int fail_run(chat *of, const gptoss_error *error, bool *refused)
{
    show_finish(&of->show, of->input == NULL);
    *refused = of->last.silent;
    return console_error(error);
}

/* Runs the model once, and again where an answer fills the context and turns may be dropped. */
static int run_until_cut(chat *of, bool open, bool *refused)
{
    uint32_t most = of->given->predict < 0 ? UINT32_MAX : (uint32_t)of->given->predict;
    size_t first = of->talk.count - open;
    *refused = false;
    for (bool drop = false;; drop = true) {
        chat_prompt prompt;
        gptoss_error error;
        chat_room room = chat_room_make(of, open, drop, most, &prompt, &error);
        *refused = room != ROOM_FOUND && !drop;
        if (room != ROOM_FOUND)
            return room == ROOM_FAILED ? console_error(&error) : EXIT_FAILED;
        gptoss_status status = chat_turn_run(of, &prompt, open, most, &error);
        free(prompt.ids);
        if (status != GPTOSS_OK && status != GPTOSS_INTERRUPTED)
            return fail_run(of, &error, refused);
        report(of);
        if (of->last.stop != CHAT_STOP_CONTEXT || of->last.generated >= most || of->show.broken ||
            !chat_room_go_on(of))
            break;
        most -= most == UINT32_MAX ? 0 : of->last.generated;
        open = of->talk.count > first && !of->complete;
    }
    return of->show.broken ? EXIT_FAILED : EXIT_GOOD;
}

/* The same, with all that is printed on lines of its own. */
static int run_model(chat *of, bool open, bool *refused)
{
    int status = run_until_cut(of, open, refused);
    show_finish(&of->show, of->input == NULL);
    if (status == EXIT_GOOD && chat_can_ask(of) && of->last.stop != CHAT_STOP_CALL)
        fputc('\n', stderr); /* turns stand apart */
    return status;
}

/* Results of calls, and what the model makes of them. */
static int answer(chat *of, bool open, bool *refused)
{
    bool later;
    int status = run_model(of, open, refused);
    while (status == EXIT_GOOD && of->last.stop == CHAT_STOP_CALL && chat_tool_result(of))
        status = run_model(of, false, &later);
    return status;
}

int chat_answer(chat *of, bool *refused)
{
    return answer(of, false, refused);
}

int chat_go_on(chat *of, bool *refused)
{
    return answer(of, !of->complete, refused);
}
