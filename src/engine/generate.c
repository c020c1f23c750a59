/* The loop from a prompt to a text. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/status.h"
#include "engine/stop_text.h"
#include "gptoss.h"

typedef struct generation {
    gptoss_executor *executor;
    gptoss_sequence *sequence;
    const gptoss_tokenizer *tokenizer;
    const gptoss_request *request;
    gptoss_result *result;
    gptoss_sampler *sampler;
    gptoss_choice *top; /* [request->top_count] */
    gptoss_utf8_stream utf8;
    stop_text stops;
    uint32_t stop_ids[GPTOSS_MAX_STOPS + 3];
    size_t stop_count;
} generation;

static double seconds(void)
{
    return 1e-9 * (double)clock_now();
}

/* The configuration's stop tokens and, where the tokenizer has them, harmony's. */
static void find_stops(generation *g)
{
    static const char *const harmony[] = {"<|return|>", "<|call|>", "<|endoftext|>"};
    const gptoss_config *config = gptoss_model_config(gptoss_executor_model(g->executor));
    memcpy(g->stop_ids, config->stops, config->stop_count * sizeof *config->stops);
    g->stop_count = config->stop_count;
    for (size_t i = 0; g->tokenizer != NULL && i < sizeof harmony / sizeof *harmony; i++)
        if (gptoss_tokenizer_special(g->tokenizer, harmony[i], &g->stop_ids[g->stop_count]))
            g->stop_count++;
}

static bool is_stop(const generation *g, uint32_t id)
{
    for (size_t i = 0; i < g->stop_count; i++)
        if (g->stop_ids[i] == id)
            return !g->request->ignore_stops;
    return false;
}

/* Hands a token and what text may be shown with it to the caller; false when generation ends. */
static bool deliver(generation *g, const gptoss_generated *token)
{
    if (g->request->on_token == NULL || g->request->on_token(g->request->user, token))
        return true;
    g->result->stop = GPTOSS_STOP_CALLER;
    return false;
}

/* The bytes of a token through UTF-8 and the stop texts; false when generation ends. */
static gptoss_status emit(generation *g, gptoss_choice choice, size_t top_count, bool *go_on,
                          gptoss_error *error)
{
    gptoss_generated token = {.choice = choice, .top = g->top, .top_count = top_count};
    size_t length = 0;
    const char *bytes = NULL;
    if (g->tokenizer != NULL)
        bytes = gptoss_tokenizer_bytes(g->tokenizer, choice.id, &length);
    if (g->tokenizer != NULL && gptoss_tokenizer_is_special(g->tokenizer, choice.id))
        length = 0; /* control tokens are no text */

    char *text = malloc(GPTOSS_UTF8_ROOM(length));
    if (text == NULL)
        return fail_memory(error, "a token's text", GPTOSS_UTF8_ROOM(length));
    size_t text_length = bytes == NULL ? 0 : gptoss_utf8_push(&g->utf8, bytes, length, text);
    bool stopped = false;
    gptoss_status status = stop_text_push(&g->stops, text, text_length, &stopped, error);
    free(text);
    if (status != GPTOSS_OK)
        return status;
    token.text = g->stops.ready;
    token.text_length = g->stops.ready_length;
    g->result->tokens++;
    *go_on = deliver(g, &token);
    if (*go_on && stopped) {
        g->result->stop = GPTOSS_STOP_TEXT;
        *go_on = false;
    }
    return GPTOSS_OK;
}

/* What was held back becomes text after all, unless a stop text swallowed it. */
static gptoss_status flush(generation *g, gptoss_error *error)
{
    char rest[GPTOSS_UTF8_ROOM(0)];
    bool stopped = false;
    if (g->result->stop == GPTOSS_STOP_TEXT)
        return GPTOSS_OK;
    size_t length = gptoss_utf8_end(&g->utf8, rest);
    gptoss_status status = stop_text_push(&g->stops, rest, length, &stopped, error);
    if (status != GPTOSS_OK)
        return status;
    stop_text_end(&g->stops);
    gptoss_generated last = {
        .choice = {UINT32_MAX, 0.0F}, .text = g->stops.ready, .text_length = g->stops.ready_length};
    gptoss_stop stop = g->result->stop;
    if (last.text_length > 0)
        deliver(g, &last);
    g->result->stop = stop;
    return GPTOSS_OK;
}

