#include "generate_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"
#include "json_writer.h"
#include "sampling.h"

/* ---- keeping --------------------------------------------------------------------------------- */

/* Makes room for `more` elements behind `count` of them. */
static void *grow(void *block, size_t count, size_t more, size_t *room, size_t size)
{
    if (block != NULL && count + more <= *room)
        return block;
    *room = 2 * (count + more) + 64;
    return console_resize(block, *room, size);
}

static void keep_token(record *kept, const gptoss_generated *token)
{
    size_t room = kept->room; /* one for both arrays */
    kept->choices = grow(kept->choices, kept->count, 1, &room, sizeof *kept->choices);
    kept->top_ends = grow(kept->top_ends, kept->count, 1, &kept->room, sizeof *kept->top_ends);
    kept->tops =
        grow(kept->tops, kept->top_count, token->top_count, &kept->top_room, sizeof *kept->tops);
    for (size_t i = 0; i < token->top_count; i++)
        kept->tops[kept->top_count++] = token->top[i];
    kept->choices[kept->count] = token->choice;
    kept->top_ends[kept->count++] = kept->top_count;
}

void record_add(record *kept, const gptoss_generated *token)
{
    if (token->choice.id != UINT32_MAX)
        keep_token(kept, token);
    kept->text = grow(kept->text, kept->length, token->text_length, &kept->text_room, 1);
    if (token->text_length > 0)
        memcpy(kept->text + kept->length, token->text, token->text_length);
    kept->length += token->text_length;
}

void record_free(record *kept)
{
    free(kept->choices);
    free(kept->tops);
    free(kept->top_ends);
    free(kept->text);
    *kept = (record){NULL};
}

static size_t top_start(const record *kept, size_t index)
{
    return index > 0 ? kept->top_ends[index - 1] : 0;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* {"id", "text", "bytes", "logprob"}, left open. `bytes` tell what the text of a token that ends
 * within a character cannot. */
static void open_choice(json_writer *json, const gptoss_tokenizer *tokenizer,
                        const gptoss_choice *choice)
{
    json_put_object(json, NULL);
    json_put_whole(json, "id", choice->id);
    if (tokenizer != NULL) {
        size_t length = 0;
        const char *bytes = gptoss_tokenizer_bytes(tokenizer, choice->id, &length);
        json_put_bytes(json, "text", bytes, length);
        json_put_array(json, "bytes");
        for (size_t i = 0; i < length; i++)
            json_put_whole(json, NULL, (unsigned char)bytes[i]);
        json_end_array(json);
    }
    json_put_single(json, "logprob", choice->logprob);
}

static void print_logprobs_json(json_writer *json, const record *kept,
                                const gptoss_tokenizer *tokenizer)
{
    json_put_array(json, "logprobs");
    for (size_t i = 0; i < kept->count; i++) {
        open_choice(json, tokenizer, &kept->choices[i]);
        json_put_array(json, "top");
        for (size_t j = top_start(kept, i); j < kept->top_ends[i]; j++) {
            open_choice(json, tokenizer, &kept->tops[j]);
            json_end_object(json);
        }
        json_end_array(json);
        json_end_object(json);
    }
    json_end_array(json);
}

static double per_second(uint64_t count, double seconds)
{
    return seconds > 0.0 ? (double)count / seconds : 0.0;
}

static size_t tokens_fed(const generation *of)
{
    return of->prompt.count - of->reused;
}

static void print_timings_json(json_writer *json, const generation *of)
{
    const gptoss_result *result = &of->result;
    json_put_object(json, "timings");
    json_put_whole(json, "prompt_tokens", of->prompt.count);
    json_put_whole(json, "reused_tokens", of->reused);
    json_put_real(json, "prompt_seconds", result->prompt_seconds);
    json_put_real(json, "prompt_per_second", per_second(tokens_fed(of), result->prompt_seconds));
    json_put_whole(json, "tokens", result->tokens);
    json_put_real(json, "seconds", result->generate_seconds);
    json_put_real(json, "per_second", per_second(result->tokens, result->generate_seconds));
    json_end_object(json);
}

void record_print_json(const generation *of, gptoss_text id)
{
    const record *kept = &of->kept;
    json_writer json = JSON_WRITER(stdout);
    json_put_object(&json, NULL);
    if (id.data != NULL)
        json_put_source(&json, "id", id.data, id.length);
    json_put_ids(&json, "prompt_ids", of->prompt.ids, of->prompt.count);
    json_put_array(&json, "ids");
    for (size_t i = 0; i < kept->count; i++)
        json_put_whole(&json, NULL, kept->choices[i].id);
    json_end_array(&json);
    json_put_bytes(&json, "text", kept->text, kept->length);
    json_put_text(&json, "stop", gptoss_stop_name(of->result.stop));
    if (of->result.stop == GPTOSS_STOP_TOKEN)
        json_put_whole(&json, "stop_id", of->result.stop_id);
    json_put_whole(&json, "seed", of->sampling.seed);
    sampling_put(&json, &of->sampling);
    if (kept->with_top)
        print_logprobs_json(&json, kept, of->opened->tokenizer);
    print_timings_json(&json, of);
    runtime_put_run(&json, of->opened->executor);
    json_end_object(&json);
    putchar('\n');
}

/* ---- text ------------------------------------------------------------------------------------ */

/* `id text logprob`, the text as a JSON string. */
static void print_choice(const gptoss_tokenizer *tokenizer, const gptoss_choice *choice)
{
    fprintf(stderr, "%u ", choice->id);
    if (tokenizer != NULL) {
        size_t length = 0;
        const char *bytes = gptoss_tokenizer_bytes(tokenizer, choice->id, &length);
        json_writer json = JSON_WRITER(stderr);
        json_put_bytes(&json, NULL, bytes, length);
        fputc(' ', stderr);
    }
    fprintf(stderr, "%.4f", (double)choice->logprob);
}

void record_print_logprobs(const record *kept, const gptoss_tokenizer *tokenizer)
{
    for (size_t i = 0; i < kept->count; i++) {
        print_choice(tokenizer, &kept->choices[i]);
        for (size_t j = top_start(kept, i); j < kept->top_ends[i]; j++) {
            fputs(j == top_start(kept, i) ? "  | " : ", ", stderr);
            print_choice(tokenizer, &kept->tops[j]);
        }
        fputc('\n', stderr);
    }
}

void record_print_summary(const generation *of)
{
    const gptoss_result *result = &of->result;
    size_t fed = tokens_fed(of);
    char found[64] = "";
    if (of->reused > 0 || of->given->session != NULL)
        snprintf(found, sizeof found, " and %zu found in the %s", of->reused,
                 of->given->session != NULL ? "session" : "cache");
    console_note("prompt %zu tokens in %.2f s (%.1f/s)%s, generated %u tokens in %.2f s (%.1f/s), "
                 "stop: %s, seed %llu",
                 fed, result->prompt_seconds, per_second(fed, result->prompt_seconds), found,
                 result->tokens, result->generate_seconds,
                 per_second(result->tokens, result->generate_seconds),
                 gptoss_stop_name(result->stop), (unsigned long long)of->sampling.seed);
}
