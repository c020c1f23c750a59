#include "chat_file.h"

#include <stdlib.h>
#include <string.h>

#include "chat_head.h"
#include "console.h"
#include "input.h"
#include "messages_json.h"
#include "whole_file.h"

char *chat_file_path(const char *typed)
{
    const char *home = getenv("HOME");
    char *path = NULL;
    int length = strncmp(typed, "~/", 2) == 0 && home != NULL
                     ? asprintf(&path, "%s%s", home, typed + 1)
                     : asprintf(&path, "%s", typed);
    return length < 0 ? NULL : path;
}

/* ---- the conversation ------------------------------------------------------------------------ */

/* The conversation as a line of JSON; free(text->bytes). */
static bool write_note(const conversation *talk, input_text *text)
{
    *text = (input_text){NULL, 0};
    FILE *stream = open_memstream(&text->bytes, &text->length);
    if (stream == NULL)
        return false;
    json_writer json = JSON_WRITER(stream);
    messages_put_conversation(&json, talk->messages, talk->count);
    putc('\n', stream);
    return fclose(stream) == 0;
}

/* The messages of a note in place of the present ones. The prompt that they make is tried first, so
 * that what cannot be rendered is refused now. */
static int take_note(chat *of, const char *json, size_t length, const char *what)
{
    gptoss_conversation *read;
    gptoss_error error;
    if (gptoss_conversation_read(json, length, what, &read, &error) != GPTOSS_OK)
        return console_error(&error);
    size_t count;
    uint32_t *ids = NULL;
    size_t id_count;
    const gptoss_message *messages = gptoss_conversation_messages(read, &count);
    int status = EXIT_GOOD;
    if (gptoss_render(of->opened->tokenizer, messages, count, NULL, &ids, &id_count, &error) !=
        GPTOSS_OK) {
        console_note("%s: %s", what, error.message);
        status = EXIT_FAILED;
    } else {
        conversation_cut(&of->talk, 0);
        for (size_t i = 0; i < count; i++)
            conversation_add(&of->talk, &messages[i]);
    }
    free(ids);
    gptoss_conversation_close(read);
    return status;
}

/* ---- files ----------------------------------------------------------------------------------- */

int chat_file_save(chat *of, const char *path)
{
    input_text text;
    if (!write_note(&of->talk, &text)) {
        console_note("out of memory: the conversation was not saved");
        return EXIT_FAILED;
    }
    int status = whole_file_write(path, text.bytes, text.length) ? EXIT_GOOD : EXIT_FAILED;
    free(text.bytes);
    return status;
}

int chat_file_load(chat *of, const char *path)
{
    input_text text;
    int status = input_read(path, &text);
    if (status != EXIT_GOOD)
        return status;
    status = take_note(of, text.bytes, text.length, path);
    free(text.bytes);
    return status;
}
