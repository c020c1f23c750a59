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

/* ---- generating ------------------------------------------------------------------------------ */

/* What the callbacks share. */
typedef struct generation {
    chat *of;
    const chat_prompt *prompt;
    bool marked; /* the places to come back to */
    gptoss_parser *parser;
    bool open;    /* the next message to end is the conversation's last one */
    bool begun;   /* a message is under way */
    bool foreign; /* and it is not the assistant's */
    gptoss_status status;
    gptoss_error *error;
} generation;

/*
 * Marks where the conversation may come back to, when all of the prompt has just been read: before
 * the turn, for another one in its place, and before the last token, for another answer. What
 * cannot be marked will have to be read again, no more.
 */
static void mark_places(generation *state)
{
    gptoss_sequence *sequence = state->of->opened->sequence;
    const chat_prompt *prompt = state->prompt;
    if (state->marked || gptoss_sequence_length(sequence) != prompt->count)
        return;
    state->marked = true;
    (void)gptoss_sequence_mark_at(sequence, (uint32_t)prompt->turn, NULL);
    (void)gptoss_sequence_mark_at(sequence, (uint32_t)prompt->count - 1, NULL);
}

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
        show_begin(show, event->message, state->open);
    } else if (event->kind == GPTOSS_PARSER_TEXT) {
        state->of->last.silent = false;
        show_text(show, event->text);
    } else {
        show_end(show, event->message);
        /* a header that was cut, or is someone else's, is no message */
        if (event->end != GPTOSS_ENDED_CUT || event->message->content->text.length > 0)
            keep_message(state, event->message);
        state->of->complete = event->end != GPTOSS_ENDED_CUT;
        state->begun = false;
    }
}

static bool on_token(void *user, const gptoss_generated *token)
{
    generation *state = user;
    chat *of = state->of;
    if (token->choice.id == UINT32_MAX)
        return true;
    mark_places(state);
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
    of->totals.fed += of->last.fed;
    of->totals.generated += of->last.generated;
    of->totals.prompt_seconds += of->last.prompt_seconds;
    of->totals.seconds += of->last.seconds;
}

static bool on_prompt(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user;
    (void)what;
    return console_progress(NULL, "reading", done, total);
}

/* When a message begins so far from the end that the cache could not be marked there afterwards,
 * what is before it is fed alone. */
static gptoss_status feed_before_turn(generation *state)
{
    const runtime *opened = state->of->opened;
    const chat_prompt *prompt = state->prompt;
    size_t length = gptoss_sequence_length(opened->sequence);
    if (prompt->turn <= length || prompt->count - prompt->turn <= runtime_chunk(state->of->given))
        return GPTOSS_OK;
    gptoss_status status =
        gptoss_executor_feed(opened->executor, opened->sequence, prompt->ids + length,
                             prompt->turn - length, on_prompt, state, NULL, state->error);
    if (status == GPTOSS_OK)
        (void)gptoss_sequence_mark(opened->sequence, NULL);
    return status;
}

static gptoss_status generate(generation *state, uint32_t most, gptoss_result *result)
{
    chat *of = state->of;
    const chat_prompt *prompt = state->prompt;
    double start = console_seconds();
    gptoss_status status = feed_before_turn(state);
    of->last.prompt_seconds = console_seconds() - start;
    if (status != GPTOSS_OK)
        return status;
    size_t length = gptoss_sequence_length(of->opened->sequence);
    gptoss_request request = {
        .prompt = prompt->ids + length,
        .prompt_count = prompt->count - length,
        .max_tokens = most,
        .sampling = of->sampling,
        .on_token = on_token,
        .on_prompt = on_prompt,
        .user = state,
    };
    status = gptoss_generate(of->opened->executor, of->opened->sequence, of->opened->tokenizer,
                             &request, result, state->error);
    of->last.prompt_seconds += result->prompt_seconds;
    of->last.seconds = result->generate_seconds;
    mark_places(state);
    return status;
}

gptoss_status chat_turn_run(chat *of, const chat_prompt *prompt, bool open, uint32_t most,
                            gptoss_error *error)
{
    generation state = {.of = of, .prompt = prompt, .open = open, .error = error};
    gptoss_parser_options how = {.from_start = open, .event = on_event, .user = &state};
    gptoss_result result = {.tokens = 0};
    gptoss_status status = gptoss_parser_open(of->opened->tokenizer, &how, &state.parser, error);
    if (status != GPTOSS_OK)
        return status;
    of->last = (chat_turn){.stop = CHAT_STOP_KEY,
                           .first = of->talk.count - open,
                           .prompt = (uint32_t)prompt->count,
                           .dropped = of->last.dropped,
                           .silent = true};
    of->last.reused = gptoss_sequence_resume(of->opened->sequence, prompt->ids, prompt->count);
    if (open)
        status = tell_header(&state);
    if (status == GPTOSS_OK)
        status = generate(&state, most, &result);
    console_clear_progress();
    uint32_t length = gptoss_sequence_length(of->opened->sequence);
    of->last.fed = (length < of->last.prompt ? length : of->last.prompt) - of->last.reused;
    if (state.begun || result.tokens > 0 || status == GPTOSS_OK) {
        /* what was said before a failure is kept, too */
        gptoss_status ended = end_stream(&state, &result);
        if (status == GPTOSS_OK)
            of->last.stop = find_stop(&state, &result);
        status = status == GPTOSS_OK ? ended : status;
    }
    add_to_totals(of);
    gptoss_parser_close(state.parser);
    return status;
}
