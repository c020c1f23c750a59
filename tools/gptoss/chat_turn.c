#include "chat_turn.h"

#include <stdlib.h>
#include <string.h>

#include "console.h"

/* ---- the prompt ------------------------------------------------------------------------------ */

/* Where the last turn begins in the tokens: it renders the same alone. 0 when it does not. */
static size_t find_turn(const gptoss_tokenizer *tokenizer, const conversation *talk,
                        const gptoss_render_options *how, const chat_prompt *whole)
{
    size_t first = conversation_last_turn(talk);
    uint32_t *ids;
    size_t count;
    if (gptoss_render(tokenizer, talk->messages + first, talk->count - first, how, &ids, &count,
                      NULL) != GPTOSS_OK)
        return 0;
    size_t turn = count < whole->count ? whole->count - count : 0;
    if (turn > 0 && memcmp(whole->ids + turn, ids, count * sizeof *ids) != 0)
        turn = 0;
    free(ids);
    return turn;
}

gptoss_status chat_prompt_make(const gptoss_tokenizer *tokenizer, const conversation *talk,
                               bool open, chat_prompt *out, gptoss_error *error)
{
    gptoss_render_options how = {.history = GPTOSS_HISTORY_TURNS,
                                 .ending = open ? GPTOSS_ENDING_NONE : GPTOSS_ENDING_COMPLETION};
    *out = (chat_prompt){NULL, 0, 0};
    gptoss_status status =
        gptoss_render(tokenizer, talk->messages, talk->count, &how, &out->ids, &out->count, error);
    if (status != GPTOSS_OK)
        return status;
    out->turn = find_turn(tokenizer, talk, &how, out);
    if (open && out->count > 0)
        out->count--; /* the token that ends the message */
    return GPTOSS_OK;
}

/* ---- feeding --------------------------------------------------------------------------------- */

/* How much of the prompt is fed, over several calls. */
typedef struct feeding {
    chat *of;
    size_t done;  /* by earlier calls */
    size_t count; /* by this one */
    size_t total;
} feeding;

static bool on_prompt(void *user, const char *what, uint64_t done, uint64_t total)
{
    const feeding *how = user;
    double share = total > 0 ? (double)done / (double)total : 1.0;
    uint64_t fed = how->done + (uint64_t)(share * (double)how->count);
    (void)what;
    /* a prompt that is read at once needs no line about it */
    return console_progress(NULL, "reading", fed, how->total);
}

/* Feeds the prompt up to `end` and marks the place. */
static gptoss_status feed_to(feeding *how, const chat_prompt *prompt, size_t end,
                             gptoss_error *error)
{
    runtime *opened = how->of->opened;
    size_t length = gptoss_sequence_length(opened->sequence);
    if (end < length || end == 0)
        return GPTOSS_OK;
    how->count = end - length;
    gptoss_status status = GPTOSS_OK;
    if (end > length)
        status = gptoss_executor_feed(opened->executor, opened->sequence, prompt->ids + length,
                                      end - length, on_prompt, how, NULL, error);
    how->done += how->count;
    return status == GPTOSS_OK ? gptoss_sequence_mark(opened->sequence, error) : status;
}

/*
 * Feeds all but the last token, which is left for choosing the next one. The cache is marked where
 * the conversation may come back to: before the turn, for another one in its place, and here, for
 * another answer.
 */
static gptoss_status feed_prompt(chat *of, const chat_prompt *prompt, gptoss_error *error)
{
    gptoss_sequence *sequence = of->opened->sequence;
    of->last.prompt = (uint32_t)prompt->count;
    of->last.reused = gptoss_sequence_resume(sequence, prompt->ids, prompt->count);
    feeding how = {.of = of, .total = prompt->count - of->last.reused};
    double start = console_seconds();
    gptoss_status status = feed_to(&how, prompt, prompt->turn, error);
    if (status == GPTOSS_OK)
        status = feed_to(&how, prompt, prompt->count - 1, error);
    of->last.prompt_seconds = console_seconds() - start;
    console_clear_progress();
    return status;
}

/* ---- generating ------------------------------------------------------------------------------ */

/* What the callbacks share. */
typedef struct generation {
    chat *of;
    gptoss_parser *parser;
    bool open;    /* the next message to end is the conversation's last one */
    bool begun;   /* a message is under way */
    bool foreign; /* and it is not the assistant's */
    gptoss_status status;
    gptoss_error *error;
} generation;

/* A message without a channel counts as an answer, so that it stays in the conversation as one. */
static gptoss_message as_kept(generation *state, const gptoss_message *message)
{
    gptoss_message kept = *message;
    if (kept.channel.data == NULL && kept.recipient.data == NULL) {
        kept.channel = (gptoss_text){"final", 5};
        state->of->last.outside = true;
    }
    return kept;
}

static void keep_message(generation *state, const gptoss_message *message)
{
    conversation *talk = &state->of->talk;
    if (state->open) {
        conversation_extend(talk, message->content->text);
        state->open = false;
        return;
    }
    gptoss_message kept = as_kept(state, message);
    conversation_add(talk, &kept);
}

