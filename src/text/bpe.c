#include "text/bpe.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

gptoss_status merge_list_add(merge_list *list, merge item, gptoss_error *error)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 1024 : 2 * list->capacity;
        merge *items = realloc(list->items, capacity * sizeof *items);
        if (items == NULL)
            return fail_memory(error, "the list of merges", capacity * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
    return GPTOSS_OK;
}

void merge_list_free(merge_list *list)
{
    free(list->items);
    *list = (merge_list){0};
}

/* ---- table ----------------------------------------------------------------------------------- */

static uint64_t pair_of(uint32_t left, uint32_t right)
{
    return (uint64_t)left << 32 | right;
}

static size_t first_slot(const merge_table *table, uint64_t pair)
{
    uint64_t hash = pair * 0x9e3779b97f4a7c15U;
    return (hash ^ hash >> 32) & table->mask;
}

/* The slot that holds `pair`, or the empty one where it belongs. */
static merge_rule *slot_of(const merge_table *table, uint64_t pair)
{
    size_t at = first_slot(table, pair);
    while (table->slots[at].pair != pair && table->slots[at].pair != MERGE_NONE)
        at = (at + 1) & table->mask;
    return &table->slots[at];
}

static bool in_id_order(const merge_list *list)
{
    for (size_t i = 1; i < list->count; i++)
        if (list->items[i].merged < list->items[i - 1].merged)
            return false;
    return true;
}

gptoss_status merge_table_build(const merge_list *list, const char *what, merge_table *out,
                                gptoss_error *error)
{
    if (list->count > UINT32_MAX / 4)
        return fail(error, GPTOSS_LIMIT, "%s: %zu merges, expected at most %u", what, list->count,
                    UINT32_MAX / 4);
    size_t slots = 16;
    while (slots < 2 * list->count)
        slots *= 2;
    merge_table table = {.slots = malloc(slots * sizeof(merge_rule)), .mask = slots - 1};
    if (table.slots == NULL)
        return fail_memory(error, "the table of merges", slots * sizeof(merge_rule));
    memset(table.slots, 0xff, slots * sizeof(merge_rule)); /* MERGE_NONE everywhere */

    bool by_id = in_id_order(list);
    for (size_t i = 0; i < list->count; i++) {
        merge item = list->items[i];
        uint64_t pair = pair_of(item.left, item.right);
        merge_rule *slot = slot_of(&table, pair);
        if (slot->pair == pair) {
            merge_table_free(&table);
            return fail(error, GPTOSS_FORMAT, "%s: merge %zu repeats the pair of tokens %u and %u",
                        what, i, item.left, item.right);
        }
        if ((((size_t)(slot - table.slots) - first_slot(&table, pair)) & table.mask) >
            MERGE_MAX_PROBES) {
            merge_table_free(&table);
            return fail(error, GPTOSS_LIMIT,
                        "%s: merge %zu has the same hash as too many others, which makes finding "
                        "it slow; merges are not like that by chance",
                        what, i);
        }
        *slot = (merge_rule){pair, by_id ? item.merged : (uint32_t)i, item.merged};
    }
    *out = table;
    return GPTOSS_OK;
}

void merge_table_free(merge_table *table)
{
    free(table->slots);
    *table = (merge_table){0};
}

const merge_rule *merge_table_find(const merge_table *table, uint32_t left, uint32_t right)
{
    const merge_rule *slot = slot_of(table, pair_of(left, right));
    return slot->pair == MERGE_NONE ? NULL : slot;
}

/* ---- merging --------------------------------------------------------------------------------- */

#define NO_NODE UINT32_MAX
#define NO_RANK UINT32_MAX

/*
 * The tokens of a piece as a list in order; a merge keeps its left node and unlinks the right one.
 *
 *     node    0     1     2     3            0           2     3
 *             l <-> o <-> w <-> er    =>     lo <------> w <-> er
 *     rank   7     3     9     none          12          9     none
 *            of the pair (node, next)
 */
typedef struct bpe_node {
    uint32_t id;
    uint32_t previous;
    uint32_t next;
    uint32_t rank;   /* NO_RANK when the pair does not merge, or the node is gone */
    uint32_t merged; /* what the pair becomes */
} bpe_node;

/* A heap entry is rank << 32 | node, so that the least is the leftmost pair of lowest rank. An
 * entry whose rank is no longer its node's is stale and is skipped when it comes up. */
typedef struct bpe_heap {
    uint64_t *items;
    size_t count;
} bpe_heap;

static void heap_sift_down(bpe_heap *heap, size_t at)
{
    uint64_t item = heap->items[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && heap->items[child + 1] < heap->items[child])
            child++;
        if (heap->items[child] >= item)
            break;
        heap->items[at] = heap->items[child];
        at = child;
    }
    heap->items[at] = item;
}

