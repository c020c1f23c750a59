#include "text/vocabulary.h"

#include <stdlib.h>
#include <string.h>

/* ---- bytes to ids ---------------------------------------------------------------------------- */

/* FNV-1a, which grows byte by byte, so that all prefixes of a token are hashed in one pass. */
#define HASH_START 0xcbf29ce484222325U

static uint64_t hash_byte(uint64_t hash, char byte)
{
    return (hash ^ (uint8_t)byte) * 0x100000001b3U;
}

static uint64_t hash_bytes(const char *bytes, size_t length)
{
    uint64_t hash = HASH_START;
    for (size_t i = 0; i < length; i++)
        hash = hash_byte(hash, bytes[i]);
    return hash;
}

static bool token_is(const vocabulary *vocab, uint32_t id, const char *bytes, size_t length)
{
    token found = vocab->tokens[id];
    return found.length == length && memcmp(vocab->bytes + found.offset, bytes, length) == 0;
}

static size_t first_slot(const vocabulary *vocab, uint64_t hash)
{
    return (hash ^ hash >> 32) & vocab->mask;
}

/* The slot that holds the token with these bytes, or the empty one where it belongs. */
static uint32_t *slot_of(const vocabulary *vocab, uint64_t hash, const char *bytes, size_t length)
{
    size_t at = first_slot(vocab, hash);
    while (vocab->slots[at] != TOKEN_NONE && !token_is(vocab, vocab->slots[at], bytes, length))
        at = (at + 1) & vocab->mask;
    return &vocab->slots[at];
}

uint32_t vocabulary_find(const vocabulary *vocab, const char *bytes, size_t length)
{
    if (vocab->slots == NULL || length > vocab->longest)
        return TOKEN_NONE;
    uint32_t id = *slot_of(vocab, hash_bytes(bytes, length), bytes, length);
    return id != TOKEN_NONE && vocab->tokens[id].kind == TOKEN_LEARNED ? id : TOKEN_NONE;
}

/* Doubles the slots when they would be more than half full. */
static gptoss_status slots_reserve(vocabulary *vocab, gptoss_error *error)
{
    if (vocab->slots != NULL && 2 * (size_t)(vocab->learned + 1) <= vocab->mask)
        return GPTOSS_OK;
    size_t count = vocab->slots == NULL ? 1024 : 2 * (vocab->mask + 1);
    uint32_t *old = vocab->slots;
    uint32_t *slots = malloc(count * sizeof *slots);
    if (slots == NULL)
        return fail_memory(error, "the vocabulary's index", count * sizeof *slots);
    memset(slots, 0xff, count * sizeof *slots); /* TOKEN_NONE everywhere */
    vocab->slots = slots;
    vocab->mask = count - 1;
    for (uint32_t id = 0; id < vocab->size; id++) {
        token moved = vocab->tokens[id];
        const char *bytes = vocab->bytes + moved.offset;
        if (moved.kind == TOKEN_LEARNED)
            *slot_of(vocab, hash_bytes(bytes, moved.length), bytes, moved.length) = id;
    }
    free(old);
    return GPTOSS_OK;
}

/* ---- adding ---------------------------------------------------------------------------------- */

static gptoss_status tokens_reserve(vocabulary *vocab, uint32_t id, gptoss_error *error)
{
    if (id >= vocab->capacity) {
        uint32_t capacity = vocab->capacity == 0 ? 1024 : 2 * vocab->capacity;
        while (capacity <= id)
            capacity *= 2;
        token *tokens = realloc(vocab->tokens, capacity * sizeof *tokens);
        if (tokens == NULL)
            return fail_memory(error, "the vocabulary", capacity * sizeof *tokens);
        vocab->tokens = tokens;
        vocab->capacity = capacity;
    }
    for (; vocab->size <= id; vocab->size++)
        vocab->tokens[vocab->size] = (token){0};
    return GPTOSS_OK;
}

static gptoss_status bytes_append(vocabulary *vocab, const char *bytes, size_t length,
                                  const char *what, gptoss_error *error)
{
    if (length > UINT32_MAX - vocab->byte_count)
        return fail(error, GPTOSS_LIMIT, "%s: the tokens have more than 4 GiB", what);
    size_t needed = vocab->byte_count + length;
    if (needed > vocab->byte_capacity) {
        size_t capacity = 2 * needed < 4096 ? 4096 : 2 * needed;
        char *moved = realloc(vocab->bytes, capacity);
        if (moved == NULL)
            return fail_memory(error, "the vocabulary's bytes", capacity);
        vocab->bytes = moved;
        vocab->byte_capacity = capacity;
    }
    memcpy(vocab->bytes + vocab->byte_count, bytes, length);
    vocab->byte_count = needed;
    return GPTOSS_OK;
}

