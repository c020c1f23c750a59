/* Memory that is taken piece by piece. */
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "check.h"

static bool all_are(const char *bytes, size_t length, uint8_t value)
{
    for (size_t i = 0; i < length; i++)
        if ((uint8_t)bytes[i] != value)
            return false;
    return true;
}

static void check_pieces(void)
{
    arena memory = {0};
    char *pieces[200];
    for (size_t i = 0; i < 200; i++) {
        size_t length = i * i;
        pieces[i] = arena_take(&memory, length, 1);
        CHECK(pieces[i] != NULL, "piece %zu", i);
        CHECK((uintptr_t)pieces[i] % _Alignof(max_align_t) == 0, "piece %zu is not aligned", i);
        CHECK(all_are(pieces[i], length, 0), "piece %zu is not zero", i);
        memset(pieces[i], (int)i, length);
    }
    for (size_t i = 0; i < 200; i++)
        CHECK(all_are(pieces[i], i * i, (uint8_t)i), "piece %zu was written over", i);
    CHECK(!memory.failed, "it failed");
    arena_free(&memory);
    CHECK(memory.last == NULL, "something is left");
}

static void check_copies(void)
{
    arena memory = {0};
    const char *copy = arena_copy(&memory, "a\0b", 3);
    CHECK(copy != NULL && memcmp(copy, "a\0b", 4) == 0, "a copy has a zero behind it");
    copy = arena_copy(&memory, NULL, 0);
    CHECK(copy != NULL && *copy == '\0', "nothing is a text too");
    arena_free(&memory);
}

static void check_failure(void)
{
    arena memory = {0};
    CHECK(arena_take(&memory, SIZE_MAX / 2, 4) == NULL, "a size that overflows");
    CHECK(memory.failed, "the failure is not kept");
    CHECK(arena_take(&memory, 1, 1) == NULL, "nothing is taken after a failure");
    arena_free(&memory);
    CHECK(arena_take(&memory, 1, 1) != NULL, "an arena can begin again");
    arena_free(&memory);
}

int main(void)
{
    check_pieces();
    check_copies();
    check_failure();
    return test_result();
}
