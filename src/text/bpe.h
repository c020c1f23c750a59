/* Byte pair encoding: which pairs of tokens merge, and merging them in order. */
#ifndef TEXT_BPE_H
#define TEXT_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Ids of tokens are below this, so that a pair of them and a mark fit into 64 bits. */
#define TOKEN_MAX_ID (1U << 24)

/* Slots of the table that are looked at before it is known where a merge belongs; more take merges
 * that were chosen to have the same place. docs/SECURITY.md lists the bounds. */
#define MERGE_MAX_PROBES 256

/* Two neighbouring tokens and the token that they become. */
typedef struct merge {
    uint32_t left;
    uint32_t right;
    uint32_t merged;
} merge;

/* Merges in the order of the file they come from. */
typedef struct merge_list {
    merge *items;
    size_t count;
    size_t capacity;
} merge_list;

/* Accepts a zeroed list. On failure the list is as before. */
gptoss_status merge_list_add(merge_list *list, merge item, gptoss_error *error);
void merge_list_free(merge_list *list);

/* What a pair becomes, and when: lower ranks merge first. */
typedef struct merge_rule {
    uint64_t pair; /* left << 32 | right; MERGE_NONE in an empty slot */
    uint32_t rank;
    uint32_t merged;
} merge_rule;

#define MERGE_NONE UINT64_MAX

/* Open addressing with linear probing, at most half full. */
typedef struct merge_table {
    merge_rule *slots;
    size_t mask; /* slots - 1, slots being a power of two */
} merge_table;

/*
 * Builds the table for a list. When the list goes through its tokens in the order of their ids, a
 * pair's rank is the id that it becomes, so that different pairs with one result tie as in
 * tiktoken; otherwise its place in the list. A pair that is listed twice is refused; `what` names
 * the file in the error.
 */
gptoss_status merge_table_build(const merge_list *list, const char *what, merge_table *out,
                                gptoss_error *error);

/* Accepts a zeroed table. */
void merge_table_free(merge_table *table);

/* The rule for a pair, or NULL. */
const merge_rule *merge_table_find(const merge_table *table, uint32_t left, uint32_t right);

/* Work space that grows to the longest piece. Zero-initialise. */
typedef struct bpe_scratch {
    struct bpe_node *nodes;
    uint64_t *heap;
    size_t capacity; /* of nodes */
} bpe_scratch;

void bpe_scratch_free(bpe_scratch *scratch);

/*
 * Merges the `*count` tokens of a piece in place: the pair of lowest rank first, the leftmost of
 * equals, until no neighbours merge. *count becomes the number left. O(n log n).
 */
gptoss_status bpe_merge(const merge_table *table, bpe_scratch *scratch, uint32_t *ids,
                        size_t *count, gptoss_error *error);

#endif