static gptoss_status index_learned(vocabulary *vocab, uint32_t id, const char *bytes, size_t length,
                                   const char *what, gptoss_error *error)
{
    gptoss_status status = slots_reserve(vocab, error);
    if (status != GPTOSS_OK)
        return status;
    uint64_t hash = hash_bytes(bytes, length);
    uint32_t *slot = slot_of(vocab, hash, bytes, length);
    if (*slot != TOKEN_NONE)
        return fail(error, GPTOSS_FORMAT, "%s: tokens %u and %u are the same bytes", what, *slot,
                    id);
    size_t probes = ((size_t)(slot - vocab->slots) - first_slot(vocab, hash)) & vocab->mask;
    if (probes > TOKEN_MAX_PROBES)
        return fail(error, GPTOSS_LIMIT,
                    "%s: token %u has the same hash as too many others, which makes finding it "
                    "slow; a vocabulary is not like that by chance",
                    what, id);
    *slot = id;
    if (length == 1)
        vocab->of_byte[(uint8_t)bytes[0]] = id;
    if (length > vocab->longest)
        vocab->longest = (uint32_t)length;
    vocab->learned++;
    return GPTOSS_OK;
}

static gptoss_status list_added(vocabulary *vocab, uint32_t id, gptoss_error *error)
{
    uint32_t count = vocab->added_count;
    if ((count & (count - 1)) == 0) { /* 0, or a power of two: full */
        size_t bytes = (count == 0 ? 1 : 2 * (size_t)count) * sizeof *vocab->added;
        uint32_t *added = realloc(vocab->added, bytes);
        if (added == NULL)
            return fail_memory(error, "the added tokens", bytes);
        vocab->added = added;
    }
    vocab->added[vocab->added_count++] = id;
    return GPTOSS_OK;
}

gptoss_status vocabulary_add(vocabulary *vocab, token_kind kind, uint32_t id, const char *bytes,
                             size_t length, const char *what, gptoss_error *error)
{
    if (id >= TOKEN_MAX_ID)
        return fail(error, GPTOSS_LIMIT, "%s: token id %u, expected below %u", what, id,
                    TOKEN_MAX_ID);
    if (length == 0)
        return fail(error, GPTOSS_FORMAT, "%s: token %u is empty", what, id);
    if (length > TOKEN_MAX_BYTES)
        return fail(error, GPTOSS_LIMIT, "%s: token %u has %zu bytes, expected at most %d", what,
                    id, length, TOKEN_MAX_BYTES);
    if (kind != TOKEN_LEARNED && vocabulary_token(vocab, id).kind == TOKEN_LEARNED &&
        token_is(vocab, id, bytes, length)) {
        vocab->tokens[id].kind = kind;
        return list_added(vocab, id, error);
    }
    if (vocabulary_token(vocab, id).kind != TOKEN_ABSENT)
        return fail(error, GPTOSS_FORMAT, "%s: two tokens have the id %u", what, id);
    gptoss_status status = tokens_reserve(vocab, id, error);
    if (status != GPTOSS_OK)
        return status;
    uint32_t offset = (uint32_t)vocab->byte_count;
    status = bytes_append(vocab, bytes, length, what, error);
    if (status == GPTOSS_OK)
        status = kind == TOKEN_LEARNED ? index_learned(vocab, id, bytes, length, what, error)
                                       : list_added(vocab, id, error);
    if (status == GPTOSS_OK)
        vocab->tokens[id] = (token){offset, (uint32_t)length, kind};
    return status;
}

void vocabulary_free(vocabulary *vocab)
{
    free(vocab->bytes);
    free(vocab->tokens);
    free(vocab->slots);
    free(vocab->added);
    *vocab = (vocabulary){0};
}

token vocabulary_token(const vocabulary *vocab, uint32_t id)
{
    return id < vocab->size ? vocab->tokens[id] : (token){0};
}

/* ---- added tokens ---------------------------------------------------------------------------- */

