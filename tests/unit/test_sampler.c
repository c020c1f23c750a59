/* Filters, greedy ties, and that the noise draws what the softmax says. */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "gptoss.h"

enum { VOCAB = 500 };

static float logits[VOCAB];

static gptoss_sampler *open_sampler(gptoss_sampling sampling)
{
    gptoss_sampler *sampler = NULL;
    CHECK(gptoss_sampler_open(VOCAB, NULL, &sampling, &sampler, NULL) == GPTOSS_OK, "open");
    return sampler;
}

static uint32_t choose(gptoss_sampler *sampler, uint32_t position)
{
    gptoss_choice choice = {0};
    CHECK(gptoss_sampler_choose(sampler, logits, position, &choice, NULL) == GPTOSS_OK, "choose");
    return choice.id;
}

static void check_greedy(void)
{
    gptoss_sampler *sampler = open_sampler((gptoss_sampling){.top_p = 1.0F});
    for (uint32_t i = 0; i < VOCAB; i++)
        logits[i] = (float)(i % 7);
    CHECK(choose(sampler, 3) == 6, "the lowest of equal ids");
    gptoss_sampler_close(sampler);
}

/* Token i has the logit -i / 3: a steep, known distribution. */
static void fill_falling(void)
{
    for (uint32_t i = 0; i < VOCAB; i++)
        logits[(i * 37) % VOCAB] = -(float)i / 3.0F;
}

/* Every token drawn must be among the `allowed` likeliest, and all of those come up. */
static void check_support(gptoss_sampling sampling, uint32_t allowed, const char *name)
{
    gptoss_sampler *sampler = open_sampler(sampling);
    int seen[VOCAB] = {0};
    uint32_t beyond = 0;
    uint32_t missing = 0;
    for (uint32_t position = 0; position < 20000; position++)
        seen[choose(sampler, position)]++;
    for (uint32_t i = 0; i < VOCAB; i++) {
        beyond += i >= allowed && seen[(i * 37) % VOCAB] > 0 ? 1 : 0;
        missing += i < allowed && seen[(i * 37) % VOCAB] == 0 ? 1 : 0;
    }
    CHECK(beyond == 0 && missing == 0, "%s: %u beyond, %u missing", name, beyond, missing);
    gptoss_sampler_close(sampler);
}

static void check_filters(void)
{
    fill_falling();
    gptoss_sampling base = GPTOSS_SAMPLING_DEFAULT;
    gptoss_sampling s = base;
    s.top_k = 5;
    check_support(s, 5, "top-k 5");
    /* shares of the total: 1 - exp(-n / 3) after n tokens, so 0.9 needs 7 (0.903) */
    s = base;
    s.top_p = 0.9F;
    check_support(s, 7, "top-p 0.9");
    /* exp(-i / 3) >= 0.1 for i <= 6.9 */
    s = base;
    s.min_p = 0.1F;
    check_support(s, 7, "min-p 0.1");
    s = base;
    s.temperature = 0.5F; /* exp(-2 i / 3) >= 0.1 for i <= 3.45 */
    s.min_p = 0.1F;
    check_support(s, 4, "min-p 0.1 at temperature 0.5");
}

/* A flat distribution, where top-p has to sort nearly everything. */
static void check_flat_top_p(void)
{
    for (uint32_t i = 0; i < VOCAB; i++)
        logits[i] = 0.0F;
    gptoss_sampling s = GPTOSS_SAMPLING_DEFAULT;
    s.top_p = 0.9F;
    gptoss_sampler *sampler = open_sampler(s);
    uint32_t largest = 0;
    for (uint32_t position = 0; position < 5000; position++) {
        uint32_t id = choose(sampler, position);
        largest = id > largest ? id : largest;
    }
    CHECK(largest <= 450 && largest >= 440, "0.9 of %d equal tokens, lowest ids first: %u", VOCAB,
          largest);
    gptoss_sampler_close(sampler);
}