static void on_event(void *user, const gptoss_parser_event *event)
{
    generation *state = user;
    chat_show *show = &state->of->show;
    if (event->kind == GPTOSS_PARSER_BEGIN) {
        state->begun = true;
        state->foreign = event->message->role != GPTOSS_ROLE_ASSISTANT;
        show_begin(show, event->message);
    } else if (event->kind == GPTOSS_PARSER_TEXT) {
        state->of->last.silent = false;
        show_text(show, event->text);
    } else {
        show_end(show, event->message);
        if (!state->foreign || event->message->content->text.length > 0)
            keep_message(state, event->message);
        state->begun = false;
    }
}

static bool on_token(void *user, const gptoss_generated *token)
{
    generation *state = user;
    chat *of = state->of;
    if (token->choice.id == UINT32_MAX)
        return true;
    bool inside = state->begun;
    state->status = gptoss_parser_push(state->parser, token->choice.id, state->error);
    of->last.generated++;
    if (inside && state->begun) {
        of->last.thought += of->show.part == PART_THINKING;
        show_token(&of->show);
    }
    return state->status == GPTOSS_OK && !state->foreign && !of->show.broken &&
           !console_interrupted();
}

/* A parser goes on in a message when it is told the header again. */
static gptoss_status tell_header(generation *state)
{
    const chat *of = state->of;
    gptoss_render_options how = {.ending = GPTOSS_ENDING_NONE};
    uint32_t *ids;
    size_t count;
    gptoss_status status =
        gptoss_render(of->opened->tokenizer, of->talk.messages + of->talk.count - 1, 1, &how, &ids,
                      &count, state->error);
    for (size_t i = 0; i < count && status == GPTOSS_OK && !state->begun; i++)
        status = gptoss_parser_push(state->parser, ids[i], state->error);
    free(ids);
    return status;
}

/* The token that ended the run, where the parser knows it; then the end of the stream. */
static gptoss_status end_stream(generation *state, const gptoss_result *result)
{
    static const char *const ends[] = {"<|return|>", "<|call|>"};
    const gptoss_tokenizer *tokenizer = state->of->opened->tokenizer;
    gptoss_status status = state->status;
    for (size_t i = 0; i < sizeof ends / sizeof *ends && status == GPTOSS_OK; i++) {
        uint32_t id;
        if (result->stop == GPTOSS_STOP_TOKEN &&
            gptoss_tokenizer_special(tokenizer, ends[i], &id) && id == result->stop_id) {
            status = gptoss_parser_push(state->parser, id, state->error);
            state->of->last.generated++;
        }
    }
    return status == GPTOSS_OK ? gptoss_parser_end(state->parser, state->error) : status;
}

/* A call is one by its last message: the model may end it with <|end|> too. */
static chat_stop find_stop(const generation *state, const gptoss_result *result)
{
    const chat *of = state->of;
    const gptoss_sequence *sequence = of->opened->sequence;
    if (state->foreign)
        return CHAT_STOP_ROLE;
    if (result->stop == GPTOSS_STOP_CALLER)
        return CHAT_STOP_KEY;
    if (result->stop == GPTOSS_STOP_LENGTH)
        return gptoss_sequence_length(sequence) == gptoss_sequence_context(sequence)
                   ? CHAT_STOP_CONTEXT
                   : CHAT_STOP_LENGTH;
    return of->talk.count > of->last.first &&
                   message_part_of(&of->talk.messages[of->talk.count - 1]) == PART_CALL
               ? CHAT_STOP_CALL
               : CHAT_STOP_END;
}

static void add_to_totals(chat *of)
{
    of->totals.runs++;
    of->totals.reused += of->last.reused;
    of->totals.fed += of->last.prompt - of->last.reused;
    of->totals.generated += of->last.generated;
    of->totals.prompt_seconds += of->last.prompt_seconds;
    of->totals.seconds += of->last.seconds;
}

static gptoss_status generate(generation *state, const chat_prompt *prompt, uint32_t most,
                              gptoss_result *result)
{
    chat *of = state->of;
    gptoss_request request = {
        .prompt = prompt->ids + prompt->count - 1,
        .prompt_count = 1,
        .max_tokens = most,
        .sampling = of->sampling,
        .on_token = on_token,
        .user = state,
    };
    gptoss_status status = gptoss_generate(of->opened->executor, of->opened->sequence,
                                           of->opened->tokenizer, &request, result, state->error);
    of->last.prompt_seconds += result->prompt_seconds;
    of->last.seconds = result->generate_seconds;
    /* what was said before a failure is kept, too */
    gptoss_status ended = end_stream(state, result);
    return status != GPTOSS_OK ? status : ended;
}

gptoss_status chat_turn_run(chat *of, const chat_prompt *prompt, bool open, uint32_t most,
                            gptoss_error *error)
{
    gptoss_parser *parser;
    generation state = {.of = of, .open = open, .error = error};
    gptoss_parser_options how = {.from_start = open, .event = on_event, .user = &state};
    gptoss_result result = {.tokens = 0};
    of->last = (chat_turn){.stop = CHAT_STOP_KEY,
                           .first = of->talk.count - open,
                           .dropped = of->last.dropped,
                           .silent = true};
    gptoss_status status = gptoss_parser_open(of->opened->tokenizer, &how, &parser, error);
    if (status != GPTOSS_OK)
        return status;
    state.parser = parser;
    status = feed_prompt(of, prompt, error);
    if (status == GPTOSS_OK && open)
        status = tell_header(&state);
    if (status == GPTOSS_OK) {
        status = generate(&state, prompt, most, &result);
        of->last.stop = find_stop(&state, &result);
    }
    add_to_totals(of);
    gptoss_parser_close(parser);
    return status;
}
