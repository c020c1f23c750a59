/* Marks: what follows after coming back to one is as if nothing had been fed in between. */
#include <stdlib.h>
#include <string.h>

#include "allocations.h"
#include "check.h"
#include "engine/sequence.h"
#include "gptoss.h"

/* Window 8, so that a ring has 64 slots. */
#define CHECKPOINT GPTOSS_SOURCE_DIR "/tests/golden/published/hf-mxfp4"

enum { CONTEXT = 500, VOCAB = 200, WINDOW = 8 };

static gptoss_model *model;
static gptoss_executor *executor;
static gptoss_sequence_options options;

/* What is foreseen for the marks of a sequence and its tokens is what they take. */
static void check_forecast(const gptoss_sequence *sequence)
{
    gptoss_memory memory;
    size_t taken = CONTEXT * sizeof *sequence->tokens;
    for (uint32_t i = 0; i < sequence->mark_count; i++)
        taken += malloc_usable_size(sequence->marks[i].windows);
    gptoss_model_forecast(model, &options, &memory);
    CHECK(sequence->mark_count == GPTOSS_MAX_MARKS, "%u", sequence->mark_count);
    CHECK(memory.marks <= taken && taken - memory.marks < (size_t)128 * GPTOSS_MAX_MARKS,
          "%llu foreseen, %zu taken", (unsigned long long)memory.marks, taken);
}

static gptoss_sequence *open_sequence(void)
{
    gptoss_sequence *sequence = NULL;
    CHECK(gptoss_sequence_open(model, &options, &sequence, NULL) == GPTOSS_OK, "sequence");
    return sequence;
}

/* ---- stories: tokens that are the same up to a place and differ from there ------------------- */

static uint32_t token_of(uint32_t story, uint32_t position)
{
    return (position * 37 + story * 11 + position * position) % VOCAB;
}

/* What was told so far. */
typedef struct timeline {
    uint32_t tokens[CONTEXT];
    uint32_t length;
} timeline;

static void tell(timeline *line, uint32_t story, uint32_t end)
{
    for (; line->length < end; line->length++)
        line->tokens[line->length] = token_of(story, line->length);
}

/* Feeds what the sequence does not have yet; the last one's logits. */
static const float *feed(gptoss_sequence *sequence, const timeline *line)
{
    uint32_t begin = gptoss_sequence_length(sequence);
    const float *logits = NULL;
    CHECK(begin < line->length, "%u of %u", begin, line->length);
    CHECK(gptoss_executor_feed(executor, sequence, line->tokens + begin, line->length - begin, NULL,
                               NULL, &logits, NULL) == GPTOSS_OK,
          "feed to %u", line->length);
    CHECK(gptoss_sequence_length(sequence) == line->length &&
              memcmp(gptoss_sequence_tokens(sequence), line->tokens,
                     line->length * sizeof *line->tokens) == 0,
          "the tokens are known");
    return logits;
}

/* Feeds, and compares with a sequence that was never anywhere else. */
static void feed_and_compare(gptoss_sequence *sequence, const timeline *line)
{
    gptoss_sequence *fresh = open_sequence();
    float expected[VOCAB];
    memcpy(expected, feed(fresh, line), sizeof expected);
    gptoss_sequence_close(fresh);
    CHECK(memcmp(feed(sequence, line), expected, sizeof expected) == 0, "as fresh at %u",
          line->length);
}

static void mark(gptoss_sequence *sequence)
{
    gptoss_error error = {GPTOSS_OK, ""};
    CHECK(gptoss_sequence_mark(sequence, &error) == GPTOSS_OK, "%s", error.message);
}

/* A sequence with story 0 up to `length`, marked at the places below it. */
static gptoss_sequence *open_marked(timeline *line, const uint32_t *places, size_t count,
                                    uint32_t length)
{
    gptoss_sequence *sequence = open_sequence();
    *line = (timeline){.length = 0};
    for (size_t i = 0; i < count; i++) {
        tell(line, 0, places[i]);
        feed(sequence, line);
        mark(sequence);
    }
    tell(line, 0, length);
    feed(sequence, line);
    return sequence;
}

/* ---- going back to marks --------------------------------------------------------------------- */

