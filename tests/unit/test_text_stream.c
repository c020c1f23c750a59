/* Text that gathers in memory is all there, or it is said that it is not. */
#include "../../tools/gptoss/text_stream.h"

#include <string.h>

#include "allocations.h"
#include "check.h"

/* Writes `count` numbers in the ways that the program does; whether it was said to be whole. */
static bool gather(int count, text_stream *text)
{
    if (!text_stream_open(text))
        return false;
    for (int i = 0; i < count; i++) {
        fprintf(text->to, "%06d", i);
        fputs(" and", text->to);
        putc('\n', text->to);
    }
    return text_stream_close(text);
}

static void check_text(const text_stream *text, int count)
{
    char line[16];
    CHECK(text->length == 11U * (unsigned)count && text->bytes[text->length] == '\0', "%zu bytes",
          text->length);
    for (int i = 0; i < count; i++) {
        snprintf(line, sizeof line, "%06d and\n", i);
        CHECK(memcmp(text->bytes + (size_t)11 * (unsigned)i, line, 11) == 0, "line %d", i);
    }
}

static void check_lengths(void)
{
    static const int counts[] = {1, 5, 93, 94, 372, 373, 745, 20000};
    text_stream text;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        CHECK(gather(counts[i], &text), "%d lines", counts[i]);
        check_text(&text, counts[i]);
        free(text.bytes);
    }
    CHECK(!gather(0, &text) && text.bytes == NULL, "nothing is no text");
}

/* Each allocation fails once, alone and with all that follow. */
static void check_without_memory(void)
{
    if (!ALLOCATIONS_COUNTED)
        return;
    for (int for_ever = 0; for_ever < 2; for_ever++) {
        long points = 0;
        do {
            text_stream text = {.to = NULL};
            long held = allocations.held;
            allocations.failed = false;
            allocations.for_ever = for_ever != 0;
            allocations.until = points++;
            bool whole = gather(5000, &text);
            allocations.until = -1;
            if (whole)
                check_text(&text, 5000);
            free(text.bytes);
            CHECK(allocations.held == held, "allocation %ld: %ld blocks are left", points,
                  allocations.held - held);
        } while (allocations.failed);
        CHECK(points > 5, "%ld allocations", points);
    }
}

int main(void)
{
    check_lengths();
    check_without_memory();
    return test_result();
}
