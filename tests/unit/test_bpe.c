/* Merging against an implementation that is plainly right. */
#include "text/bpe.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"

/* A small generator, so that failures repeat. */
static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(*state >> 33);
}

/* Scans for the pair of lowest rank, merges it, and starts again. */
static size_t merge_plainly(const merge_table *table, uint32_t *ids, size_t count)
{
    for (;;) {
        const merge_rule *best = NULL;
        size_t place = 0;
        for (size_t i = 0; i + 1 < count; i++) {
            const merge_rule *rule = merge_table_find(table, ids[i], ids[i + 1]);
            if (rule != NULL && (best == NULL || rule->rank < best->rank)) {
                best = rule;
                place = i;
            }
        }
        if (best == NULL)
            return count;
        ids[place] = best->merged;
        memmove(ids + place + 1, ids + place + 2, (count - place - 2) * sizeof *ids);
        count--;
    }
}

/* Random merges over `letters` first tokens: each makes a new token, or one that is there. */
static merge_list random_merges(uint64_t *state, uint32_t letters, size_t count, bool in_id_order)
{
    merge_list list = {0};
    uint32_t size = letters;
    while (list.count < count) {
        merge item = {next_random(state) % size, next_random(state) % size, size};
        bool known = false;
        for (size_t i = 0; i < list.count; i++)
            known |= list.items[i].left == item.left && list.items[i].right == item.right;
        if (known)
            continue;
        if (list.count > 0 && next_random(state) % 4 == 0)
            item.merged = in_id_order ? size - 1 : letters + next_random(state) % (size - letters);
        size += item.merged == size;
        merge_list_add(&list, item, NULL);
    }
    return list;
}

static void check_random(bool in_id_order)
{
    uint64_t state = 20250805;
    for (int round = 0; round < 200; round++) {
        uint32_t letters = 1 + next_random(&state) % 6;
        merge_list list = random_merges(&state, letters, 1 + next_random(&state) % 20, in_id_order);
        merge_table table;
        bpe_scratch scratch = {0};
        CHECK(merge_table_build(&list, "test", &table, NULL) == GPTOSS_OK, "round %d", round);
        for (int text = 0; text < 20; text++) {
            uint32_t ids[300];
            uint32_t expected[300];
            size_t count = next_random(&state) % 300;
            for (size_t i = 0; i < count; i++)
                ids[i] = expected[i] = next_random(&state) % letters;
            size_t expected_count = merge_plainly(&table, expected, count);
            CHECK(bpe_merge(&table, &scratch, ids, &count, NULL) == GPTOSS_OK, "round %d", round);
            CHECK(count == expected_count && memcmp(ids, expected, count * sizeof *ids) == 0,
                  "round %d, text %d: %zu tokens, expected %zu", round, text, count,
                  expected_count);
        }
        bpe_scratch_free(&scratch);
        merge_table_free(&table);
        merge_list_free(&list);
    }
}

/* With a = 0, b = 1, ab = 2, ba = 3, aba = 4: which half of "ab a ba" becomes aba. */
static void check_ties(void)
{
    static const merge by_id[] = {{0, 1, 2}, {1, 0, 3}, {0, 3, 4}, {2, 0, 4}};
    static const merge by_place[] = {{0, 3, 4}, {2, 0, 4}, {0, 1, 2}, {1, 0, 3}};
    for (int ordered = 0; ordered < 2; ordered++) {
        merge_list list = {0};
        merge_table table;
        bpe_scratch scratch = {0};
        for (int i = 0; i < 4; i++)
            merge_list_add(&list, ordered ? by_id[i] : by_place[i], NULL);
        merge_table_build(&list, "test", &table, NULL);
        uint32_t ids[3] = {2, 0, 3};
        size_t count = 3;
        bpe_merge(&table, &scratch, ids, &count, NULL);
        CHECK(count == 2 && ids[0] == (ordered ? 4U : 2U) && ids[1] == (ordered ? 3U : 4U),
              "%s: %u %u", ordered ? "in the order of ids" : "in the order of the list", ids[0],
              ids[1]);
        bpe_scratch_free(&scratch);
        merge_table_free(&table);
        merge_list_free(&list);
    }
}

static void check_repeated_pair(void)
{
    merge_list list = {0};
    merge_table table = {0};
    gptoss_error error = {.message = ""};
    merge_list_add(&list, (merge){1, 2, 3}, NULL);
    merge_list_add(&list, (merge){1, 2, 4}, NULL);
    CHECK(merge_table_build(&list, "file", &table, &error) == GPTOSS_FORMAT, "a pair twice");
    CHECK(strcmp(error.message, "file: merge 1 repeats the pair of tokens 1 and 2") == 0, "%s",
          error.message);
    merge_list_free(&list);
    merge_table_free(&table);
}

/* Doubling tokens 0 = a, 1 = aa, 2 = aaaa, ...: a million of one character. */
static void check_long_run(void)
{
    const size_t length = 1000003;
    merge_list list = {0};
    merge_table table;
    bpe_scratch scratch = {0};
    for (uint32_t id = 0; id < 7; id++)
        merge_list_add(&list, (merge){id, id, id + 1}, NULL);
    merge_table_build(&list, "test", &table, NULL);
    uint32_t *ids = calloc(length, sizeof *ids);
    size_t count = length;
    clock_t begin = clock();
    gptoss_status status = bpe_merge(&table, &scratch, ids, &count, NULL);
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    CHECK(status == GPTOSS_OK && count == length / 128 + 3, "%zu tokens", count);
    CHECK(seconds < 5, "%.2f s of processor time", seconds);
    free(ids);
    bpe_scratch_free(&scratch);
    merge_table_free(&table);
    merge_list_free(&list);
}

int main(void)
{
    check_random(false);
    check_random(true);
    check_ties();
    check_repeated_pair();
    check_long_run();
    return test_result();
}
