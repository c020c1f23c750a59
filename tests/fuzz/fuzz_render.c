/* One conversation, rendered in every way. */
#include <stdlib.h>

#include "fuzz.h"
#include "fuzz_harmony.h"

/* Only what the format adds is a control token, whatever the messages say. */
static void check_ids(const gptoss_tokenizer *tokenizer, const uint32_t *ids, size_t id_count,
                      size_t starts)
{
    uint32_t start = 0;
    FUZZ_CHECK(gptoss_tokenizer_special(tokenizer, "<|start|>", &start));
    for (size_t i = 0; i < id_count; i++) {
        size_t length;
        FUZZ_CHECK(gptoss_tokenizer_bytes(tokenizer, ids[i], &length) != NULL);
        if (ids[i] == start) {
            FUZZ_CHECK(starts > 0);
            starts--;
        }
    }
    FUZZ_CHECK(starts == 0);
}

static gptoss_status render(const gptoss_conversation *conversation, gptoss_history history,
                            gptoss_ending ending, gptoss_error *error)
{
    const gptoss_tokenizer *tokenizer = fuzz_tokenizer();
    gptoss_render_options options = {.history = history, .ending = ending};
    uint32_t *ids;
    size_t id_count;
    size_t count;
    const gptoss_message *messages = gptoss_conversation_messages(conversation, &count);
    gptoss_status status =
        gptoss_render(tokenizer, messages, count, &options, &ids, &id_count, error);
    if (status == GPTOSS_OK && history == GPTOSS_HISTORY_ALL)
        check_ids(tokenizer, ids, id_count, count + (ending == GPTOSS_ENDING_COMPLETION));
    FUZZ_CHECK(status == GPTOSS_OK || (ids == NULL && id_count == 0));
    free(ids);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gptoss_conversation *conversation;
    gptoss_error error = {0};
    gptoss_status status =
        gptoss_conversation_read((const char *)data, size, "input", &conversation, &error);
    FUZZ_CHECK((status == GPTOSS_OK) == (conversation != NULL));
    if (status == GPTOSS_OK) {
        status = render(conversation, GPTOSS_HISTORY_ALL, GPTOSS_ENDING_COMPLETION, &error);
        gptoss_status other =
            render(conversation, GPTOSS_HISTORY_HARMONY, GPTOSS_ENDING_TRAINING, NULL);
        FUZZ_CHECK(status != GPTOSS_OK || other == GPTOSS_OK);
        other = render(conversation, GPTOSS_HISTORY_TURNS, GPTOSS_ENDING_NONE, NULL);
        FUZZ_CHECK(status != GPTOSS_OK || other == GPTOSS_OK);
    }
    gptoss_conversation_close(conversation);
    return fuzz_judge(status, &error);
}