static const uint32_t places[] = {3, 7, 8, 9, 64, 65, 130, 211};
enum { PLACES = sizeof places / sizeof *places, LENGTH = 400 };

/* To each mark, from the furthest to the nearest to the start, and on with another story, over more
 * than a ring, of which the half is then taken back. */
static void check_each_mark(void)
{
    timeline line;
    for (size_t i = 0; i < PLACES; i++) {
        gptoss_sequence *sequence = open_marked(&line, places, PLACES, LENGTH);
        for (size_t back = PLACES; back-- > i;) {
            CHECK(gptoss_sequence_rewind(sequence, places[back], NULL) == GPTOSS_OK, "to %u",
                  places[back]);
            CHECK(gptoss_sequence_length(sequence) == places[back], "%u", places[back]);
        }
        line.length = places[i];
        for (uint32_t step = 1; step < 150; step += 1 + step / 2) {
            tell(&line, 1, places[i] + step);
            feed_and_compare(sequence, &line);
        }
        gptoss_sequence_close(sequence);
    }
}

/* Back to a mark, on by some tokens, and back by few: the rings have what came since. */
static void check_back_after_mark(void)
{
    timeline line;
    for (uint32_t on = 1; on < 140; on += 1 + on / 4) {
        gptoss_sequence *sequence = open_marked(&line, places, PLACES, LENGTH);
        CHECK(gptoss_sequence_rewind(sequence, 130, NULL) == GPTOSS_OK, "the mark");
        line.length = 130;
        tell(&line, 1, 130 + on);
        feed(sequence, &line);
        for (uint32_t story = 2, back = on; back > 0; story++) {
            back = back > options.chunk ? back - options.chunk : 0;
            gptoss_status status = gptoss_sequence_rewind(sequence, 130 + back, NULL);
            CHECK(status == GPTOSS_OK || (on - back > options.chunk && back > 0), "%u to %u", on,
                  back);
            if (status != GPTOSS_OK)
                continue;
            line.length = 130 + back;
            tell(&line, story, 130 + back + 1);
            feed_and_compare(sequence, &line);
        }
        gptoss_sequence_close(sequence);
    }
}

/* Nothing but a mark brings back what the rings have lost, and a mark only its own place. */
static void check_refusals(void)
{
    timeline line;
    gptoss_error error = {GPTOSS_OK, ""};
    gptoss_sequence *sequence = open_marked(&line, places, PLACES, LENGTH);
    for (uint32_t length = 1; length < LENGTH - 64; length++) {
        bool marked = false;
        for (size_t i = 0; i < PLACES; i++)
            marked = marked || places[i] == length;
        if (marked)
            continue;
        CHECK(gptoss_sequence_rewind(sequence, length, &error) == GPTOSS_LIMIT, "%u", length);
        CHECK(strstr(error.message, "which is not marked") != NULL, "%s", error.message);
    }
    tell(&line, 1, LENGTH + 5);
    feed_and_compare(sequence, &line);

    /* before a mark that was gone back to, there is nothing but other marks */
    CHECK(gptoss_sequence_rewind(sequence, 130, NULL) == GPTOSS_OK, "a mark");
    CHECK(gptoss_sequence_rewind(sequence, 129, NULL) == GPTOSS_LIMIT, "before it");
    CHECK(gptoss_sequence_rewind(sequence, 211, NULL) == GPTOSS_USAGE, "forward is not back");
    CHECK(gptoss_sequence_rewind(sequence, 9, NULL) == GPTOSS_OK, "another mark");
    gptoss_sequence_close(sequence);
}

/* Where the story went on differently, later marks are of a story that is no more. */
static void check_divergence(void)
{
    timeline line;
    gptoss_sequence *sequence = open_marked(&line, places, PLACES, LENGTH);
    CHECK(gptoss_sequence_rewind(sequence, 65, NULL) == GPTOSS_OK, "a mark");
    line.length = 65;
    tell(&line, 1, LENGTH);
    feed_and_compare(sequence, &line);
    CHECK(gptoss_sequence_rewind(sequence, 130, NULL) == GPTOSS_LIMIT, "a mark of the old story");
    CHECK(gptoss_sequence_rewind(sequence, 211, NULL) == GPTOSS_LIMIT, "another one");
    CHECK(gptoss_sequence_rewind(sequence, 65, NULL) == GPTOSS_OK, "where they part");
    line.length = 65;
    tell(&line, 2, 150);
    feed_and_compare(sequence, &line);
    CHECK(gptoss_sequence_rewind(sequence, 64, NULL) == GPTOSS_OK, "before they part");
    line.length = 64;
    tell(&line, 3, 70);
    feed_and_compare(sequence, &line);
    gptoss_sequence_close(sequence);
}

