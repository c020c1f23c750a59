/* Conversations written as JSON and read again make the same prompt. */
#include "../../tools/gptoss/messages_json.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "check.h"

#define SEEDS GPTOSS_SOURCE_DIR "/tests/fuzz/corpus/render/"

static gptoss_tokenizer *tokenizer;

static gptoss_conversation *read_json(const char *json, size_t length, const char *what)
{
    gptoss_conversation *read = NULL;
    gptoss_error error = {0};
    CHECK(gptoss_conversation_read(json, length, what, &read, &error) == GPTOSS_OK, "%s",
          error.message);
    return read;
}

/* *count stays 0 when it cannot be rendered. */
static uint32_t *render(const gptoss_conversation *from, size_t *count)
{
    gptoss_render_options how = {.history = GPTOSS_HISTORY_ALL};
    size_t messages;
    const gptoss_message *first = gptoss_conversation_messages(from, &messages);
    uint32_t *ids = NULL;
    gptoss_error error = {0};
    CHECK(gptoss_render(tokenizer, first, messages, &how, &ids, count, &error) == GPTOSS_OK, "%s",
          error.message);
    return ids;
}

static void check_again(const char *json, size_t length, const char *what)
{
    char *written = NULL;
    size_t written_length = 0, messages, count = 0, again_count = 0;
    gptoss_conversation *first = read_json(json, length, what);
    if (first == NULL)
        return;
    FILE *stream = open_memstream(&written, &written_length);
    json_writer out = JSON_WRITER(stream);
    const gptoss_message *list = gptoss_conversation_messages(first, &messages);
    messages_put_conversation(&out, list, messages);
    fclose(stream);
    CHECK(strpbrk(written, "\r\n") == NULL, "%s: it is one line", what);
    gptoss_conversation *again = read_json(written, written_length, written);
    if (again != NULL) {
        uint32_t *ids = render(first, &count);
        uint32_t *again_ids = render(again, &again_count);
        CHECK(count > 0 && count == again_count && memcmp(ids, again_ids, count * sizeof *ids) == 0,
              "%s: %zu and %zu tokens: %s", what, count, again_count, written);
        free(ids);
        free(again_ids);
    }
    gptoss_conversation_close(again);
    gptoss_conversation_close(first);
    free(written);
}

static void check_file(const char *path)
{
    file_map map = {.data = NULL};
    CHECK(file_map_open(path, &map, NULL) == GPTOSS_OK, "%s", path);
    check_again((const char *)map.data, map.size, path);
    file_map_close(&map);
}

int main(void)
{
    static const char *const files[] = {SEEDS "good_all.json", SEEDS "good_array.json",
                                        SEEDS "good_random0.json", SEEDS "good_random1.json",
                                        SEEDS "good_random2.json"};
    static const char spread[] =
        "[{\"role\": \"developer\", \"content\": [{\"type\": \"text\", \"text\": \"a\"},"
        "{\"type\": \"developer_content\", \"tools\": {\"functions\": {\"name\": \"functions\","
        "\"tools\": [{\"name\": \"f\", \"description\": \"\", \"parameters\": {\n \"type\":\r\n"
        "\t\"object\", \"description\": \"\xc3\xa9\"}}]}}}]}]";
    CHECK(gptoss_tokenizer_open(GPTOSS_SOURCE_DIR "/tests/cli/data/tokenizer.json", &tokenizer,
                                NULL) == GPTOSS_OK,
          "a tokenizer");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        check_file(files[i]);
    check_again(spread, sizeof spread - 1, "a schema over several lines");
    gptoss_tokenizer_close(tokenizer);
    return test_result();
}
