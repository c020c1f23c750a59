#include "generate_run.h"

#include "console.h"

/* Without a tokenizer the ids are the only thing to show. */
static bool show_id(generation *of, uint32_t id)
{
    char text[16];
    int length = snprintf(text, sizeof text, of->ids_shown++ > 0 ? " %u" : "%u", id);
    return console_stream(text, (size_t)length);
}

static bool on_token(void *user, const gptoss_generated *token)
{
    generation *of = user;
    bool is_token = token->choice.id != UINT32_MAX;
    if (!of->streamed || of->kept.with_top) /* else it would only grow */
        record_add(&of->kept, token);
    if (of->streamed) {
        if (of->opened->tokenizer != NULL)
            of->broken = !console_stream(token->text, token->text_length);
        else if (is_token)
            of->broken = !show_id(of, token->choice.id);
    }
    return !of->broken && !console_interrupted();
}

/* Goes back to what the sequence has of the prompt, and on to where it is to be marked. */
static gptoss_status feed_to_mark(generation *of, gptoss_error *error)
{
    gptoss_sequence *sequence = of->opened->sequence;
    gptoss_status status = GPTOSS_OK;
    of->reused = gptoss_sequence_resume(sequence, of->prompt.ids, of->prompt.count);
    if (of->mark == 0 || of->mark < of->reused)
        return GPTOSS_OK;
    if (of->mark > of->reused)
        status = gptoss_executor_feed(of->opened->executor, sequence, of->prompt.ids + of->reused,
                                      of->mark - of->reused, console_progress, NULL, NULL, error);
    return status == GPTOSS_OK ? gptoss_sequence_mark(sequence, error) : status;
}

gptoss_status generation_run(generation *of, gptoss_error *error)
{
    const options *given = of->given;
    double start = console_seconds();
    gptoss_status status = feed_to_mark(of, error);
    double seconds = console_seconds() - start;
    if (status != GPTOSS_OK)
        return status;
    uint32_t fed = gptoss_sequence_length(of->opened->sequence);
    gptoss_request request = {
        .prompt = of->prompt.ids + fed,
        .prompt_count = of->prompt.count - fed,
        .max_tokens = of->most,
        .sampling = of->sampling,
        .ignore_stops = given->ignore_eos,
        .stop_texts = given->stops,
        .stop_text_count = given->stop_count,
        .top_count = (size_t)given->logprobs,
        .logprobs = given->given[FLAG_LOGPROBS],
        .on_token = on_token,
        .on_prompt = console_progress,
        .user = of,
    };
    status = gptoss_generate(of->opened->executor, of->opened->sequence, of->opened->tokenizer,
                             &request, &of->result, error);
    of->result.prompt_seconds += seconds;
    return status;
}