/* The last ones stay; marking twice counts once. */
static void check_many(void)
{
    enum { COUNT = 21 };
    timeline line = {.length = 0};
    gptoss_sequence *sequence = open_sequence();
    mark(sequence);
    CHECK(sequence->mark_count == 0, "0 needs no mark");
    for (uint32_t i = 0; i < COUNT; i++) {
        tell(&line, 0, (i + 1) * 15);
        feed(sequence, &line);
        mark(sequence);
        mark(sequence);
    }
    CHECK(sequence->mark_count == GPTOSS_MAX_MARKS, "%u", sequence->mark_count);
    tell(&line, 0, LENGTH);
    feed(sequence, &line);
    for (uint32_t i = COUNT; i-- > 0;) {
        bool kept = i >= COUNT - GPTOSS_MAX_MARKS;
        CHECK(gptoss_sequence_rewind(sequence, (i + 1) * 15, NULL) ==
                  (kept ? GPTOSS_OK : GPTOSS_LIMIT),
              "mark %u", i);
    }
    line.length = (COUNT - GPTOSS_MAX_MARKS + 1) * 15;
    tell(&line, 1, line.length + 80);
    feed_and_compare(sequence, &line);

    gptoss_sequence_clear(sequence);
    CHECK(sequence->mark_count == 0, "cleared");
    line.length = 0;
    tell(&line, 2, LENGTH);
    feed_and_compare(sequence, &line);
    CHECK(gptoss_sequence_rewind(sequence, 300, NULL) == GPTOSS_LIMIT, "a mark of before");
    gptoss_sequence_close(sequence);
}

/* ---- resuming -------------------------------------------------------------------------------- */

/* Story 0 up to LENGTH with the marks, then story 0 up to `fork` and 1 up to `end`; where that
 * resumes. */
static void check_resume(uint32_t fork, uint32_t end, uint32_t expected)
{
    timeline line;
    gptoss_sequence *sequence = open_marked(&line, places, PLACES, LENGTH);
    line.length = fork;
    tell(&line, 1, end);
    uint32_t length = gptoss_sequence_resume(sequence, line.tokens, line.length);
    CHECK(length == expected && gptoss_sequence_length(sequence) == expected,
          "fork at %u of %u: from %u, expected %u", fork, end, length, expected);
    feed_and_compare(sequence, &line);
    CHECK(gptoss_sequence_resume(sequence, line.tokens, 0) == 0 &&
              gptoss_sequence_length(sequence) == 0,
          "nothing");
    gptoss_sequence_close(sequence);
}

static void check_resumes(void)
{
    check_resume(LENGTH, LENGTH + 30, LENGTH);        /* only more */
    check_resume(LENGTH, LENGTH, LENGTH - 1);         /* the same */
    check_resume(LENGTH - 5, LENGTH + 3, LENGTH - 5); /* within the rings */
    check_resume(LENGTH - 5, LENGTH - 5, LENGTH - 6); /* only less */
    check_resume(300, LENGTH, 211);                   /* between marks and rings */
    check_resume(211, 212, 211);                      /* at a mark */
    check_resume(211, 211, 130);                      /* one is left to feed */
    check_resume(210, 300, 130);                      /* just before it */
    check_resume(130, 131, 130);
    check_resume(5, 60, 3);
    check_resume(2, 60, 0);
    check_resume(1, 2, 0);
}

/* ---- what fails records nothing -------------------------------------------------------------- */

static bool stop_late(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user;
    (void)what;
    return 2 * done < total;
}

