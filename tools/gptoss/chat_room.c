#include "chat_room.h"

#include <stdlib.h>
#include <string.h>

#include "console.h"

/* ---- asking ---------------------------------------------------------------------------------- */

/* The letter of the answer to a question, one of `letters`; the last of them when there is none. */
static char ask(chat *of, const char *letters)
{
    char choice = letters[strlen(letters) - 1];
    line_input_forget(of->input);
    for (;;) {
        input_text line;
        if (line_input_read(of->input, "? ", &line) != LINE_READ) {
            console_forget_interrupt(CHAT_PRESSES);
            return choice;
        }
        char typed = (char)(line.bytes[0] | 0x20);
        bool known = line.length > 0 && strchr(letters, typed) != NULL;
        free(line.bytes);
        if (known)
            return typed;
        show_note(&of->show, "expected one of the letters %s", letters);
    }
}

static bool policy_is(const chat *of, const char *policy)
{
    return strcmp(of->given->context_full, policy) == 0;
}

typedef enum decision { DECISION_DROP, DECISION_GO_ON, DECISION_STOP } decision;

/* What to do with a prompt that leaves `left` tokens of the context, too few. */
static decision decide(chat *of, size_t count, size_t left)
{
    char tokens[CONSOLE_NUMBER], all[CONSOLE_NUMBER], rest[CONSOLE_NUMBER];
    if (policy_is(of, "drop"))
        return DECISION_DROP;
    if (policy_is(of, "stop") || !chat_can_ask(of))
        return left > 0 ? DECISION_GO_ON : DECISION_STOP;
    format_count(count, tokens);
    format_count(gptoss_sequence_context(of->opened->sequence), all);
    if (left == 0) {
        show_note(&of->show,
                  "The conversation takes %s tokens, the context holds %s. (d)rop the oldest "
                  "turns, or (s)top?",
                  tokens, all);
        return ask(of, "ds") == 'd' ? DECISION_DROP : DECISION_STOP;
    }
    show_note(&of->show,
              "The conversation takes %s of %s tokens. (d)rop the oldest turns, (g)o on with "
              "the %s that are left, or (s)top?",
              tokens, all, format_count(left, rest));
    char choice = ask(of, "dgs");
    return choice == 'd' ? DECISION_DROP : choice == 'g' ? DECISION_GO_ON : DECISION_STOP;
}

/* ---- dropping -------------------------------------------------------------------------------- */

/* Room that an answer should have. */
static size_t room_wanted(const chat *of, uint32_t most)
{
    size_t share = gptoss_sequence_context(of->opened->sequence) / 8;
    return most < share ? most : share;
}

/* Drops turns until the prompt and an answer fit, or one turn is left. */
static gptoss_status drop_turns(chat *of, bool open, size_t wanted, chat_prompt *prompt,
                                gptoss_error *error)
{
    size_t context = gptoss_sequence_context(of->opened->sequence);
    size_t turns = conversation_turns(&of->talk);
    size_t messages = 0;
    gptoss_status status = GPTOSS_OK;
    while (prompt->count + wanted > context && status == GPTOSS_OK) {
        size_t gone = conversation_drop_oldest(&of->talk);
        if (gone == 0)
            break;
        messages += gone;
        free(prompt->ids);
        status = chat_prompt_make(of->opened->tokenizer, &of->talk, open, prompt, error);
    }
    of->last.dropped = turns - conversation_turns(&of->talk);
    if (messages > 0)
        show_note(&of->show, "dropped %zu turn%s, %zu messages; it takes %zu of %zu tokens now",
                  of->last.dropped, of->last.dropped == 1 ? "" : "s", messages, prompt->count,
                  context);
    return status;
}

static chat_room refuse(chat *of, const chat_prompt *prompt)
{
    char tokens[CONSOLE_NUMBER], all[CONSOLE_NUMBER];
    bool turns = conversation_turns(&of->talk) > 1;
    show_note(&of->show, "the %s %s tokens, the context holds %s; %s",
              turns ? "conversation has" : "message makes", format_count(prompt->count, tokens),
              format_count(gptoss_sequence_context(of->opened->sequence), all),
              turns ? "--context-full drop makes room, and so do /reset and a larger -c"
                    : "a larger -c makes room");
    return ROOM_REFUSED;
}

chat_room chat_room_make(chat *of, bool open, bool drop, uint32_t most, chat_prompt *out,
                         gptoss_error *error)
{
    size_t context = gptoss_sequence_context(of->opened->sequence);
    of->last.dropped = 0;
    gptoss_status status = chat_prompt_make(of->opened->tokenizer, &of->talk, open, out, error);
    if (status != GPTOSS_OK)
        return ROOM_FAILED;
    size_t wanted = room_wanted(of, most);
    decision what = drop ? DECISION_DROP : DECISION_GO_ON;
    if (!drop && out->count + wanted > context && conversation_turns(&of->talk) > 1)
        what = decide(of, out->count, out->count < context ? context - out->count : 0);
    if (what == DECISION_DROP)
        status = drop_turns(of, open, wanted, out, error);
    chat_room room = status != GPTOSS_OK                              ? ROOM_FAILED
                     : what == DECISION_STOP || out->count >= context ? refuse(of, out)
                                                                      : ROOM_FOUND;
    if (room == ROOM_FOUND)
        return room;
    free(out->ids);
    *out = (chat_prompt){NULL, 0, 0};
    return room;
}

bool chat_room_go_on(chat *of)
{
    if (conversation_turns(&of->talk) < 2 || policy_is(of, "stop"))
        return false;
    if (policy_is(of, "drop"))
        return true;
    if (!chat_can_ask(of))
        return false;
    char all[CONSOLE_NUMBER];
    show_note(&of->show,
              "The context of %s tokens is full in the middle of the answer. (d)rop the oldest "
              "turns and go on, or (s)top here?",
              format_count(gptoss_sequence_context(of->opened->sequence), all));
    return ask(of, "ds") == 'd';
}
