/* Going back in a sequence: what follows is as if the forgotten tokens had never been. */
#include <string.h>

#include "check.h"
#include "gptoss.h"

#define CHECKPOINT GPTOSS_SOURCE_DIR "/tests/golden/published/hf-mxfp4"

enum { CONTEXT = 400, CHUNK = 16, VOCAB = 200 };

static gptoss_model *model;
static gptoss_executor *executor;

static gptoss_sequence *open_sequence(void)
{
    gptoss_sequence *sequence = NULL;
    gptoss_sequence_options options = {.context = CONTEXT, .chunk = CHUNK};
    CHECK(gptoss_sequence_open(model, &options, &sequence, NULL) == GPTOSS_OK, "sequence");
    return sequence;
}

/* Feeds the tokens of a story from where the sequence is up to `end`; the last one's logits. */
static const float *feed_to(gptoss_sequence *sequence, uint32_t story, uint32_t end)
{
    uint32_t tokens[CONTEXT];
    uint32_t begin = gptoss_sequence_length(sequence);
    const float *logits = NULL;
    for (uint32_t i = begin; i < end; i++)
        tokens[i - begin] = (i * 37 + story * 11 + i * i) % VOCAB;
    CHECK(gptoss_executor_feed(executor, sequence, tokens, end - begin, NULL, NULL, &logits,
                               NULL) == GPTOSS_OK,
          "feed to %u", end);
    return logits;
}

/* Story 0 up to `fork`, then story 1 up to `end`, without ever having been elsewhere. */
static void logits_straight(uint32_t fork, uint32_t end, float out[VOCAB])
{
    gptoss_sequence *sequence = open_sequence();
    if (fork > 0)
        feed_to(sequence, 0, fork);
    memcpy(out, feed_to(sequence, 1, end), VOCAB * sizeof *out);
    gptoss_sequence_close(sequence);
}

/* Story 0 up to `length`, back to `fork`, story 1 up to `end`. Returns whether it could go back. */
static bool check_fork(uint32_t length, uint32_t fork, uint32_t end)
{
    gptoss_sequence *sequence = open_sequence();
    gptoss_error error = {GPTOSS_OK, ""};
    float expected[VOCAB];
    feed_to(sequence, 0, length);
    gptoss_status status = gptoss_sequence_rewind(sequence, fork, &error);
    bool back = status == GPTOSS_OK;
    if (back) {
        CHECK(gptoss_sequence_length(sequence) == fork, "%u", fork);
        logits_straight(fork, end, expected);
        CHECK(memcmp(feed_to(sequence, 1, end), expected, sizeof expected) == 0,
              "%u back to %u and on to %u", length, fork, end);
    } else { /* as if it had not been asked */
        CHECK(status == GPTOSS_LIMIT, "%d", (int)status);
        CHECK(strstr(error.message, "cannot go back to position") != NULL, "%s", error.message);
        CHECK(gptoss_sequence_length(sequence) == length, "%u", length);
        logits_straight(length, length + 5, expected);
        CHECK(memcmp(feed_to(sequence, 1, length + 5), expected, sizeof expected) == 0,
              "on to %u after a refusal", length + 5);
    }
    gptoss_sequence_close(sequence);
    return back;
}

static void check_forks(void)
{
    int refused = 0;
    for (uint32_t length = 1; length < 300; length += 1 + length / 2)
        for (uint32_t fork = 0; fork <= length; fork += 1 + (length - fork) / 3) {
            bool back = check_fork(length, fork, fork + 1 + (fork + length) % 40);
            CHECK(back || (fork > 0 && length - fork > CHUNK), "%u back to %u", length, fork);
            refused += back ? 0 : 1;
        }
    CHECK(refused > 0, "nothing was too far back");
}

/* What was overwritten stays overwritten, however short the sequence is meanwhile. */
static void check_furthest(void)
{
    gptoss_sequence *sequence = open_sequence();
    uint32_t back = 250;
    feed_to(sequence, 0, back);
    while (back > CHUNK && gptoss_sequence_rewind(sequence, back - CHUNK, NULL) == GPTOSS_OK)
        back -= CHUNK;
    CHECK(back > CHUNK, "went back to %u in steps", back);
    CHECK(gptoss_sequence_rewind(sequence, back + 1, NULL) == GPTOSS_USAGE, "forward is not back");
    gptoss_sequence_clear(sequence);
    feed_to(sequence, 0, 40);
    CHECK(gptoss_sequence_rewind(sequence, 1, NULL) == GPTOSS_OK, "cleared, nothing is lost");
    gptoss_sequence_close(sequence);
}

static bool stop(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user;
    (void)what;
    (void)total;
    return done < 5;
}

/* A pass that was abandoned has written, too. */
static void check_abandoned(void)
{
    uint32_t tokens[CHUNK] = {1, 2, 3};
    float expected[VOCAB];
    for (uint32_t length = 60; length < 90; length += 13) {
        gptoss_sequence *sequence = open_sequence();
        feed_to(sequence, 0, length);
        CHECK(gptoss_executor_feed(executor, sequence, tokens, CHUNK, stop, NULL, NULL, NULL) ==
                  GPTOSS_INTERRUPTED,
              "stopped");
        for (uint32_t fork = length; fork > 0; fork--) {
            if (gptoss_sequence_rewind(sequence, fork, NULL) != GPTOSS_OK)
                break;
            logits_straight(fork, fork + 1, expected);
            CHECK(memcmp(feed_to(sequence, 1, fork + 1), expected, sizeof expected) == 0,
                  "%u back to %u", length, fork);
        }
        gptoss_sequence_close(sequence);
    }
}

int main(void)
{
    gptoss_executor_options options = {.threads = 1, .chunk = CHUNK};
    CHECK(gptoss_model_open(CHECKPOINT, &model, NULL) == GPTOSS_OK, "model");
    CHECK(gptoss_executor_open(model, &options, &executor, NULL) == GPTOSS_OK, "executor");
    check_forks();
    check_furthest();
    check_abandoned();
    gptoss_executor_close(executor);
    gptoss_model_close(model);
    return test_result();
}