/* As memcmp, then the shorter first. */
static int compare_added(const void *left, const void *right, void *user)
{
    const vocabulary *vocab = user;
    token a = vocab->tokens[*(const uint32_t *)left];
    token b = vocab->tokens[*(const uint32_t *)right];
    uint32_t common = a.length < b.length ? a.length : b.length;
    int order = memcmp(vocab->bytes + a.offset, vocab->bytes + b.offset, common);
    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

static void mark_first_bytes(vocabulary *vocab)
{
    for (uint32_t i = 0; i < vocab->added_count; i++) {
        token added = vocab->tokens[vocab->added[i]];
        uint8_t first = (uint8_t)vocab->bytes[added.offset];
        if (vocab->begins[first] != TOKEN_ADDED)
            vocab->begins[first] = (uint8_t)added.kind;
    }
}

gptoss_status vocabulary_complete(vocabulary *vocab, const char *what, gptoss_error *error)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char bytes[1] = {(char)byte};
        if (vocabulary_find(vocab, bytes, 1) == TOKEN_NONE)
            return fail(error, GPTOSS_FORMAT, "%s: no token is the byte 0x%02x alone", what, byte);
    }
    if (vocab->added_count > 0)
        qsort_r(vocab->added, vocab->added_count, sizeof *vocab->added, compare_added, vocab);
    for (uint32_t i = 1; i < vocab->added_count; i++)
        if (compare_added(&vocab->added[i - 1], &vocab->added[i], vocab) == 0)
            return fail(error, GPTOSS_FORMAT, "%s: added tokens %u and %u are the same text", what,
                        vocab->added[i - 1], vocab->added[i]);
    mark_first_bytes(vocab);
    return GPTOSS_OK;
}

/* Byte `at` of the added token at place `i`, -1 past its end. */
static int added_byte(const vocabulary *vocab, uint32_t i, size_t at)
{
    token found = vocab->tokens[vocab->added[i]];
    return at < found.length ? (uint8_t)vocab->bytes[found.offset + at] : -1;
}

/* The first place in [low, high) whose byte `at` is at least `byte`. */
static uint32_t added_bound(const vocabulary *vocab, uint32_t low, uint32_t high, size_t at,
                            int byte)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (added_byte(vocab, middle, at) < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest added token that `text` begins with, or TOKEN_NONE: a walk through the sorted tokens
 * that narrows [low, high) to those that agree with the text so far. */
static uint32_t match_added(const vocabulary *vocab, const char *text, size_t length, bool specials)
{
    uint32_t best = TOKEN_NONE;
    uint32_t low = 0;
    uint32_t high = vocab->added_count;
    for (size_t at = 0; at < length && low < high; at++) {
        int byte = (uint8_t)text[at];
        low = added_bound(vocab, low, high, at, byte);
        high = added_bound(vocab, low, high, at, byte + 1);
        if (low == high)
            break;
        token first = vocab->tokens[vocab->added[low]]; /* the shortest, hence the only exact one */
        if (first.length == at + 1 && (specials || first.kind != TOKEN_SPECIAL))
            best = vocab->added[low];
    }
    return best;
}

size_t vocabulary_find_added(const vocabulary *vocab, const char *text, size_t length,
                             bool specials, uint32_t *id)
{
    *id = TOKEN_NONE;
    for (size_t at = 0; at < length; at++) {
        uint8_t kind = vocab->begins[(uint8_t)text[at]];
        if (kind != TOKEN_ADDED && !(specials && kind == TOKEN_SPECIAL))
            continue;
        *id = match_added(vocab, text + at, length - at, specials);
        if (*id != TOKEN_NONE)
            return at;
    }
    return length;
}

/* ---- merges of a file of ranks --------------------------------------------------------------- */

/* Lists the splits of one token. */
static gptoss_status list_splits(const vocabulary *vocab, uint32_t id, merge_list *out,
                                 gptoss_error *error)
{
    token whole = vocab->tokens[id];
    const char *bytes = vocab->bytes + whole.offset;
    uint64_t hash = HASH_START;
    for (uint32_t cut = 1; cut < whole.length; cut++) {
        hash = hash_byte(hash, bytes[cut - 1]);
        uint32_t left = *slot_of(vocab, hash, bytes, cut);
        if (left == TOKEN_NONE)
            continue;
        uint32_t right = vocabulary_find(vocab, bytes + cut, whole.length - cut);
        if (right == TOKEN_NONE)
            continue;
        gptoss_status status = merge_list_add(out, (merge){left, right, id}, error);
        if (status != GPTOSS_OK)
            return status;
    }
    return GPTOSS_OK;
}

gptoss_status vocabulary_list_merges(const vocabulary *vocab, merge_list *out, gptoss_error *error)
{
    for (uint32_t id = 0; id < vocab->size; id++) {
        if (vocab->tokens[id].kind != TOKEN_LEARNED)
            continue;
        gptoss_status status = list_splits(vocab, id, out, error);
        if (status != GPTOSS_OK)
            return status;
    }
    return GPTOSS_OK;
}
