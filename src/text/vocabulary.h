/* The tokens of a tokenizer: bytes of an id, and id of some bytes. */
#ifndef TEXT_VOCABULARY_H
#define TEXT_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/bpe.h"

#define TOKEN_NONE UINT32_MAX

/* Bounds of what is accepted beside TOKEN_MAX_ID; docs/SECURITY.md lists them. */
#define TOKEN_MAX_BYTES  4096 /* of one token; o200k's longest has 128 */
#define TOKEN_MAX_PROBES 256  /* looked at in an index before it is known where a token belongs */

typedef enum token_kind {
    TOKEN_ABSENT,  /* the id has no token */
    TOKEN_LEARNED, /* a token of the model's vocabulary: BPE may produce it */
    TOKEN_ADDED,   /* cut out of any text before BPE */
    TOKEN_SPECIAL, /* cut out of a text when the caller asks for it: <|start|> and the like */
} token_kind;

typedef struct token {
    uint32_t offset; /* in the vocabulary's bytes */
    uint32_t length;
    token_kind kind;
} token;

typedef struct vocabulary {
    char *bytes; /* of all tokens, one after the other */
    size_t byte_count;
    size_t byte_capacity;
    token *tokens; /* [id] */
    uint32_t size; /* one more than the largest id */
    uint32_t capacity;
    uint32_t *slots; /* ids of learned tokens by hash of their bytes, at most half full */
    size_t mask;     /* slots - 1, slots being a power of two; 0 before the first token */
    uint32_t learned;
    uint32_t longest;      /* bytes of the longest learned token */
    uint32_t of_byte[256]; /* the token that is this byte alone */
    uint32_t *added; /* ids of added and special tokens, sorted by their bytes after _complete */
    uint32_t added_count;
    uint8_t
        begins[256]; /* the kind of the added tokens that begin with a byte, TOKEN_ADDED first */
} vocabulary;

/*
 * Adds a token to a vocabulary, which starts zeroed. Refuses an empty or overlong token, an id that
 * is taken or too large, tokens that were chosen to have the same place in the index, and a learned
 * token whose bytes another one has; but a learned token may be added again with the same bytes,
 * and then is no longer learned. `what` names the file in errors.
 */
gptoss_status vocabulary_add(vocabulary *vocab, token_kind kind, uint32_t id, const char *bytes,
                             size_t length, const char *what, gptoss_error *error);

/* Once all are in: sorts the added ones, refuses repeated ones, and makes sure that every byte has
 * a token, so that there is no text without tokens. */
gptoss_status vocabulary_complete(vocabulary *vocab, const char *what, gptoss_error *error);

/* Accepts a zeroed vocabulary. */
void vocabulary_free(vocabulary *vocab);

/* The learned token with these bytes, or TOKEN_NONE. */
uint32_t vocabulary_find(const vocabulary *vocab, const char *bytes, size_t length);

/* The token of an id; of kind TOKEN_ABSENT when there is none. */
token vocabulary_token(const vocabulary *vocab, uint32_t id);

/*
 * Where the first added token in a text begins, and its id: of those that begin there, the longest;
 * special ones count only when `specials`. `length` and TOKEN_NONE when there is none. The
 * vocabulary must be complete.
 */
size_t vocabulary_find_added(const vocabulary *vocab, const char *text, size_t length,
                             bool specials, uint32_t *id);

/*
 * Lists every way to split a learned token into two learned tokens, in the order of the tokens'
 * ids: the merges that a file of ranks stands for.
 */
gptoss_status vocabulary_list_merges(const vocabulary *vocab, merge_list *out, gptoss_error *error);

#endif