static void check_distribution(void)
{
    enum { DRAWS = 100000 };
    fill_falling();
    gptoss_sampler *sampler = open_sampler(GPTOSS_SAMPLING_DEFAULT);
    int seen[VOCAB] = {0};
    for (uint32_t position = 0; position < DRAWS; position++)
        seen[choose(sampler, position)]++;
    for (uint32_t i = 0; i < 10; i++) {
        uint32_t id = (i * 37) % VOCAB;
        double p = exp(gptoss_logprob(logits, VOCAB, id));
        double deviation = sqrt(DRAWS * p * (1.0 - p));
        CHECK(fabs(seen[id] - DRAWS * p) < 5.0 * deviation, "token %u: %d draws, expected %.0f", id,
              seen[id], DRAWS * p);
    }
    gptoss_sampler_close(sampler);
}

static void check_reproducible(void)
{
    gptoss_sampling s = GPTOSS_SAMPLING_DEFAULT;
    s.seed = 1;
    gptoss_sampler *a = open_sampler(s);
    gptoss_sampler *b = open_sampler(s);
    s.seed = 2;
    gptoss_sampler *c = open_sampler(s);
    int different = 0;
    for (uint32_t position = 0; position < 200; position++) {
        uint32_t chosen = choose(a, position);
        CHECK(chosen == choose(b, position), "same seed, same token");
        different += chosen != choose(c, position) ? 1 : 0;
    }
    CHECK(different > 50, "another seed, other tokens: %d", different);
    gptoss_sampler_close(a);
    gptoss_sampler_close(b);
    gptoss_sampler_close(c);
}

static void check_top(void)
{
    fill_falling();
    gptoss_sampler *sampler = open_sampler(GPTOSS_SAMPLING_DEFAULT);
    gptoss_choice top[VOCAB];
    CHECK(gptoss_sampler_top(sampler, logits, 3, top) == 3, "three");
    for (uint32_t i = 0; i < 3; i++)
        CHECK(top[i].id == (i * 37) % VOCAB &&
                  fabs(top[i].logprob - gptoss_logprob(logits, VOCAB, top[i].id)) < 1e-5,
              "place %u: %u", i, top[i].id);
    CHECK(gptoss_sampler_top(sampler, logits, VOCAB, top) == VOCAB, "all");
    double sum = 0.0;
    for (uint32_t i = 0; i < VOCAB; i++)
        sum += exp(top[i].logprob);
    CHECK(fabs(sum - 1.0) < 1e-5, "probabilities add up to %g", sum);
    gptoss_sampler_close(sampler);
}

static void check_refusals(void)
{
    const gptoss_sampling wrong[] = {{-1.0F, 0, 1.0F, 0.0F, 0}, {NAN, 0, 1.0F, 0.0F, 0},
                                     {1.0F, 0, 0.0F, 0.0F, 0},  {1.0F, 0, 1.1F, 0.0F, 0},
                                     {1.0F, 0, 1.0F, -0.1F, 0}, {1.0F, 0, 1.0F, 1.5F, 0}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        gptoss_sampler *sampler = NULL;
        gptoss_error error = {0};
        CHECK(gptoss_sampler_open(VOCAB, NULL, &wrong[i], &sampler, &error) == GPTOSS_USAGE &&
                  sampler == NULL && error.message[0] != '\0',
              "refusal %zu", i);
    }
    gptoss_sampler *sampler = open_sampler(GPTOSS_SAMPLING_DEFAULT);
    gptoss_choice choice;
    logits[17] = NAN;
    CHECK(gptoss_sampler_choose(sampler, logits, 0, &choice, NULL) == GPTOSS_NUMERIC, "NaN");
    gptoss_sampler_close(sampler);
}

int main(void)
{
    check_greedy();
    check_filters();
    check_flat_top_p();
    check_distribution();
    check_reproducible();
    check_top();
    check_refusals();
    return test_result();
}