static void heap_push(bpe_heap *heap, uint64_t item)
{
    size_t at = heap->count++;
    while (at > 0 && heap->items[(at - 1) / 2] > item) {
        heap->items[at] = heap->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap->items[at] = item;
}

static uint64_t heap_pop(bpe_heap *heap)
{
    uint64_t least = heap->items[0];
    heap->items[0] = heap->items[--heap->count];
    if (heap->count > 0)
        heap_sift_down(heap, 0);
    return least;
}

void bpe_scratch_free(bpe_scratch *scratch)
{
    free(scratch->nodes);
    free(scratch->heap);
    *scratch = (bpe_scratch){0};
}

/* Each merge takes one entry from the heap and adds at most two: it never holds 2n. */
static gptoss_status scratch_grow(bpe_scratch *scratch, size_t count, gptoss_error *error)
{
    if (count <= scratch->capacity)
        return GPTOSS_OK;
    if (count >= NO_NODE)
        return fail(error, GPTOSS_LIMIT, "a piece of text has %zu bytes, expected below %u", count,
                    NO_NODE);
    bpe_scratch_free(scratch);
    size_t capacity = count < 256 ? 256 : count;
    size_t bytes = capacity * (sizeof(bpe_node) + 2 * sizeof(uint64_t));
    bool suffices = memory_suffices(bytes);
    scratch->nodes = suffices ? malloc(capacity * sizeof(bpe_node)) : NULL;
    scratch->heap = suffices ? malloc(2 * capacity * sizeof(uint64_t)) : NULL;
    if (scratch->nodes == NULL || scratch->heap == NULL) {
        bpe_scratch_free(scratch);
        return fail_memory(error, "merging a piece of text", bytes);
    }
    scratch->capacity = capacity;
    return GPTOSS_OK;
}

/* Looks up the pair of a node and its successor; returns whether it merges. */
static bool rank_pair(const merge_table *table, bpe_node *nodes, uint32_t at)
{
    bpe_node *node = &nodes[at];
    const merge_rule *rule =
        node->next == NO_NODE ? NULL : merge_table_find(table, node->id, nodes[node->next].id);
    node->rank = rule == NULL ? NO_RANK : rule->rank;
    node->merged = rule == NULL ? 0 : rule->merged;
    return rule != NULL;
}

static void rank_and_push(const merge_table *table, bpe_node *nodes, uint32_t at, bpe_heap *heap)
{
    if (rank_pair(table, nodes, at))
        heap_push(heap, (uint64_t)nodes[at].rank << 32 | at);
}

static void nodes_link(bpe_node *nodes, const uint32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        nodes[i] = (bpe_node){.id = ids[i],
                              .previous = i == 0 ? NO_NODE : (uint32_t)i - 1,
                              .next = i + 1 == count ? NO_NODE : (uint32_t)i + 1};
}

static void merge_at(const merge_table *table, bpe_node *nodes, uint32_t at, bpe_heap *heap)
{
    bpe_node *node = &nodes[at];
    bpe_node *gone = &nodes[node->next];
    gone->rank = NO_RANK;
    node->id = node->merged;
    node->next = gone->next;
    if (node->next != NO_NODE)
        nodes[node->next].previous = at;
    rank_and_push(table, nodes, at, heap);
    if (node->previous != NO_NODE)
        rank_and_push(table, nodes, node->previous, heap);
}

gptoss_status bpe_merge(const merge_table *table, bpe_scratch *scratch, uint32_t *ids,
                        size_t *count, gptoss_error *error)
{
    if (*count < 2)
        return GPTOSS_OK;
    gptoss_status status = scratch_grow(scratch, *count, error);
    if (status != GPTOSS_OK)
        return status;
    bpe_node *nodes = scratch->nodes;
    bpe_heap heap = {scratch->heap, 0};
    nodes_link(nodes, ids, *count);
    for (uint32_t i = 0; i < *count; i++)
        if (rank_pair(table, nodes, i))
            heap.items[heap.count++] = (uint64_t)nodes[i].rank << 32 | i;
    for (size_t i = heap.count / 2; i-- > 0;)
        heap_sift_down(&heap, i);

    while (heap.count > 0) {
        uint64_t item = heap_pop(&heap);
        uint32_t at = (uint32_t)item;
        if (nodes[at].rank == item >> 32)
            merge_at(table, nodes, at, &heap);
    }
    *count = 0;
    for (uint32_t at = 0; at != NO_NODE; at = nodes[at].next)
        ids[(*count)++] = nodes[at].id;
    return GPTOSS_OK;
}