static void check_interrupted(void)
{
    timeline line;
    uint32_t other[16];
    gptoss_sequence *sequence = open_marked(&line, places, PLACES, LENGTH);
    for (uint32_t i = 0; i < 16; i++)
        other[i] = token_of(5, LENGTH + i);
    CHECK(gptoss_executor_feed(executor, sequence, other, options.chunk < 16 ? options.chunk : 16,
                               stop_late, NULL, NULL, NULL) == GPTOSS_INTERRUPTED,
          "stopped");
    CHECK(gptoss_sequence_length(sequence) == LENGTH, "nothing was fed");
    mark(sequence);
    tell(&line, 1, LENGTH + 70);
    feed_and_compare(sequence, &line);
    CHECK(gptoss_sequence_resume(sequence, line.tokens, LENGTH + 1) == LENGTH, "the mark");
    line.length = LENGTH;
    tell(&line, 2, LENGTH + 9);
    feed_and_compare(sequence, &line);
    gptoss_sequence_close(sequence);
}

/* Two sequences in the same batches, one going back to a mark while the other goes on. */
static void check_batches(void)
{
    gptoss_sequence *sequences[2] = {open_sequence(), open_sequence()};
    timeline lines[2] = {{.length = 0}, {.length = 0}};
    uint32_t batch = options.chunk < 6 ? options.chunk : 6;
    for (uint32_t round = 0; round < 60; round++) {
        gptoss_row rows[12];
        for (uint32_t i = 0; i < 2; i++) {
            if (round == 10)
                mark(sequences[0]);
            if (round == 40 && i == 0) {
                lines[0].length = 10 * batch;
                CHECK(gptoss_sequence_rewind(sequences[0], 10 * batch, NULL) == GPTOSS_OK, "mark");
            }
            tell(&lines[i], i + (round >= 40 ? 7 : 0), lines[i].length + batch);
        }
        for (uint32_t i = 0; i < 2 * batch; i++) {
            uint32_t position = gptoss_sequence_length(sequences[i % 2]) + i / 2;
            rows[i] =
                (gptoss_row){sequences[i % 2], position, lines[i % 2].tokens[position], false};
        }
        CHECK(gptoss_executor_forward(executor, rows, (size_t)2 * batch, NULL, NULL) == GPTOSS_OK,
              "a batch");
    }
    for (uint32_t i = 0; i < 2; i++) {
        tell(&lines[i], 9, lines[i].length + 1);
        feed_and_compare(sequences[i], &lines[i]);
        gptoss_sequence_close(sequences[i]);
    }
}

/* ---- marks at earlier lengths ---------------------------------------------------------------- */

/* Marks within what was fed at once, in no order, do as those that were made on the way. */
static void check_earlier(void)
{
    static const uint32_t back[] = {1, 0, 3, 2};
    timeline line;
    gptoss_error error = {GPTOSS_OK, ""};
    uint32_t length = 200 + options.chunk < 350 ? 200 + options.chunk : 350;
    gptoss_sequence *sequence = open_marked(&line, places, 3, length);
    for (size_t i = 0; i < sizeof back / sizeof *back; i++)
        for (int twice = 0; twice < 2; twice++)
            CHECK(gptoss_sequence_mark_at(sequence, length - back[i], &error) == GPTOSS_OK, "%s",
                  error.message);
    CHECK(sequence->mark_count == 7, "%u marks", sequence->mark_count);
    CHECK(gptoss_sequence_mark_at(sequence, 0, NULL) == GPTOSS_OK, "0 needs no mark");
    CHECK(gptoss_sequence_mark_at(sequence, length + 1, &error) == GPTOSS_USAGE, "beyond the end");
    gptoss_status early = gptoss_sequence_mark_at(sequence, 100, &error);
    bool held = gptoss_sequence_rewind(sequence, length, NULL) == GPTOSS_OK &&
                kv_cache_holds(&sequence->cache, gptoss_model_config(model), 100);
    CHECK(early == (held ? GPTOSS_OK : GPTOSS_LIMIT), "%d: %s", (int)early, error.message);
    for (uint32_t steps = 0; steps < 4; steps++) {
        tell(&line, 2, length + 140);
        feed(sequence, &line);
        CHECK(gptoss_sequence_rewind(sequence, length - steps, NULL) == GPTOSS_OK, "to the mark");
        line.length = length - steps;
        tell(&line, 3, line.length + 1);
        feed_and_compare(sequence, &line);
        CHECK(gptoss_sequence_rewind(sequence, length - steps, NULL) == GPTOSS_OK, "and again");
        line.length = length - steps;
    }
    gptoss_sequence_close(sequence);
}

