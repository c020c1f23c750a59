/* Tokens chosen through a sketch are those that all logits give, for every sampling and number of
 * threads, on small checkpoints. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "gptoss.h"

enum { STEPS = 12, CONTEXT = 64 };

static const char *const checkpoints[] = {
    GPTOSS_SOURCE_DIR "/tests/golden/published/hf-mxfp4",
    GPTOSS_SOURCE_DIR "/tests/golden/published/original",
    GPTOSS_SOURCE_DIR "/models/austen",
};

static const gptoss_sampling samplings[] = {
    {0.0F, 0, 1.0F, 0.0F, 1},  {1.0F, 0, 1.0F, 0.0F, 2},     {0.3F, 0, 1.0F, 0.0F, 3},
    {8.0F, 0, 1.0F, 0.0F, 4},  {1.0F, 20, 1.0F, 0.0F, 5},    {1.0F, 1, 1.0F, 0.0F, 6},
    {0.7F, 50, 0.8F, 0.1F, 7}, {1.5F, 0, 1.0F, 0.05F, 8},    {0.4F, 0, 1.0F, 0.6F, 9},
    {1.0F, 0, 0.9F, 0.0F, 10}, {1.0F, 5000, 1.0F, 0.0F, 11}, {1.0F, 1024, 0.5F, 0.0F, 12},
};

typedef struct runner {
    gptoss_executor *executor;
    gptoss_sequence *sequence;
    gptoss_sampler *sampler;
} runner;

static runner start(const gptoss_model *model, uint32_t threads, const gptoss_sampling *sampling,
                    const gptoss_tokenizer *tokenizer)
{
    runner r = {NULL, NULL, NULL};
    const gptoss_executor_options options = {.threads = threads, .chunk = 16};
    const gptoss_sequence_options timeline = {.context = CONTEXT, .chunk = 16};
    uint32_t vocab = gptoss_model_config(model)->vocab;
    CHECK(gptoss_executor_open(model, &options, &r.executor, NULL) == GPTOSS_OK, "executor");
    CHECK(gptoss_sequence_open(model, &timeline, &r.sequence, NULL) == GPTOSS_OK, "sequence");
    CHECK(gptoss_sampler_open(vocab, tokenizer, sampling, &r.sampler, NULL) == GPTOSS_OK,
          "sampler");
    return r;
}

static void end(runner *r)
{
    gptoss_sampler_close(r->sampler);
    gptoss_sequence_close(r->sequence);
    gptoss_executor_close(r->executor);
}

/* Chooses STEPS tokens after a prompt of three; `plainly` from all logits. */
static void choose(runner *r, bool plainly, uint32_t *ids)
{
    uint32_t prompt[] = {3, 1, 2};
    const uint32_t *fed = prompt;
    size_t count = 3;
    for (size_t i = 0; i < STEPS; i++) {
        gptoss_choice choice = {0, 0.0F};
        const float *logits;
        gptoss_status status;
        if (plainly) {
            status = gptoss_executor_feed(r->executor, r->sequence, fed, count, NULL, NULL, &logits,
                                          NULL);
            if (status == GPTOSS_OK)
                status = gptoss_sampler_choose(r->sampler, logits,
                                               gptoss_sequence_length(r->sequence), &choice, NULL);
        } else {
            status = gptoss_executor_feed_choose(r->executor, r->sequence, fed, count, r->sampler,
                                                 NULL, NULL, &choice, NULL);
            CHECK(isnan(choice.logprob), "a probability of nothing");
        }
        CHECK(status == GPTOSS_OK, "status %d", status);
        ids[i] = choice.id;
        fed = &ids[i];
        count = 1;
    }
}

