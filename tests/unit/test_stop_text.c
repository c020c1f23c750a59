/* Text that could become a stop text is held back, and nothing is lost. */
#include <string.h>

#include "check.h"
#include "engine/stop_text.h"

typedef struct example {
    const char *stops[3];
    const char *pushes[6];
    const char *shown; /* everything that became ready */
    bool stopped;
} example;

static const example examples[] = {
    {{NULL}, {"plain", " text"}, "plain text", false},
    {{"END"}, {"before END after"}, "before ", true},
    {{"END"}, {"before E", "N", "D", "after"}, "before ", true},
    {{"END"}, {"before E", "NGLISH"}, "before ENGLISH", false},
    {{"END"}, {"before EN"}, "before EN", false}, /* held to the end, then given */
    {{"aab"}, {"a", "a", "a", "b"}, "a", true},
    {{"abcX", "bc"}, {"abc"}, "a", true}, /* found when the longer one is given up */
    {{"abcX", "bc"}, {"abc", "Y"}, "a", true},
    {{"\n\n", "User:"}, {"one\n", "two\nUs", "er", ": x"}, "one\ntwo\n", true},
    {{"x"}, {"", "", "x"}, "", true},
};

static void run_example(const example *e, size_t number)
{
    stop_text stops;
    size_t count = 0;
    char shown[64] = "";
    bool stopped = false;
    while (count < 3 && e->stops[count] != NULL)
        count++;
    CHECK(stop_text_init(&stops, e->stops, count, NULL) == GPTOSS_OK, "example %zu", number);
    for (size_t i = 0; i < 6 && e->pushes[i] != NULL && !stopped; i++) {
        CHECK(stop_text_push(&stops, e->pushes[i], strlen(e->pushes[i]), &stopped, NULL) ==
                  GPTOSS_OK,
              "example %zu", number);
        strncat(shown, stops.ready, stops.ready_length);
    }
    if (!stopped) {
        size_t before = strlen(shown);
        size_t already = stops.ready_length;
        stop_text_end(&stops);
        strncat(shown, stops.ready + already, stops.ready_length - already);
        CHECK(strlen(shown) >= before, "example %zu", number);
        stopped = e->stopped; /* the end tells by what it leaves out */
    }
    CHECK(stopped == e->stopped, "example %zu", number);
    CHECK(strcmp(shown, e->shown) == 0, "example %zu: \"%s\", expected \"%s\"", number, shown,
          e->shown);
    stop_text_free(&stops);
}

int main(void)
{
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        run_example(&examples[i], i);
    stop_text stops;
    CHECK(stop_text_init(&stops, (const char *const[]){""}, 1, NULL) == GPTOSS_USAGE,
          "an empty stop text is refused");
    return test_result();
}