/* The oldest mark makes room; one older than all of a full list is not kept. */
static void check_earlier_of_many(void)
{
    timeline line = {.length = 0};
    gptoss_sequence *sequence = open_sequence();
    tell(&line, 0, 100);
    feed(sequence, &line);
    for (uint32_t i = 0; i < GPTOSS_MAX_MARKS; i++) {
        mark(sequence);
        tell(&line, 0, line.length + 2);
        feed(sequence, &line);
    }
    uint32_t first = sequence->marks[0].length;
    CHECK(gptoss_sequence_mark_at(sequence, line.length - 1, NULL) == GPTOSS_OK, "room");
    CHECK(sequence->mark_count == GPTOSS_MAX_MARKS && sequence->marks[0].length == first + 2,
          "the oldest is gone");
    for (uint32_t i = 1; i < GPTOSS_MAX_MARKS; i++)
        CHECK(sequence->marks[i - 1].length < sequence->marks[i].length, "mark %u", i);
    gptoss_sequence_close(sequence);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* A pass allocates nothing, a mark its window once. Without memory a mark is refused, and the
 * others and the timeline are as they were. */
static void check_memory(void)
{
    timeline line;
    gptoss_error error = {GPTOSS_OK, ""};
    long before = allocations.held;
    gptoss_sequence *sequence = open_marked(&line, places, PLACES, 300);
    tell(&line, 0, LENGTH);
    feed(sequence, &line);
    allocations.until = 0;
    gptoss_status status = gptoss_sequence_mark(sequence, &error);
    allocations.until = -1;
    CHECK(!ALLOCATIONS_COUNTED || status == GPTOSS_MEMORY, "%d", (int)status);
    CHECK(!ALLOCATIONS_COUNTED || strstr(error.message, "a mark") != NULL, "%s", error.message);
    CHECK(!ALLOCATIONS_COUNTED || sequence->mark_count == PLACES, "%u", sequence->mark_count);
    while (sequence->mark_count < GPTOSS_MAX_MARKS) {
        mark(sequence);
        tell(&line, 0, line.length + 1);
        feed(sequence, &line);
    }
    check_forecast(sequence);
    long made = allocations.made;
    mark(sequence);
    CHECK(gptoss_sequence_rewind(sequence, 211, NULL) == GPTOSS_OK, "a mark");
    CHECK(allocations.made == made, "one mark takes another's memory");
    line.length = 211;
    tell(&line, 1, 300);
    made = allocations.made;
    feed(sequence, &line);
    CHECK(allocations.made == made, "%ld allocations in forward passes", allocations.made - made);
    CHECK(gptoss_sequence_resume(sequence, line.tokens, 3) == 0, "its first mark is gone");
    gptoss_sequence_close(sequence);
    CHECK(allocations.held == before, "%ld blocks left behind", allocations.held - before);
}

int main(void)
{
    static const uint32_t chunks[] = {3, 16, WINDOW, 100, CONTEXT};
    CHECK(gptoss_model_open(CHECKPOINT, &model, NULL) == GPTOSS_OK, "model");
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
        for (int cache = GPTOSS_CACHE_F32; cache <= GPTOSS_CACHE_BF16; cache++) {
            options = (gptoss_sequence_options){CONTEXT, chunks[i], (gptoss_cache_format)cache};
            CHECK(gptoss_executor_open(model, &(gptoss_executor_options){.threads = 1}, &executor,
                                       NULL) == GPTOSS_OK,
                  "executor");
            check_each_mark();
            if (chunks[i] < 60) { /* more, and the rings hold nearly everything */
                check_back_after_mark();
                check_refusals();
                check_divergence();
                check_many();
                check_resumes();
            }
            check_interrupted();
            check_batches();
            check_earlier();
            check_earlier_of_many();
            if (chunks[i] == 16)
                check_memory();
            gptoss_executor_close(executor);
        }
    gptoss_model_close(model);
    return test_result();
}
