/* A tokenizer of 300 tokens for the targets of the harmony format. */
#ifndef TESTS_FUZZ_FUZZ_HARMONY_H
#define TESTS_FUZZ_FUZZ_HARMONY_H

#include "fuzz.h"

/* Opened once, and never closed. */
static inline const gptoss_tokenizer *fuzz_tokenizer(void)
{
    static gptoss_tokenizer *tokenizer;
    if (tokenizer == NULL)
        FUZZ_CHECK(gptoss_tokenizer_open(GPTOSS_SOURCE_DIR "/tests/cli/data/tokenizer.json",
                                         &tokenizer, NULL) == GPTOSS_OK);
    return tokenizer;
}

#endif