/* The same model with and without a sketch. */
static void check_sampling(const gptoss_model *const models[2], const gptoss_tokenizer *tokenizer,
                           const gptoss_sampling *sampling, uint32_t threads)
{
    uint32_t ids[3][STEPS];
    runner plain = start(models[0], threads, sampling, tokenizer);
    runner without = start(models[0], threads, sampling, tokenizer);
    runner with = start(models[1], threads, sampling, tokenizer);
    gptoss_unembedded unembedded;
    choose(&plain, true, ids[0]);
    choose(&without, false, ids[1]);
    gptoss_executor_unembedded(without.executor, &unembedded);
    CHECK(unembedded.tokens == STEPS && unembedded.from_all == STEPS, "all logits");
    choose(&with, false, ids[2]);
    gptoss_executor_unembedded(with.executor, &unembedded);
    bool bounded = sampling->temperature == 0.0F ||
                   (sampling->top_k > 0 ? sampling->top_k <= 1024 : sampling->top_p == 1.0F);
    CHECK(unembedded.tokens == STEPS && unembedded.from_all == (bounded ? 0 : STEPS) &&
              (unembedded.high_rows > 0) == bounded,
          "seed %u: %u of %u from all logits", (unsigned)sampling->seed,
          (unsigned)unembedded.from_all, (unsigned)unembedded.tokens);
    for (int i = 1; i < 3; i++)
        CHECK(memcmp(ids[0], ids[i], sizeof ids[0]) == 0, "other tokens, %s, seed %u",
              i == 1 ? "no sketch" : "with a sketch", (unsigned)sampling->seed);
    end(&plain);
    end(&without);
    end(&with);
}

/* Stops a sketch at once. */
static bool refuse(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user;
    (void)what;
    (void)done;
    (void)total;
    return false;
}

static void check_model(const char *path)
{
    gptoss_model *models[2] = {NULL, NULL};
    gptoss_tokenizer *tokenizer = NULL;
    const gptoss_prepare_options options = {.sketch = true, .threads = 3};
    for (int i = 0; i < 2; i++)
        CHECK(gptoss_model_open(path, &models[i], NULL) == GPTOSS_OK, "%s", path);
    if (models[0] == NULL || models[1] == NULL)
        return;
    CHECK(gptoss_model_prepare(models[1], &options, refuse, NULL, NULL) == GPTOSS_INTERRUPTED,
          "interrupted");
    for (int again = 0; again < 2; again++)
        CHECK(gptoss_model_prepare(models[1], &options, NULL, NULL, NULL) == GPTOSS_OK, "sketch");
    gptoss_tokenizer_open(path, &tokenizer, NULL); /* not all have one */
    const gptoss_model *const both[2] = {models[0], models[1]};
    for (size_t i = 0; i < sizeof samplings / sizeof *samplings; i++)
        check_sampling(both, tokenizer, &samplings[i], 1 + (uint32_t)(i % 4));
    gptoss_tokenizer_close(tokenizer);
    gptoss_model_close(models[0]);
    gptoss_model_close(models[1]);
}

/* With a tap all logits are computed and shown. */
static void count_logits(void *user, const gptoss_tap_view *view)
{
    *(int *)user += view->stage == GPTOSS_STAGE_LOGITS ? 1 : 0;
}

static void check_tap_and_refusals(void)
{
    gptoss_model *model = NULL;
    const gptoss_prepare_options options = {.sketch = true};
    const gptoss_sampling greedy = {0.0F, 0, 1.0F, 0.0F, 0};
    const uint32_t token = 1;
    gptoss_choice choice;
    int seen = 0;
    CHECK(gptoss_model_open(checkpoints[0], &model, NULL) == GPTOSS_OK, "open");
    CHECK(gptoss_model_prepare(model, &options, NULL, NULL, NULL) == GPTOSS_OK, "sketch");
    runner r = start(model, 2, &greedy, NULL);
    gptoss_sampler *other = NULL;
    CHECK(gptoss_sampler_open(7, NULL, &greedy, &other, NULL) == GPTOSS_OK, "sampler");
    CHECK(gptoss_executor_feed_choose(r.executor, r.sequence, &token, 0, r.sampler, NULL, NULL,
                                      &choice, NULL) == GPTOSS_USAGE,
          "no token");
    CHECK(gptoss_executor_feed_choose(r.executor, r.sequence, &token, 1, other, NULL, NULL, &choice,
                                      NULL) == GPTOSS_USAGE,
          "a sampler of another vocabulary");
    gptoss_executor_tap(r.executor, count_logits, &seen);
    CHECK(gptoss_executor_feed_choose(r.executor, r.sequence, &token, 1, r.sampler, NULL, NULL,
                                      &choice, NULL) == GPTOSS_OK &&
              seen == 1,
          "logits shown %d times", seen);
    gptoss_sampler_close(other);
    end(&r);
    gptoss_model_close(model);
}

int main(void)
{
    for (size_t i = 0; i < sizeof checkpoints / sizeof *checkpoints; i++)
        check_model(checkpoints[i]);
    check_tap_and_refusals();
    return test_result();
}
