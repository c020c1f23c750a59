/* YaRN's inverse frequencies against the values that the published models' configuration implies.
 */
#include <math.h>
#include <string.h>

#include "check.h"
#include "model/rope.h"

/* Computed in double precision from the formula; nine digits. */
static const double published[32] = {1,
                                     0.689044306,
                                     0.474782055,
                                     0.327145872,
                                     0.225418,
                                     0.155322989,
                                     0.107024421,
                                     0.0737445682,
                                     0.0508132748,
                                     0.0317056962,
                                     0.0193350011,
                                     0.0115920493,
                                     0.00679495949,
                                     0.00386035932,
                                     0.00209379238,
                                     0.0010526021,
                                     0.000456483919,
                                     0.000129318701,
                                     3.83088124e-05,
                                     2.6396469e-05,
                                     1.81883367e-05,
                                     1.25325698e-05,
                                     8.63549588e-06,
                                     5.95023926e-06,
                                     4.09997848e-06,
                                     2.82506683e-06,
                                     1.94659621e-06,
                                     1.34129104e-06,
                                     9.2420895e-07,
                                     6.36820915e-07,
                                     4.38797825e-07,
                                     3.02351143e-07};

static gptoss_config published_config(void)
{
    gptoss_config config;
    memset(&config, 0, sizeof config);
    config.head_dim = 64;
    config.rope.theta = 150000;
    config.rope.factor = 32;
    config.rope.beta_fast = 32;
    config.rope.beta_slow = 1;
    config.rope.original_context = 4096;
    config.rope.attention_factor = 0.1 * log(32.0) + 1.0;
    config.rope.yarn = true;
    return config;
}

static void check_published(void)
{
    gptoss_config config = published_config();
    rope table;
    CHECK(rope_init(&table, &config, NULL) == GPTOSS_OK, "init");
    CHECK(table.half == 32, "half %zu", table.half);
    for (size_t i = 0; i < 32; i++)
        CHECK(fabs(table.inverse_frequency[i] / published[i] - 1.0) < 6.1e-8, "%zu: %.9g", i,
              (double)table.inverse_frequency[i]); /* half a unit, and the nine digits */
    CHECK(fabs(table.concentration - 1.3465735902799727) < 1e-7, "%.9g",
          (double)table.concentration);
    rope_free(&table);
}

/* Rounded bounds (8 and 18) change pair 17 by 76.3 % and none up to 8. */
static void check_truncated(void)
{
    gptoss_config config = published_config();
    config.rope.truncate = true;
    rope table;
    CHECK(rope_init(&table, &config, NULL) == GPTOSS_OK, "init");
    CHECK(fabs(table.inverse_frequency[8] / published[8] - 1.0) < 1e-6, "pair 8");
    CHECK(fabs(table.inverse_frequency[17] / published[17] - 1.763) < 1e-3, "pair 17: %g",
          table.inverse_frequency[17] / published[17]);
    CHECK(fabs(table.inverse_frequency[18] / published[18] - 1.0) < 1e-6, "pair 18");
    rope_free(&table);
}

static void check_plain(void)
{
    gptoss_config config = published_config();
    config.rope.yarn = false;
    rope table;
    CHECK(rope_init(&table, &config, NULL) == GPTOSS_OK, "init");
    for (size_t i = 0; i < 32; i++) {
        double exact = pow(150000.0, -(double)i / 32.0);
        CHECK(table.inverse_frequency[i] == (float)exact, "pair %zu", i);
    }
    CHECK(table.concentration == 1.0F, "no concentration");
    rope_free(&table);
}

static void check_angles(void)
{
    static const uint32_t positions[] = {0, 1, 127, 4095, 131071};
    gptoss_config config = published_config();
    rope table;
    float cosine[32];
    float sine[32];
    CHECK(rope_init(&table, &config, NULL) == GPTOSS_OK, "init");
    for (size_t p = 0; p < sizeof positions / sizeof *positions; p++) {
        rope_angles(&table, positions[p], cosine, sine);
        for (size_t i = 0; i < 32; i++) {
            float angle = (float)positions[p] * table.inverse_frequency[i];
            CHECK(fabs(cosine[i] - cos(angle) * table.concentration) < 2e-7, "cos %zu", i);
            CHECK(fabs(sine[i] - sin(angle) * table.concentration) < 2e-7, "sin %zu", i);
        }
    }
    rope_free(&table);
}

int main(void)
{
    check_published();
    check_truncated();
    check_plain();
    check_angles();
    return test_result();
}