/* Feeds tokens and chooses the next one: from all logits only when probabilities are wanted. */
static gptoss_status feed(generation *g, const uint32_t *tokens, size_t count,
                          gptoss_progress_fn progress, gptoss_choice *choice, gptoss_error *error)
{
    const float *logits;
    void *user = g->request->user;
    if (!g->request->logprobs && g->request->top_count == 0)
        return gptoss_executor_feed_choose(g->executor, g->sequence, tokens, count, g->sampler,
                                           progress, user, choice, error);
    gptoss_status status = gptoss_executor_feed(g->executor, g->sequence, tokens, count, progress,
                                                user, &logits, error);
    if (status != GPTOSS_OK)
        return status;
    if (g->request->top_count > 0)
        gptoss_sampler_top(g->sampler, logits, g->request->top_count, g->top);
    return gptoss_sampler_choose(g->sampler, logits, gptoss_sequence_length(g->sequence), choice,
                                 error);
}

/* Hands on tokens and feeds them until something ends it; result->stop says what. `choice` is the
 * first token. */
static gptoss_status loop(generation *g, gptoss_choice choice, gptoss_error *error)
{
    uint32_t vocab = gptoss_model_config(gptoss_executor_model(g->executor))->vocab;
    size_t top_count = g->request->top_count < vocab ? g->request->top_count : vocab;
    g->result->stop = GPTOSS_STOP_LENGTH;
    while (g->result->tokens < g->request->max_tokens) {
        if (is_stop(g, choice.id)) {
            g->result->stop = GPTOSS_STOP_TOKEN;
            g->result->stop_id = choice.id;
            return GPTOSS_OK;
        }
        bool go_on;
        gptoss_status status = emit(g, choice, top_count, &go_on, error);
        if (status != GPTOSS_OK || !go_on)
            return status;
        bool full = gptoss_sequence_length(g->sequence) == gptoss_sequence_context(g->sequence);
        if (full || g->result->tokens == g->request->max_tokens)
            return GPTOSS_OK;
        uint32_t token = choice.id;
        status = feed(g, &token, 1, NULL, &choice, error);
        if (status != GPTOSS_OK)
            return status;
    }
    return GPTOSS_OK;
}

static gptoss_status check_request(const generation *g, gptoss_error *error)
{
    const gptoss_request *r = g->request;
    uint32_t used = gptoss_sequence_length(g->sequence);
    uint32_t context = gptoss_sequence_context(g->sequence);
    if (r->prompt_count == 0)
        return fail(error, GPTOSS_USAGE, "the prompt is empty: expected at least one token");
    if (r->prompt_count > context - used)
        return fail(error, GPTOSS_LIMIT,
                    "the prompt has %zu tokens: expected at most %u, what is left of the context",
                    r->prompt_count, context - used);
    if (r->stop_text_count > 0 && g->tokenizer == NULL)
        return fail(error, GPTOSS_USAGE, "stop texts need a tokenizer");
    return GPTOSS_OK;
}

static gptoss_status run(generation *g, gptoss_error *error)
{
    const gptoss_request *r = g->request;
    uint32_t vocab = gptoss_model_config(gptoss_executor_model(g->executor))->vocab;
    gptoss_choice first = {0};
    gptoss_status status = check_request(g, error);
    if (status != GPTOSS_OK)
        return status;
    g->top = calloc(r->top_count + 1, sizeof *g->top);
    if (g->top == NULL)
        return fail_memory(error, "the alternatives", r->top_count * sizeof *g->top);
    status = stop_text_init(&g->stops, r->stop_texts, r->stop_text_count, error);
    if (status == GPTOSS_OK)
        status = gptoss_sampler_open(vocab, g->tokenizer, &r->sampling, &g->sampler, error);
    if (status != GPTOSS_OK)
        return status;
    find_stops(g);

    double start = seconds();
    if (r->max_tokens > 0)
        status = feed(g, r->prompt, r->prompt_count, r->on_prompt, &first, error);
    else
        status = gptoss_executor_feed(g->executor, g->sequence, r->prompt, r->prompt_count,
                                      r->on_prompt, r->user, NULL, error);
    double middle = seconds();
    g->result->prompt_seconds = middle - start;
    if (status == GPTOSS_OK)
        status = loop(g, first, error);
    if (status == GPTOSS_OK)
        status = flush(g, error);
    g->result->generate_seconds = seconds() - middle;
    return status;
}

gptoss_status gptoss_generate(gptoss_executor *executor, gptoss_sequence *sequence,
                              const gptoss_tokenizer *tokenizer, const gptoss_request *request,
                              gptoss_result *result, gptoss_error *error)
{
    generation g = {.executor = executor,
                    .sequence = sequence,
                    .tokenizer = tokenizer,
                    .request = request,
                    .result = result};
    *result = (gptoss_result){0};
    gptoss_status status = run(&g, error);
    stop_text_free(&g.stops);
    gptoss_sampler_close(g.sampler);
    free(g.top);
    return status;
}

const char *gptoss_stop_name(gptoss_stop stop)
{
    static const char *const names[] = {"token", "text", "length", "interrupted"};
    return names[stop];
}
