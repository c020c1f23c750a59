/* The two kinds of tokenizer files: tokenizer.json and .tiktoken. */
#ifndef TEXT_TOKENIZER_FILE_H
#define TEXT_TOKENIZER_FILE_H

#include "text/bpe.h"
#include "text/vocabulary.h"

/* What a tokenizer file says. */
typedef struct tokenizer_file {
    vocabulary vocab;
    merge_list merges;
    bool whole_pieces; /* a piece that is a token is not merged (ignore_merges) */
} tokenizer_file;

/* Accepts a zeroed object. */
void tokenizer_file_free(tokenizer_file *file);

/*
 * Reads a tokenizer.json: a byte-level BPE model behind o200k's pre-tokenizer, with or without
 * added tokens. Anything in it that would make other ids than this library does is refused
 * (GPTOSS_UNSUPPORTED): another pre-tokenizer, a normalizer, a post-processor that adds tokens.
 * "truncation" and "padding" are the settings of a program, not of a tokenizer, and are ignored.
 * Merges may be "a b" or ["a", "b"]. Source: huggingface/tokenizers 0.22.
 */
gptoss_status tokenizer_json_parse(const char *text, size_t length, const char *what,
                                   tokenizer_file *out, gptoss_error *error);

/* Reads lines of base64, a space and a rank. Merges are all splits of tokens into two tokens.
 * Source: tiktoken, load.py and src/lib.rs. */
gptoss_status tiktoken_parse(const char *text, size_t length, const char *what, tokenizer_file *out,
                             gptoss_error *error);

/* Adds o200k_harmony's special tokens to o200k_base; refuses any other number of ranks, because
 * only o200k_base goes with its pre-tokenizer. Source: openai/gpt-oss, tokenizer.py. */
gptoss_status tiktoken_add_harmony(tokenizer_file *file, const char *what, gptoss_error *error);

/* Makes a tokenizer of what a file said, and takes its vocabulary away from it. */
gptoss_status tokenizer_build(tokenizer_file *file, const char *what, gptoss_tokenizer **out,
                              gptoss_error *error);

#endif
