/*
 * The parts of the harmony format that rendering and parsing share.
 *
 *     <|start|> role[:name] [ to=recipient] [<|channel|> channel] [ content type] <|message|>
 *     content <|end|>                                   or <|call|>, or <|return|> at a turn's end
 *
 * Source: openai/harmony 0.0.8.
 */
#ifndef TEXT_HARMONY_H
#define TEXT_HARMONY_H

#include "base/status.h"

#define HARMONY_CHANNEL   "<|channel|>"
#define HARMONY_CONSTRAIN "<|constrain|>"

/* Ids of the control tokens. */
typedef struct harmony_tokens {
    uint32_t start;
    uint32_t channel;
    uint32_t constrain;
    uint32_t message;
    uint32_t end;
    uint32_t call;
    uint32_t ret; /* <|return|> */
} harmony_tokens;

/* Finds them; a tokenizer without one is refused (GPTOSS_UNSUPPORTED). */
gptoss_status harmony_tokens_find(const gptoss_tokenizer *tokenizer, harmony_tokens *out,
                                  gptoss_error *error);

/* Whether it is this text; false for none. */
bool text_is(gptoss_text text, const char *expected);

/* A text in the program. */
#define TEXT(literal) ((gptoss_text){(literal), sizeof(literal) - 1})

#endif
